"""Client: find the face in two photos, and encrypt each for the server."""

import sys
from pathlib import Path

from fhe_core.formats.ciphertexts import save_bundle
from fhe_face import FaceClient, prepare


def main(folder: Path, photos: list[Path]) -> None:
    client = FaceClient.load(folder / "client.key")
    for name, photo in zip(("a", "b"), photos, strict=True):
        face = prepare(photo)
        for warning in face.warnings:
            print(f"{photo}: {warning}")
        save_bundle(folder / f"{name}.ct", client.encrypt(face))
        print(f"{photo} -> {folder / name}.ct")


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(photo) for photo in sys.argv[2:]])
