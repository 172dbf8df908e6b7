"""A stage of the face-verification benchmark (docs/official.md)."""

from fhe_face.official.decryption import main

if __name__ == "__main__":
    main()
