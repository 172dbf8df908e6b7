"""Client: decrypt a score, and say no more than same or different."""

import sys
from pathlib import Path

from fhe_core.formats.ciphertexts import load_bundle
from fhe_face import FaceClient, UnhealthyResultError

#: Cosine from which two faces count as one person; it depends on the weights.
THRESHOLD = 0.4


def main(folder: Path) -> None:
    client = FaceClient.load(folder / "client.key")
    try:
        same = client.decide(load_bundle(folder / "score.ct"), THRESHOLD)
    except UnhealthyResultError:
        sys.exit("no answer: the network diverged on one of the faces")
    print("same" if same else "different")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
