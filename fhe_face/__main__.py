"""``python -m fhe_face``: the command line, where the program is not on PATH."""

from fhe_face.cli import main

if __name__ == "__main__":
    main()
