"""Client: decrypt a score, and say no more than same or different."""

import sys
from pathlib import Path

from fhe_core.formats.ciphertexts import load_bundle
from fhe_face import FaceClient, UnhealthyResultError, load_thresholds

#: The server's weights: their thresholds say from which cosine two faces count as one person.
WEIGHTS = "bundled"


def main(folder: Path) -> None:
    client = FaceClient.load(folder / "client.key")
    try:
        threshold = load_thresholds(WEIGHTS).same_from
        same = client.decide(load_bundle(folder / "score.ct"), threshold)
    except UnhealthyResultError:
        sys.exit("no answer: the network diverged on one of the faces")
    print("same" if same else "different")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
