"""What can be said of a Ray cluster's address without Ray: before processes are started for it."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping

from fhe_core.errors import Failure
from fhe_core.files import reason_of

#: Says whether the processes of a Ray cluster must know its token.
AUTH_MODE = "RAY_AUTH_MODE"
#: What it may say on a node that gets work.
GUARDED = ("token", "k8s")
_SECONDS = 5.0


class NoCluster(Failure):
    """There is no Ray cluster that can be used; the text says why."""

    code = "no-cluster"


def require_reachable(address: str) -> None:
    """Somebody listens there, and this process will ask with a token.

    Raises:
        UsageError: it is no address. NoCluster: nobody listens, or no token would be asked for.
    """
    host, port = address_of(address)
    require_token_mode(os.environ)
    try:
        socket.create_connection((host, port), _SECONDS).close()
    except OSError as error:
        raise NoCluster(
            f"no Ray cluster at {address}: {reason_of(error)}; `ray start --head` says where it is"
        ) from error


def require_guarded(mode: str) -> None:
    """Raise NoCluster for a node whose Ray asks nobody for a token."""
    if mode not in GUARDED:
        raise NoCluster(f"Ray was started on a node without a token ({AUTH_MODE}=token)")


def address_of(address: str) -> tuple[str, int]:
    """HOST:PORT in its parts. UsageError: it is none."""
    from fhe_face.failures import UsageError  # it loads the engine, which lanes need not

    host, _, port = address.rpartition(":")
    if "/" in address or not host or not port.isascii() or not port.isdecimal():
        raise UsageError(
            f"--ray {address}: give HOST:PORT as `ray start --head` says it, such as 10.0.0.1:6379"
        )
    if not 0 < int(port) < 65536:
        raise UsageError(f"--ray {address}: a port lies between 1 and 65535")
    return host.strip("[]"), int(port)


def require_token_mode(environment: Mapping[str, str]) -> None:
    """Whoever reaches a Ray cluster without a token can run programs on all of its machines.

    Raises:
        NoCluster: this process would use none.
    """
    if environment.get(AUTH_MODE, "disabled") == "disabled":
        raise NoCluster(
            f"set {AUTH_MODE}=token here and where `ray start` runs, and give all of them the same "
            "token (`ray get-auth-token --generate`): without one whoever reaches a port of Ray's "
            "can run programs on every node"
        )
