"""A stage of the face-verification benchmark (docs/official.md)."""

from fhe_face.official.compute import main

if __name__ == "__main__":
    main()
