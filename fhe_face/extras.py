"""Packages that only some users need: what to install where one is missing."""

from __future__ import annotations

from importlib.util import find_spec

from fhe_core.errors import Failure


class MissingExtra(Failure, ImportError):
    """Packages of an extra are not installed; the text says how to install them."""

    code = "missing-extra"


def require_extra(what: str, extra: str, *packages: str) -> None:
    """Raise MissingExtra where one of the packages cannot be found; what: for the text."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise MissingExtra(f"{what} needs {', '.join(missing)}: pip install 'fhe-face[{extra}]'")
