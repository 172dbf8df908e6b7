"""Client: enrol the people of a folder in a gallery, and look for them on a photo."""

import sys
from pathlib import Path

from fhe_face import Gallery

#: A demonstration; real faces need others, such as "official" (docs/weights.md).
WEIGHTS = "bundled"


def main(people: Path, photo: Path, folder: Path) -> None:
    with Gallery.create(folder, WEIGHTS, names=True) as gallery:
        print(gallery.enroll(people).summary())
        for face in gallery.identify(photo):
            who = face.best.label if face.best else "nobody in the gallery"
            answer = face.answer.value if face.answer else f"no answer, {face.reason}"
            print(f"face {face.face}: {answer}: {who}")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
