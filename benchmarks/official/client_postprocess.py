"""A stage of the face-verification benchmark (docs/official.md)."""

from benchmarks.official.stages.scores import main

if __name__ == "__main__":
    main()
