"""Runs tests with another build of the extension: ``python sanitize/run.py EXTENSION [PYTEST...]``.

An installed extension would win over any path, so this one takes its place before anything asks.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

NAME = "fhe_core._native"


def main() -> int:
    root = Path(__file__).resolve().parent.parent
    sys.path.insert(0, str(root))
    extension = Path(sys.argv[1]).resolve()
    specification = importlib.util.spec_from_file_location(NAME, extension)
    if specification is None or specification.loader is None:
        raise SystemExit(f"{extension}: not an extension of this Python")
    module = importlib.util.module_from_spec(specification)
    sys.modules[NAME] = module
    specification.loader.exec_module(module)
    print(f"testing {module.__file__}")
    return int(pytest.main(sys.argv[2:]))


if __name__ == "__main__":
    sys.exit(main())
