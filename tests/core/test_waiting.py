"""How threads wait is decided before libgomp is loaded, and by the user where they say so."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version

import fhe_core

_SAY = """
import sys
import fhe_core
assert "numpy" not in sys.modules
assert not [name for name in sys.modules if name.startswith("fhe_core.")]
import os
print(os.environ.get("GOMP_SPINCOUNT"))
"""


def spins(**setting: str) -> str:
    """GOMP_SPINCOUNT after the import, in a process with this setting and no other."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    }
    command = [sys.executable, "-c", _SAY]
    done = subprocess.run(
        command, env={**environment, **setting}, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_threads_spin_for_a_short_time_only() -> None:
    assert spins() == "2000"


def test_what_the_user_says_counts() -> None:
    assert spins(GOMP_SPINCOUNT="7") == "7"
    assert spins(OMP_WAIT_POLICY="active") == "None"


def test_version() -> None:
    assert fhe_core.__version__ == version("fhe-face")
