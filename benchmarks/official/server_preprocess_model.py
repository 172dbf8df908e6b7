"""A stage of the face-verification benchmark (docs/official.md)."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.append(str(Path(__file__).resolve().parents[2]))
    from benchmarks.official.stages.weights import main

    main()
