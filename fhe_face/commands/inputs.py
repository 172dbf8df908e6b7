"""Checks that cost nothing, made before gigabytes of keys are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

from fhe_core.container import Header, Kind, WrongKind, read_header, require_match
from fhe_core.parameters import Parameters
from fhe_core.plan import KeySpecification
from fhe_face.circuit import circuit_of
from fhe_face.engine import key_bytes
from fhe_face.output import Output
from fhe_face.places import MANY, ONE, Kinds
from fhe_face.system import available_memory_bytes, size

#: The server's memory beside its keys: weights, masks and the ciphertexts of a run.
_WORKING_BYTES = 3 << 30


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
            why = " (keys are for batches, or for single faces)" if _mixed(found, what) else ""
            raise WrongKind(f"{own.source}: holds an encrypted {found}, expected an {what}{why}")
        require_match(own, parameter_hash=header.parameter_hash, key_id=header.key_id)
    return header


def _mixed(found: str, what: str) -> bool:
    return (found in astuple(MANY)) != (what in astuple(MANY))


def kinds_for(keys: Path, kind: Kind = Kind.EVALUATION_KEYS) -> Kinds:
    """What the ciphertexts for a key file are called: of a face, or of a batch.

    Raises:
        ContainerError: the file is of another kind, or has an unknown circuit.
    """
    header = read_header(keys, expect_kind=kind)
    return MANY if circuit_of(header).batch else ONE


def warn_of_little_memory(
    output: Output, keys: Sequence[KeySpecification], parameters: Parameters
) -> None:
    """A warning where a server's expanded keys and a run may not fit."""
    needed = 2 * key_bytes(list(keys), parameters) + _WORKING_BYTES
    available = available_memory_bytes()
    if available is not None and available < needed:
        output.warn(f"about {size(needed)} of memory are needed, {size(available)} are available")
