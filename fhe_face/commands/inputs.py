"""Checks of ciphertext files that cost nothing, made before gigabytes of keys are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fhe_core.container import Header, Kind, WrongKind, read_header, require_match


def check_inputs(keys: Path, files: Sequence[Path], what: str) -> Header:
    """The header of the evaluation keys, after checking that every file fits them.

    Raises:
        ContainerError: a file is not an encrypted `what`, or belongs to other keys or parameters.
    """
    header = read_header(keys, expect_kind=Kind.EVALUATION_KEYS)
    for file in files:
        own = read_header(file, expect_kind=Kind.CIPHERTEXT)
        found = own.text("what")
        if found != what:
            raise WrongKind(f"{own.source}: holds an encrypted {found}, expected an {what}")
        require_match(own, parameter_hash=header.parameter_hash, key_id=header.key_id)
    return header
