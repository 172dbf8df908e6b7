"""Ciphertexts and evaluation keys as containers; public material only."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from fhe_core import container
from fhe_core.ciphertext import Ciphertext, Words
from fhe_core.container import DType, Header, Kind, Reader, Section
from fhe_core.formats.heads import (
    Admission,
    Head,
    ItemHead,
    item_layout,
    read_head,
    section_key,
)
from fhe_core.formats.purpose import require_engine
from fhe_core.formats.residues import Layout, layout
from fhe_core.keys.evaluation import EvaluationKey, EvaluationKeys, key_of_rows
from fhe_core.keys.expand import FRESH_DOMAIN, SEED_BYTES, uniform_row
from fhe_core.parameters import Parameters, presets
from fhe_core.plan import KeyName, KeySpecification

Path = str | os.PathLike[str]
#: Called with (done, total) while something long goes on.
Progress = Callable[[int, int], None]
#: Finds parameters by preset name; tests pass their own.
ParameterLoader = Callable[[str], Parameters]


@dataclass(frozen=True, eq=False)
class Bundle:
    """Named ciphertexts of one client that travel together.

    Attributes:
        what: they are, such as "image".
        seeds: 32-byte seed of c1 by ciphertext name; only fresh ciphertexts have one.
        facts: JSON-ready facts that the receiver needs (no floats; hexadecimal text instead).
    """

    what: str
    parameters: Parameters
    key_id: str
    items: Mapping[str, Ciphertext]
    facts: Mapping[str, Any]
    seeds: Mapping[str, bytes]

    def __repr__(self) -> str:
        """One line: no residues."""
        size = sum(item.residues.nbytes for item in self.items.values())
        return (
            f"<Bundle of {len(self.items)} encrypted {self.what} ciphertexts, {size / 1e6:.1f} MB, "
            f"key {self.key_id[:8]}>"
        )

    def save(self, path: Path) -> None:
        """Write to a file, atomically; FileError where that cannot be done."""
        save_bundle(path, self)

    @classmethod
    def load(cls, path: Path, expect: str | None = None) -> Bundle:
        """Read a file; expect: what it must hold. ContainerError where it cannot be used."""
        return load_bundle(path, expect)

    def to_bytes(self) -> bytes:
        """As the file that `save` writes, for sending."""
        return container.dumps(
            Kind.CIPHERTEXT,
            self.parameters.digest,
            self.key_id,
            bundle_metadata(self),
            bundle_sections(self),
        )

    @classmethod
    def from_bytes(cls, data: bytes, expect: str | None = None) -> Bundle:
        """Inverse of `to_bytes`; ContainerError where the bytes cannot be used."""
        with container.loads(data, expect_kind=Kind.CIPHERTEXT) as reader:
            return _read_bundle(reader, expect, presets.load)


def parameters_of(header: Header, load: ParameterLoader = presets.load) -> Parameters:
    """The parameters that a file was made with.

    Raises:
        ParameterMismatch: this version has no such set, or it is another one of that name.
        WrongKind: the loader does not know it because it is a gallery's.
    """
    name = header.text("parameters")
    try:
        parameters = load(name)
    except KeyError:
        require_engine(header)
        raise container.ParameterMismatch(
            f"{header.source}: made with parameters '{name}', which this version does not have"
        ) from None
    if header.parameter_hash != parameters.digest:
        raise container.ParameterMismatch(
            f"{header.source}: made by a version whose parameters '{name}' were other ones; make "
            "new keys, and encrypt the faces again with them"
        )
    return parameters


def bundle_sections(bundle: Bundle) -> list[Section]:
    """Sections of a bundle: both halves, or the computed half and a seed."""
    sections = []
    for name, item in bundle.items.items():
        key = section_key(name)
        if name in bundle.seeds:
            seed = np.frombuffer(bundle.seeds[name], dtype=np.uint8)
            sections.append(Section.from_array(f"{key}/seed", seed))
            half = item_layout(bundle.parameters, item.level, 1)
            sections.append(half.section(f"{key}/c0", item.residues[:1]))
        else:
            both = item_layout(bundle.parameters, item.level, 2)
            sections.append(both.section(f"{key}/c", item.residues))
    return sections


def bundle_metadata(bundle: Bundle) -> dict[str, Any]:
    return {
        "parameters": bundle.parameters.name,
        "what": bundle.what,
        "items": [
            {"name": name, "limbs": item.limbs, "level": item.level, "scale": item.scale.hex()}
            for name, item in bundle.items.items()
        ],
        "facts": dict(bundle.facts),
    }


def save_bundle(path: Path, bundle: Bundle) -> Header:
    """Write ciphertexts atomically."""
    return container.write(
        path,
        Kind.CIPHERTEXT,
        bundle.parameters.digest,
        bundle.key_id,
        bundle_metadata(bundle),
        bundle_sections(bundle),
    )


def load_bundle(
    path: Path,
    expect: str | None = None,
    load: ParameterLoader = presets.load,
    admit: Admission | None = None,
) -> Bundle:
    """Read ciphertexts; every residue is checked to lie below its modulus.

    admit: refuses what the reader does not want, from the header: nothing else has been read then.

    Raises:
        ContainerError: the file is not what it should be; the message says what would be right.
    """
    with container.open(path, expect_kind=Kind.CIPHERTEXT) as reader:
        return _read_bundle(reader, expect, load, admit)


def bundle_from_bytes(
    data: bytes, name: str, load: ParameterLoader = presets.load, admit: Admission | None = None
) -> Bundle:
    """As `load_bundle`; ``name`` stands for the file in messages."""
    with container.loads(data, name=name, expect_kind=Kind.CIPHERTEXT) as reader:
        return _read_bundle(reader, None, load, admit)


def _read_bundle(
    reader: Reader, expect: str | None, load: ParameterLoader, admit: Admission | None = None
) -> Bundle:
    header = reader.header
    parameters = parameters_of(header, load)
    what = header.text("what")
    if expect is not None and what != expect:
        raise container.WrongKind(f"{header.source}: holds an encrypted {what}, not {expect}")
    head = read_head(header, parameters)
    if admit is not None:
        admit(head)
    items: dict[str, Ciphertext] = {}
    seeds: dict[str, bytes] = {}
    for item in head.items:
        key = section_key(item.name)
        if f"{key}/seed" in reader.names:
            seed = _array(reader, f"{key}/seed", (SEED_BYTES,), DType.U8).tobytes()
            (c0,) = item_layout(parameters, item.level, 1).read(reader, f"{key}/c0")
            residues = np.stack([c0, expand_fresh(parameters, seed, item.level)])
            seeds[item.name] = seed
        else:
            residues = item_layout(parameters, item.level, 2).read(reader, f"{key}/c")
        items[item.name] = Ciphertext(residues, item.scale, item.level)
    return Bundle(what, parameters, header.key_id, items, head.facts, seeds)


def head_of(bundle: Bundle) -> Head:
    """What the header of a bundle's file would say."""
    items = tuple(ItemHead(name, c.level, c.scale) for name, c in bundle.items.items())
    source = f"the encrypted {bundle.what}"
    return Head(source, bundle.what, bundle.parameters, bundle.key_id, items, bundle.facts)


