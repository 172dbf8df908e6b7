"""What every command does that holds the secret key."""

from __future__ import annotations

import stat
from pathlib import Path

from fhe_core.files import shown
from fhe_face.output import Output
from fhe_face.process import keep_memory_private

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def hold_secrets(output: Output, *files: Path | None) -> None:
    """Keep this process's memory private, and warn of secret files that others can read.

    files: the key, a passphrase; None and missing files count for nothing.
    """
    keep_memory_private()
    for file in files:
        try:
            mode = 0 if file is None else stat.S_IMODE(file.stat().st_mode)
        except (OSError, ValueError):  # whoever reads it says why it cannot be
            continue
        if file is not None and mode & _OTHERS:
            output.warn(f"{shown(file)}: other users can read it (mode {mode:04o}): chmod 600")
