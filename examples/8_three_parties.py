"""Three parties: a device encrypts, a server computes, an authority decides. Keys: program 1."""

import subprocess
import sys
from pathlib import Path

from fhe_core.formats.ciphertexts import load_bundle, save_bundle
from fhe_face import FaceServer

COMMAND = [sys.executable, "-m", "fhe_face"]


def fhe(*words: object) -> str:
    done = subprocess.run([*COMMAND, *map(str, words)], capture_output=True, text=True)
    return done.stdout.strip() or done.stderr.strip()


def main(keys: Path, known: Path, asked: Path) -> None:
    key, place, token = keys / "client.key", keys / "deciding", keys / "door.token"
    fhe("device", "create", "--key", key, "--label", "door", "-o", keys / "door.key")  # the owner
    fhe("authority", "create", place, "--weights", "bundled")
    make = ("authority", "token", "create", place, "--device", "door")
    token.write_text(fhe(*make, "--scopes", "ask,enrol,deliver"))
    serve = [*COMMAND, "authority", "serve", str(place), "--key", str(key), "--port", "0"]
    with subprocess.Popen(serve, stdout=subprocess.PIPE, text=True) as authority:
        url = str(authority.stdout and authority.stdout.readline()).split()[-1]
        for photo, name in ((known, "a"), (asked, "b")):  # the device
            fhe("encrypt", "--key", keys / "door.key", photo, "-o", keys / f"{name}.ct")
        server = FaceServer.load(keys / "evaluation.key", weights=None)  # the server
        left, right = (server.embed(load_bundle(keys / f"{name}.ct")) for name in "ab")
        save_bundle(keys / "a.emb.ct", left)
        save_bundle(keys / "score.ct", server.match(left, right))
        ask, how = ("authority", "ask", url), ("--subject", "ann", "--token-file", token)
        print(fhe(*ask, keys / "a.emb.ct", "--face", keys / "a.ct", "--enrol", *how))
        print(fhe(*ask, keys / "score.ct", "--face", keys / "b.ct", *how))
        authority.terminate()


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