def known_facts(header: Header) -> Mapping[str, Any]:
    """What a bundle's header says, unchecked; nothing where it says nothing."""
    facts = header.metadata.get("facts")
    return facts if isinstance(facts, dict) else {}


def expand_fresh(parameters: Parameters, seed: bytes, level: int) -> Words:
    """c1 of a fresh ciphertext [limbs, N] at that level, from its seed."""
    rows, n = parameters.levels[level].rows, parameters.levels[level].ring_dimension
    out = np.empty((len(rows), n), dtype=np.uint64)
    for i, row in enumerate(rows):
        uniform_row(seed, FRESH_DOMAIN, 0, row, parameters.primes[row], out[i])
    return out


def evaluation_key_metadata(
    parameters: Parameters, specifications: Sequence[KeySpecification]
) -> dict[str, Any]:
    return {
        "parameters": parameters.name,
        "keys": [[s.name.rotation, s.name.tier, _bits(s.levels)] for s in specifications],
    }


def _bits(levels: Sequence[int]) -> int:
    """In a file, levels are a number with the bits of these numbers set."""
    return sum(1 << level for level in levels)


def load_evaluation_keys(
    path: Path,
    wanted: Sequence[KeySpecification] | None = None,
    load: ParameterLoader = presets.load,
    progress: Progress | None = None,
    threads: int = 1,
) -> EvaluationKeys:
    """Read and expand evaluation keys; with ``wanted`` only those, which the file must hold.

    threads: that many keys are read, checked and expanded at a time.

    Raises:
        ContainerError: the file is not what it should be, or lacks a wanted key.
    """
    with container.open(path, expect_kind=Kind.EVALUATION_KEYS) as reader:
        header = reader.header
        parameters = parameters_of(header, load)
        held = key_specifications(header, parameters)
        sections = {"seed", *(f"key/{position}" for position in range(len(held)))}
        _require_no_others(reader, sections)
        seed = _array(reader, "seed", (SEED_BYTES,), DType.U8).tobytes()
        chosen = list(range(len(held)))
        if wanted is not None:
            places = {specification.name: place for place, specification in enumerate(held)}
            chosen = [_find(header, held, places, specification) for specification in wanted]

        def read(position: int) -> EvaluationKey:
            return _read_key(reader, parameters, held[position], position, seed)

        keys: dict[KeyName, EvaluationKey] = {}
        with ThreadPoolExecutor(threads) as pool:
            try:
                for position, key in zip(chosen, pool.map(read, chosen), strict=True):
                    keys[held[position].name] = key
                    if progress is not None:
                        progress(len(keys), len(chosen))
            except BaseException:
                pool.shutdown(cancel_futures=True)  # an error must not wait for gigabytes
                raise
        return EvaluationKeys(parameters, header.key_id, keys)


