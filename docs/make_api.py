"""The API reference, from the docstrings: python docs/make_api.py FOLDER. A warning is an error."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pdoc

import fhe_face

#: What a program that uses fhe-face meets beyond the names in fhe_face.
MODULES = (
    "fhe_face",
    "fhe_face.circuit",
    "fhe_face.client.decryption",
    "fhe_face.client.health",
    "fhe_face.engine",
    "fhe_core.formats.ciphertexts",
    "fhe_core.parameters",
    "fhe_core.plan",
)


def main(folder: Path) -> None:
    warnings.simplefilter("error")
    for name in fhe_face.__all__:  # pdoc looks at what is loaded
        setattr(fhe_face, name, getattr(fhe_face, name))
    pdoc.render.configure(docformat="google")
    pdoc.pdoc(*MODULES, output_directory=folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
