"""How much is tried: `make test` keeps to minutes; with FHE_FACE_LONG=1 trials are whole."""

from __future__ import annotations

import os
from typing import Final

import pytest

LONG: Final = os.environ.get("FHE_FACE_LONG", "0") != "0"
#: For tests that repeat at full size what others together have tried; they say which.
only_long: Final = pytest.mark.skipif(not LONG, reason="takes long: set FHE_FACE_LONG=1")
