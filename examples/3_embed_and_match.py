"""Server: two encrypted faces in, one encrypted score out. Nothing here can decrypt."""

import sys
from pathlib import Path

from fhe_core.formats.ciphertexts import load_bundle, save_bundle
from fhe_face import FaceServer


def main(folder: Path) -> None:
    server = FaceServer.load(folder / "evaluation.key", weights=None)
    left, right = (server.embed(load_bundle(folder / name)) for name in ("a.ct", "b.ct"))
    save_bundle(folder / "score.ct", server.match(left, right))
    print(f"{folder / 'score.ct'}: an encrypted score, for the client")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
