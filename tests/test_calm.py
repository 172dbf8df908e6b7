"""Tests compute small matrices on one thread, which numpy reads when it is imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_numpy_is_calmed_before_it_comes(repository: Path) -> None:
    code = (
        "import os, sys, tests.conftest\n"
        "print('numpy' in sys.modules, os.environ['OPENBLAS_NUM_THREADS'])"
    )
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    environment.pop("OPENBLAS_NUM_THREADS", None)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "1"]
