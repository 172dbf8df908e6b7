"""Client: make a secret key, which stays here, and evaluation keys, which go to the server."""

import sys
from pathlib import Path

from fhe_face import FaceClient


def main(folder: Path) -> None:
    client = FaceClient.create(folder)
    print(f"key {client.key_id}: {folder / 'client.key'} stays, {folder / 'evaluation.key'} goes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