def key_layout(specification: KeySpecification, parameters: Parameters) -> Layout:
    """How the computed half of a key lies in its section: a polynomial for every digit."""
    digits, _, n = specification.shape(parameters)
    return layout(parameters, specification.rows(parameters), digits, n)


def _read_key(
    reader: Reader,
    parameters: Parameters,
    specification: KeySpecification,
    position: int,
    seed: bytes,
) -> EvaluationKey:
    """Read row by row; each is checked and put in its place while it is in the cache."""
    name, own = f"key/{position}", key_layout(specification, parameters)
    _require_section(reader, name, *own.form)
    rows = own.rows(reader, name)
    return key_of_rows(parameters, specification, rows, seed, position + 1)


def key_specifications(header: Header, parameters: Parameters) -> list[KeySpecification]:
    """Which keys a file holds.

    Raises:
        Corrupt: the list does not fit the parameters.
    """
    entries = header.metadata.get("keys")
    found: list[KeySpecification] = []
    names: set[KeyName] = set()  # a header has room for 80,000 entries: never look through a list
    for entry in entries if isinstance(entries, list) else [None]:
        if not (isinstance(entry, list) and len(entry) == 3 and all(type(v) is int for v in entry)):
            raise container.Corrupt(f"{header.source}: the list of keys is malformed")
        rotation, tier, bits = entry
        levels = [level for level in range(parameters.top + 1) if bits >> level & 1]
        if not (
            0 <= tier < len(parameters.tiers)
            and 0 < bits < 1 << (parameters.top + 1)
            and all(parameters.levels[level].tier == tier for level in levels)
            and all(0 <= rotation < parameters.rotations_at(level) for level in levels)
        ):
            raise container.Corrupt(f"{header.source}: a key does not fit the parameters")
        name = KeyName(rotation, tier)
        if name in names:
            raise container.Corrupt(f"{header.source}: has two keys of the same name")
        names.add(name)
        found.append(KeySpecification(name, tuple(levels)))
    return found


def _find(
    header: Header,
    held: Sequence[KeySpecification],
    places: Mapping[KeyName, int],
    wanted: KeySpecification,
) -> int:
    position = places.get(wanted.name)
    if position is not None and held[position].serves(wanted):
        return position
    raise container.KeyMismatch(
        f"{header.source}: lacks the key for rotation {wanted.name.rotation} at level "
        f"{max(wanted.levels)}; make keys with the version that compiled the plan"
    )


def _array(reader: Reader, name: str, shape: tuple[int, ...], dtype: DType) -> Any:
    """A section in memory of ours, verified there: the file may change as soon as it was read."""
    _require_section(reader, name, dtype, shape)
    return reader.array(name, mmap=False)


def _require_section(reader: Reader, name: str, dtype: DType, shape: tuple[int, ...]) -> None:
    """Before any of it is read: its digest may be over gigabytes.

    Raises:
        Corrupt: it is missing, or of another shape.
    """
    source = reader.header.source
    if name not in reader.names:
        raise container.Corrupt(f"{source}: section '{name}' is missing")
    section = reader.header.section(name)
    if (section.shape, section.dtype) != (shape, dtype):
        raise container.Corrupt(f"{source}: section '{name}' has a wrong shape")


def _require_no_others(reader: Reader, names: Collection[str]) -> None:
    """Bytes that nothing reads are never checked, and are storage for whoever wrote them.

    Raises:
        Corrupt: the file has other sections as well.
    """
    for name in reader.names:
        if name not in names:
            raise container.Corrupt(
                f"{reader.header.source}: holds section '{name}', which nothing in it names"
            )
