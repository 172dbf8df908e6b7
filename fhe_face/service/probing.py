"""Is the service on this machine ready? For container engines, without curl.

    python -m fhe_face.service.probing --port 8443 [--path /live]

Exit status 0: yes.
"""

from __future__ import annotations

import argparse
import http.client
import ssl
import sys
from collections.abc import Sequence

_SECONDS = 4.0


def answers(port: int, path: str, host: str = "127.0.0.1") -> bool:
    """Whether the service answers with 200, over TLS or without.

    Whose certificate it is does not matter: the question is asked on this machine, and no token
    goes with it.
    """
    unchecked = ssl.create_default_context()
    unchecked.check_hostname = False
    unchecked.verify_mode = ssl.CERT_NONE
    for connection in (
        http.client.HTTPSConnection(host, port, timeout=_SECONDS, context=unchecked),
        http.client.HTTPConnection(host, port, timeout=_SECONDS),
    ):
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            continue
        finally:
            connection.close()
    return False


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(prog="fhe_face.service.probing", description=__doc__)
    parser.add_argument("--port", type=int, default=8443)
    parser.add_argument("--path", default="/ready")
    given = parser.parse_args(arguments)
    return 0 if answers(given.port, given.path) else 1


if __name__ == "__main__":
    sys.exit(main())
