"""The command line's runner."""

from __future__ import annotations

from tests.face.conftest import fhe_face

__all__ = ["fhe_face"]
