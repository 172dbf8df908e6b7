"""Sealed blocks, probes and scores as containers; public material only.

A reader says what it expects (parameters, key, and of scores the request). All of it, with the
list of sections and their sizes, is compared with the header before anything else is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from fhe_core import container
from fhe_core.container import Corrupt, DType, Header, JsonValue, Kind, Limits, Reader, Section
from fhe_core.formats.ciphertexts import ParameterLoader, Path, load_evaluation_keys
from fhe_core.formats.purpose import require_gallery
from fhe_core.keys.evaluation import EvaluationKeys
from fhe_core.keys.expand import SEED_BYTES
from fhe_core.matching.parameters import RESIDUE_BYTES, MatchParameters
from fhe_core.matching.plan import MatchPlan
from fhe_core.matching.values import TOKEN_BYTES, Asked, Bytes, Probe, Scores, SealedBlock
from fhe_core.parameters import Parameters

#: Of a header, and the padding of a file, without the list of blocks.
_HEADER_BYTES = 4096
#: In canonical JSON: 64 hexadecimal digits, quotes and a comma.
_DIGEST_BYTES = 67

Sent: TypeAlias = "SealedBlock | Probe | Scores"
_Shapes: TypeAlias = Mapping[str, tuple[int, ...]]

# --- writing -------------------------------------------------------------------------------------


def save(path: Path, sent: Sent) -> Header:
    """Write a sealed block, a probe or scores atomically; an older file of the kind is replaced."""
    return container.write(path, *_content(sent))


def to_bytes(sent: Sent) -> bytes:
    """As the file that `save` writes, for sending and for content addresses."""
    return container.dumps(*_content(sent))


def _content(
    sent: Sent,
) -> tuple[Kind, str, str, dict[str, JsonValue], list[Section]]:
    if isinstance(sent, Scores):
        kind, arrays = Kind.SCORES, {"words": sent.words}
    else:
        kind = Kind.PROBE if isinstance(sent, Probe) else Kind.SEALED_BLOCK
        arrays = {"seed": np.frombuffer(sent.seed, np.uint8), "bodies": sent.bodies}
    sections = [Section.from_array(name, array) for name, array in arrays.items()]
    return kind, sent.parameters.digest, sent.key_id, _metadata(sent), sections


def _metadata(sent: Sent) -> dict[str, JsonValue]:
    metadata: dict[str, JsonValue] = {"parameters": sent.parameters.parameters.name}
    if not isinstance(sent, SealedBlock):
        metadata["token"] = sent.token.hex()
    if isinstance(sent, Scores):
        metadata |= {"blocks": list(sent.blocks), "masks": sent.masks}
    return metadata


# --- reading -------------------------------------------------------------------------------------


def load_block(path: Path, parameters: MatchParameters, key_id: str) -> SealedBlock:
    """Read a sealed block; that its residues lie below the modulus is checked where they are used.

    Raises:
        ContainerError: it is damaged, something else, or of other parameters or another key.
    """
    limits = _limits(parameters, parameters.features)
    with container.open(path, expect_kind=Kind.SEALED_BLOCK, limits=limits) as reader:
        return _block(reader, parameters, key_id)


def check_block(path: Path, parameters: MatchParameters, key_id: str) -> None:
    """All that `load_block` checks, in little memory: for whoever only keeps the file."""
    limits = _limits(parameters, parameters.features)
    with container.open(path, expect_kind=Kind.SEALED_BLOCK, limits=limits) as reader:
        shapes = _sealed(parameters, parameters.features)
        _require(reader, parameters, key_id, {"parameters"}, shapes)
        reader.verify_all()


def block_from_bytes(
    data: bytes, parameters: MatchParameters, key_id: str, name: str = "<bytes>"
) -> SealedBlock:
    """As `load_block`; ``name`` stands for the file in messages."""
    limits = _limits(parameters, parameters.features)
    with container.loads(data, name=name, expect_kind=Kind.SEALED_BLOCK, limits=limits) as reader:
        return _block(reader, parameters, key_id)


def load_probe(path: Path, parameters: MatchParameters, key_id: str) -> Probe:
    """Read a probe; errors as `load_block`."""
    limits = _limits(parameters, parameters.roots)
    with container.open(path, expect_kind=Kind.PROBE, limits=limits) as reader:
        return _probe(reader, parameters, key_id)


def probe_from_bytes(
    data: bytes, parameters: MatchParameters, key_id: str, name: str = "<bytes>"
) -> Probe:
    """As `load_probe`."""
    limits = _limits(parameters, parameters.roots)
    with container.loads(data, name=name, expect_kind=Kind.PROBE, limits=limits) as reader:
        return _probe(reader, parameters, key_id)


def load_scores(path: Path, asked: Asked) -> Scores:
    """Read scores that answer what was asked (`Sealer.asked`).

    Raises:
        AnswerMismatch: they answer another probe, or are of other blocks.
        StaleAnswer: they are of other positions.
        ContainerError: as `load_block`.
    """
    with container.open(path, expect_kind=Kind.SCORES, limits=_limits_of(asked)) as reader:
        return _scores(reader, asked)


def scores_from_bytes(data: bytes, asked: Asked, name: str = "<bytes>") -> Scores:
    """As `load_scores`."""
    limits = _limits_of(asked)
    with container.loads(data, name=name, expect_kind=Kind.SCORES, limits=limits) as reader:
        return _scores(reader, asked)


def _limits(parameters: MatchParameters, ciphertexts: int) -> Limits:
    bodies = ciphertexts * RESIDUE_BYTES * parameters.templates
    return Limits(2 * _HEADER_BYTES + SEED_BYTES + bodies, _HEADER_BYTES, 2)


def _limits_of(asked: Asked) -> Limits:
    header = _HEADER_BYTES + _DIGEST_BYTES * len(asked.blocks)
    # Of no blocks, too: a shape counts as if it had no zeros in it.
    words = int(np.prod([max(1, length) for length in asked.shape]))
    return Limits(header + _HEADER_BYTES + words, header, 1)


def _block(reader: Reader, parameters: MatchParameters, key_id: str) -> SealedBlock:
    _require(reader, parameters, key_id, {"parameters"}, _sealed(parameters, parameters.features))
    return SealedBlock(parameters, key_id, *_halves(reader))


def _probe(reader: Reader, parameters: MatchParameters, key_id: str) -> Probe:
    keys = {"parameters", "token"}
    _require(reader, parameters, key_id, keys, _sealed(parameters, parameters.roots))
    return Probe(parameters, key_id, *_halves(reader), _token(reader.header))


def _scores(reader: Reader, asked: Asked) -> Scores:
    header = reader.header
    keys = {"parameters", "token", "blocks", "masks"}
    require_facts(header, asked.parameters, asked.key_id, keys)
    asked.require(header.source, _token(header), _blocks(header), header.text("masks"))
    require_sections(header, [("words", DType.U8, asked.shape)])
    words: Bytes = reader.array("words", mmap=False)
    return Scores(asked.parameters, asked.key_id, asked.token, asked.blocks, asked.masks, words)


def _sealed(parameters: MatchParameters, count: int) -> _Shapes:
    return {"seed": (SEED_BYTES,), "bodies": (count, RESIDUE_BYTES * parameters.templates)}


def _halves(reader: Reader) -> tuple[bytes, Bytes]:
    return reader.array("seed", mmap=False).tobytes(), reader.array("bodies", mmap=False)


def _require(
    reader: Reader, parameters: MatchParameters, key_id: str, keys: set[str], shapes: _Shapes
) -> None:
    require_facts(reader.header, parameters, key_id, keys)
    require_sections(reader.header, [(name, DType.U8, shape) for name, shape in shapes.items()])


def require_facts(header: Header, parameters: MatchParameters, key_id: str, keys: set[str]) -> None:
    """Parameters, key and exactly these metadata, `parameters` among them.

    Raises:
        ParameterMismatch, KeyMismatch, Corrupt: the header has others.
    """
    container.require_match(header, parameter_hash=parameters.digest, key_id=key_id)
    if set(header.metadata) != keys:
        raise Corrupt(f"{header.source}: its metadata must be {', '.join(sorted(keys))}")
    if header.text("parameters") != parameters.parameters.name:
        raise Corrupt(f"{header.source}: names other parameters than its hash")


def require_sections(header: Header, wanted: Sequence[tuple[str, DType, tuple[int, ...]]]) -> None:
    """Exactly these sections, in this order: name, type of the numbers, shape.

    Raises:
        Corrupt: the header has others.
    """
    found = [(one.name, one.dtype, one.shape) for one in header.sections]
    if found != list(wanted):
        names = ", ".join(f"{name} {list(shape)}" for name, _, shape in wanted)
        raise Corrupt(f"{header.source}: must hold this and nothing else: {names}")


def _token(header: Header) -> bytes:
    text = header.text("token")
    if not is_hex(text, TOKEN_BYTES):
        raise Corrupt(f"{header.source}: its token is not {TOKEN_BYTES} bytes in hexadecimal")
    return bytes.fromhex(text)


def _blocks(header: Header) -> list[str]:
    found = header.metadata.get("blocks")
    if not isinstance(found, list) or not all(is_hex(digest, 32) for digest in found):
        raise Corrupt(f"{header.source}: its list of blocks is malformed")
    return found


def is_hex(text: Any, count: int) -> bool:
    """Whether something is text of so many bytes in lowercase hexadecimal."""
    if type(text) is not str or len(text) != 2 * count:
        return False
    return all(c in "0123456789abcdef" for c in text)


# --- evaluation keys -----------------------------------------------------------------------------


def load_gallery_keys(
    path: Path, parameters: MatchParameters, key_id: str | None = None, threads: int = 1
) -> EvaluationKeys:
    """Read the evaluation keys of a gallery; errors as `load_evaluation_keys`.

    key_id: of the gallery, where it is known.

    Raises:
        WrongKind: they are an engine's.
        KeyMismatch: they belong to another key, or one that the search needs is missing.
    """
    header = container.read_header(path, expect_kind=Kind.EVALUATION_KEYS)
    require_gallery(header)
    container.require_match(header, key_id=key_id)
    wanted = MatchPlan(parameters).keys()
    return load_evaluation_keys(path, wanted, loader_of(parameters), threads=threads)


def loader_of(parameters: MatchParameters) -> ParameterLoader:
    """Finds the parameters of these galleries by name, and no others."""

    def load(name: str) -> Parameters:
        if name != parameters.parameters.name:
            raise KeyError(name)
        return parameters.parameters

    return load


# --- what people want to know --------------------------------------------------------------------


def describe(header: Header) -> dict[str, Any]:
    """Facts of a file of one of these kinds, JSON-ready, from its header alone."""
    facts: dict[str, Any] = {"parameters": header.text("parameters")}
    if header.kind is not Kind.SEALED_BLOCK:
        facts["token"] = _token(header).hex()
    if header.kind is Kind.SCORES:
        facts["blocks"] = len(_blocks(header))
    return facts
