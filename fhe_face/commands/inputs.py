"""Checks that cost nothing, made before gigabytes of keys are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from fhe_core.container import (
    Header,
    KeyMismatch,
    Kind,
    ParameterMismatch,
    WrongKind,
    read_header,
    require_match,
)
from fhe_core.formats.ciphertexts import known_facts, parameters_of
from fhe_core.parameters import Parameters
from fhe_core.plan import KeySpecification
from fhe_face.circuit import packings_for
from fhe_face.engine import key_memory
from fhe_face.keyfile import devices_beside
from fhe_face.output import Output
from fhe_face.places import IMAGE, packings_of
from fhe_face.senders import owner_of
from fhe_face.server.devices import DeviceFolder, Switching
from fhe_face.system import available_memory_bytes, size

#: The server's memory beside its keys: weights, masks and the ciphertexts of a run.
_WORKING_BYTES = 3 << 30


def check_inputs(keys: Path, files: Sequence[Path], what: str) -> Header:
    """The header of the evaluation keys, after checking that every file fits them.

    Raises:
        ContainerError: a file is not an encrypted `what`, belongs to other keys or parameters, or
            is of a device that is not known.
    """
    header = read_header(keys, expect_kind=Kind.EVALUATION_KEYS)
    parameters = parameters_of(header)
    known = Switching(parameters, header.key_id, DeviceFolder(devices_beside(keys)))
    for own in _checked(header, files, what):
        _require_packings(own, header)
        if own.key_id != header.key_id:
            known.require(own.source, own.key_id)
    return header


def check_own(key: Path, files: Sequence[Path], what: str) -> None:
    """The same for the secret key's owner, whose server knows how faces may be packed."""
    for _ in _checked(read_header(key, expect_kind=Kind.SECRET_KEY), files, what):
        pass


def _checked(key: Header, files: Sequence[Path], what: str) -> Iterator[Header]:
    for file in files:
        own = read_header(file, expect_kind=Kind.CIPHERTEXT)
        found = own.text("what")
        if found != what:
            raise WrongKind(f"{own.source}: holds an encrypted {found}, expected an {what}")
        owner = owner_of(own.source, own.key_id, known_facts(own)) if what == IMAGE else None
        require_match(own, parameter_hash=key.parameter_hash)
        if owner is None:
            require_match(own, key_id=key.key_id)
        elif owner != key.key_id:
            raise KeyMismatch(
                f"{own.source}: is of a device of key {owner[:8]}, not of {key.key_id[:8]}"
            )
        yield own


def _require_packings(file: Header, keys: Header) -> None:
    """ParameterMismatch where the keys cannot compute faces as those of a file are packed."""
    can = packings_for(keys)
    for packing in packings_of(known_facts(file)):
        if packing not in can:
            raise ParameterMismatch(
                f"{file.source}: its faces are packed as '{packing.value}', the evaluation keys "
                f"are for {', '.join(one.value for one in can)} (fhe-face keygen --key ... --batch "
                "makes keys for batches, encrypt --alone does without)"
            )


def warn_of_little_memory(
    output: Output, keys: Sequence[KeySpecification], parameters: Parameters
) -> None:
    """A warning where a server's expanded keys and a run may not fit."""
    needed = key_memory(keys, parameters) + _WORKING_BYTES
    available = available_memory_bytes()
    if available is not None and available < needed:
        output.warn(f"about {size(needed)} of memory are needed, {size(available)} are available")
