"""Switching keys of galleries, switched faces and findings as containers; public material only.

As in `formats.matching`, everything that a reader knows is compared with the header before
anything else is read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_core import _native, container
from fhe_core.ciphertext import Words
from fhe_core.container import Corrupt, DType, Header, JsonValue, Kind, Limits, Reader, Section
from fhe_core.formats.ciphertexts import ParameterLoader, Path
from fhe_core.formats.matching import is_hex, require_facts, require_sections
from fhe_core.keys.evaluation import EvaluationKeys, expand_key
from fhe_core.keys.expand import SEED_BYTES, uniform_row
from fhe_core.matching.crossed import SUBJECT, Findings, SwitchedFace
from fhe_core.matching.parameters import RESIDUE_BYTES, MatchParameters
from fhe_core.matching.switch_plan import Form, SwitchPlan
from fhe_core.matching.switching import SwitchKey
from fhe_core.matching.values import Asked, Bytes, Scores
from fhe_core.parameters import presets

_HEADER_BYTES = 8192
#: Of a digest in canonical JSON, with quotes and a comma.
_DIGEST_BYTES = 67
#: Faces that may wait in one gallery: a search multiplies with each of them.
MOST_WAITING = 256
_REQUEST_DIGITS = 96


@dataclass(frozen=True)
class KeyFacts:
    """What the owner writes into a switching key beside its numbers.

    Attributes:
        outputs: names of the embedding and of the squared norm of a face, as results call them
            behind the face's own name.
        normalisation: of the circuit, as results name it.
        weights: digest of the network's, as results name it.
    """

    outputs: tuple[str, str]
    normalisation: Mapping[str, Any]
    weights: str


# --- the switching key ---------------------------------------------------------------------------


def described(plan: SwitchPlan, engine_key: str, facts: KeyFacts) -> dict[str, JsonValue]:
    """What a switching key says of itself, for whoever keeps it: see `switch_facts`."""
    return {
        "engine": {
            "parameters": plan.engine.name,
            "digest": plan.engine.digest,
            "key_id": engine_key,
        },
        "embedding": _described(facts.outputs[0], plan.embedding),
        "norm": _described(facts.outputs[1], plan.norm),
        "normalisation": dict(facts.normalisation),
        "weights": facts.weights,
    }


def save_switch_key(
    path: Path,
    parameters: MatchParameters,
    gallery_key: str,
    description: Mapping[str, JsonValue],
    seed: bytes,
    bodies: Sequence[Words],
) -> Header:
    """Write a key made by `secret.switching.switch_bodies`, atomically; an older one is replaced.

    description: as `described` gives it.
    """
    sections = [
        Section.from_array("seed", np.frombuffer(seed, np.uint8)),
        Section.from_array("bodies", np.stack(bodies)),
    ]
    metadata: dict[str, JsonValue] = {"parameters": parameters.parameters.name, **description}
    kind = Kind.GALLERY_SWITCH
    return container.write(path, kind, parameters.digest, gallery_key, metadata, sections)


def load_switch_key(
    path: Path, parameters: MatchParameters, key_id: str, load: ParameterLoader = presets.load
) -> tuple[SwitchKey, KeyFacts]:
    """Read and expand a switching key.

    key_id: of the gallery.

    Raises:
        ContainerError: it is damaged, something else, or of other parameters or another gallery.
    """
    with container.open(path, expect_kind=Kind.GALLERY_SWITCH) as reader:
        header = reader.header
        container.require_match(header, parameter_hash=parameters.digest, key_id=key_id)
        if header.text("parameters") != parameters.parameters.name:
            raise Corrupt(f"{header.source}: names other parameters than its hash")
        description = {k: v for k, v in header.metadata.items() if k != "parameters"}
        plan, facts, engine_key = switch_facts(header.source, description, parameters, load)
        ring, wanted = parameters.parameters, plan.parts + len(plan.added_keys())
        rows = [*ring.moduli, *ring.specials]
        shape = (wanted, len(rows), ring.ring_dimension)
        require_sections(header, [("seed", DType.U8, (SEED_BYTES,)), ("bodies", DType.U64, shape)])
        seed = reader.array("seed", mmap=False).tobytes()
        bodies: Words = reader.array("bodies", mmap=False)
    for place, modulus in enumerate(rows):
        _require_below(header, bodies[:, place], modulus)
    parts = np.empty((plan.parts, 2, *shape[1:]), np.uint64)
    parts[:, 0] = bodies[: plan.parts]
    for number, part in enumerate(parts, 1):
        for row, modulus in enumerate(rows):
            uniform_row(seed, number, 0, row, modulus, part[1, row])
    added = {
        one.name: expand_key(ring, one, [bodies[number - 1]], seed, number)
        for number, one in enumerate(plan.added_keys(), 1 + plan.parts)
    }
    keys = EvaluationKeys(ring, key_id, added)
    return SwitchKey(plan, engine_key, key_id, parts, keys), facts


def switch_facts(
    source: str,
    description: Mapping[str, Any],
    parameters: MatchParameters,
    load: ParameterLoader = presets.load,
) -> tuple[SwitchPlan, KeyFacts, str]:
    """What a switching key says: its plan, its facts, and the id of the engine's key.

    source: names it in messages.

    Raises:
        Corrupt: something of it cannot be. ParameterMismatch: of an engine that is not known.
    """
    wanted = {"engine", "embedding", "norm", "normalisation", "weights"}
    if set(description) != wanted:
        raise Corrupt(f"{source}: its metadata must be {', '.join(sorted(wanted))}")
    engine, names = description["engine"], ("parameters", "digest", "key_id")
    if not isinstance(engine, dict) or set(engine) != set(names):
        raise Corrupt(f"{source}: does not say which engine it is for")
    name, digest, key_id = (engine[one] for one in names)
    if not is_hex(key_id, 16):
        raise Corrupt(f"{source}: names no key of an engine")
    try:
        found = load(str(name))
    except KeyError:
        found = None
    if found is None or found.digest != digest:
        raise container.ParameterMismatch(
            f"{source}: is for an engine with parameters {str(name)[:40]!r} that this version does "
            "not have"
        )
    forms = [_form(source, one, description[one], found.top) for one in ("embedding", "norm")]
    normalisation, weights = description["normalisation"], description["weights"]
    if not isinstance(normalisation, dict) or not isinstance(weights, str):
        raise Corrupt(f"{source}: does not say which network and normalisation it is for")
    try:
        plan = SwitchPlan(found, parameters, forms[0][1], forms[1][1])
    except (container.ParameterMismatch, OverflowError) as error:
        raise Corrupt(f"{source}: {error}") from None
    return plan, KeyFacts((forms[0][0], forms[1][0]), normalisation, weights), str(key_id)


def _described(name: str, form: Form) -> list[JsonValue]:
    return [name, form.level, form.scale.hex()]


def _form(source: str, entry: str, found: Any, top: int) -> tuple[str, Form]:
    if isinstance(found, list) and len(found) == 3:
        name, level, scale = found
        if isinstance(name, str) and type(level) is int and isinstance(scale, str):
            try:
                value = float.fromhex(scale)
            except (ValueError, OverflowError):
                value = math.nan
            if 0 <= level <= top and 1 <= value < math.inf and len(name) <= 64:
                return name, Form(level, value)
    raise Corrupt(f"{source}: its {entry} is malformed")


# --- faces and findings --------------------------------------------------------------------------


def face_to_bytes(face: SwitchedFace) -> bytes:
    """As its file is; the digest of this names it."""
    sections = [
        Section.from_array(name, _native.pack48(words))
        for name, words in (("embedding", face.embedding), ("norm", face.norm))
    ]
    metadata: dict[str, JsonValue] = {
        "parameters": face.parameters.parameters.name,
        "request": face.request,
        "subject": face.subject,
    }
    digest, key_id = face.parameters.digest, face.key_id
    return container.dumps(Kind.SWITCHED_FACE, digest, key_id, metadata, sections)


def face_bytes(parameters: MatchParameters) -> int:
    """Of the file of a switched face, at most."""
    return 2 * _HEADER_BYTES + 2 * _ciphertext_bytes(parameters)


def face_from_bytes(
    data: bytes, parameters: MatchParameters, key_id: str, name: str = "<bytes>"
) -> SwitchedFace:
    """Inverse of `face_to_bytes`.

    Raises:
        ContainerError: it is damaged, something else, or of other parameters or another key.
    """
    limits = Limits(face_bytes(parameters), _HEADER_BYTES, 2)
    kind = Kind.SWITCHED_FACE
    with container.loads(data, name=name, expect_kind=kind, limits=limits) as reader:
        header = reader.header
        require_facts(header, parameters, key_id, {"parameters", "request", "subject"})
        request, subject = _request(header), _subject(header)
        shape = _packed(parameters)
        require_sections(header, [(one, DType.U8, shape) for one in ("embedding", "norm")])
        both = [_ciphertext(reader, one, parameters) for one in ("embedding", "norm")]
    return SwitchedFace(parameters, key_id, request, subject, *both)


def _request(header: Header) -> str:
    request = header.text("request")
    if not is_hex(request, _REQUEST_DIGITS // 2):
        raise Corrupt(f"{header.source}: does not say which request it is of")
    return request


def _subject(header: Header) -> str:
    subject = header.text("subject")
    if subject and not SUBJECT.fullmatch(subject):
        raise Corrupt(f"{header.source}: its subject is no id")
    return subject


def findings_to_bytes(found: Findings) -> bytes:
    """As their file is."""
    scores, p = found.scores, found.scores.parameters
    words = np.ascontiguousarray(found.products, "<u4").view(np.uint8)
    small = words.reshape(*found.products.shape, 4)[..., : p.result_bytes]
    sections = [
        Section.from_array("words", scores.words),
        Section.from_array("norm", _native.pack48(found.norm)),
        Section.from_array("products", np.ascontiguousarray(small)),
    ]
    metadata: dict[str, JsonValue] = {
        "parameters": p.parameters.name,
        "token": scores.token.hex(),
        "blocks": list(scores.blocks),
        "masks": scores.masks,
        "waiting": list(found.waiting),
    }
    return container.dumps(Kind.FINDINGS, p.digest, scores.key_id, metadata, sections)


def findings_from_bytes(data: bytes, asked: Asked, name: str = "<bytes>") -> Findings:
    """Inverse of `findings_to_bytes`, for a reader who knows what they must answer.

    Which faces wait, the answer says: at most `MOST_WAITING`.

    Raises:
        AnswerMismatch: they answer another request, or are of other blocks.
        StaleAnswer: they are of other positions.
        ContainerError: they are damaged, something else, or of another key.
    """
    p = asked.parameters
    header_bytes = _HEADER_BYTES + _DIGEST_BYTES * (len(asked.blocks) + MOST_WAITING)
    products = (1 + MOST_WAITING) * (1 + p.templates) * p.result_bytes
    size = math.prod(max(1, n) for n in asked.shape) + _ciphertext_bytes(p) + products
    limits = Limits(header_bytes + _HEADER_BYTES + size, header_bytes, 3)
    with container.loads(data, name=name, expect_kind=Kind.FINDINGS, limits=limits) as reader:
        header = reader.header
        keys = {"parameters", "token", "blocks", "masks", "waiting"}
        require_facts(header, p, asked.key_id, keys)
        token, blocks, named = findings_facts(header)
        asked.require(header.source, token, blocks, header.text("masks"))
        require_sections(
            header,
            [
                ("words", DType.U8, asked.shape),
                ("norm", DType.U8, _packed(p)),
                ("products", DType.U8, (1 + len(named), 1 + p.templates, p.result_bytes)),
            ],
        )
        words: Bytes = reader.array("words", mmap=False)
        norm = _ciphertext(reader, "norm", p)
        small: Bytes = reader.array("products", mmap=False)
    wide = np.zeros((*small.shape[:2], 4), np.uint8)
    wide[..., : p.result_bytes] = small
    scores = Scores(p, asked.key_id, token, tuple(blocks), asked.masks, words)
    return Findings(scores, norm, wide.view("<u4")[..., 0].astype(np.uint32), tuple(named))


def findings_facts(header: Header) -> tuple[bytes, list[str], list[str]]:
    """The token of findings, their blocks, and the faces that wait.

    Raises:
        Corrupt: a list is malformed, or says that more wait than may.
    """
    token = header.text("token")
    blocks, waiting = (header.metadata.get(one) for one in ("blocks", "waiting"))
    for found in (blocks, waiting):
        if not isinstance(found, list) or not all(is_hex(one, 32) for one in found):
            raise Corrupt(f"{header.source}: its lists of blocks and faces are malformed")
    assert isinstance(blocks, list)
    assert isinstance(waiting, list)
    if not is_hex(token, 32) or len(set(map(str, waiting))) < len(waiting):
        raise Corrupt(f"{header.source}: has no token, or a face twice")
    if len(waiting) > MOST_WAITING:
        raise Corrupt(f"{header.source}: is of {len(waiting)} faces that wait")
    return bytes.fromhex(token), list(map(str, blocks)), list(map(str, waiting))


# --- what people want to know --------------------------------------------------------------------


def describe(
    header: Header, parameters: MatchParameters, load: ParameterLoader = presets.load
) -> dict[str, Any]:
    """Facts of a file of one of these kinds, JSON-ready, from its header alone.

    Raises:
        Corrupt, ParameterMismatch: it says what cannot be.
    """
    if header.kind is Kind.FINDINGS:
        token, blocks, waiting = findings_facts(header)
        return {"token": token.hex(), "blocks": len(blocks), "waiting": len(waiting)}
    if header.kind is Kind.SWITCHED_FACE:
        return {"token": _request(header), "subject": _subject(header)}
    description = {k: v for k, v in header.metadata.items() if k != "parameters"}
    plan, facts, engine_key = switch_facts(header.source, description, parameters, load)
    return {
        "engine": plan.engine.name,
        "engine_key": engine_key,
        "parts": plan.parts,
        "weights": facts.weights,
    }


# --- shared --------------------------------------------------------------------------------------


def _packed(parameters: MatchParameters) -> tuple[int, int]:
    return (2, RESIDUE_BYTES * parameters.templates)


def _ciphertext_bytes(parameters: MatchParameters) -> int:
    return math.prod(_packed(parameters))


def _ciphertext(reader: Reader, name: str, parameters: MatchParameters) -> Words:
    words = _native.unpack48(reader.array(name, mmap=False))
    _require_below(reader.header, words, parameters.modulus)
    return words


def _require_below(header: Header, words: NDArray[np.uint64], modulus: int) -> None:
    if words.max() >= modulus:
        raise Corrupt(f"{header.source}: holds a residue that is not below its modulus")
