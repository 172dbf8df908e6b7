"""What a ciphertext file's header says of it, before any ciphertext is read.

A reader that knows what it expects compares it with this, so that a file of another shape costs
neither memory nor time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fhe_core.container import Corrupt, DType, Header
from fhe_core.formats.preparation import check_preparation
from fhe_core.formats.residues import Layout, layout
from fhe_core.keys.expand import SEED_BYTES
from fhe_core.parameters import Parameters

#: Ciphertexts of a bundle, at most: those of 256 faces.
MAX_ITEMS = 1024
_ENTRY_KEYS = {"name", "limbs", "level", "scale"}


@dataclass(frozen=True)
class ItemHead:
    """One ciphertext: its name, level and exact scale."""

    name: str
    level: int
    scale: float


@dataclass(frozen=True)
class Head:
    """Everything about a bundle but the residues.

    source: names it in messages, such as its file.
    """

    source: str
    what: str
    parameters: Parameters
    key_id: str
    items: tuple[ItemHead, ...]
    facts: Mapping[str, Any]


#: Raises ContainerError where a bundle of that head is not wanted.
Admission = Callable[[Head], None]


def section_key(name: str) -> str:
    """What the sections of a ciphertext begin with."""
    return name.replace(" ", "-")


def read_head(header: Header, parameters: Parameters) -> Head:
    """The head of a ciphertext file, with the sections that it needs and no others.

    Raises:
        Corrupt: entries or facts are malformed, or the sections are not those of the entries.
    """
    entries = header.metadata.get("items")
    if not isinstance(entries, list) or not 1 <= len(entries) <= MAX_ITEMS:
        raise Corrupt(f"{header.source}: the list of ciphertexts is malformed")
    items = tuple(_entry(header, entry, parameters) for entry in entries)
    facts = header.metadata.get("facts")
    if not isinstance(facts, dict):
        raise Corrupt(f"{header.source}: the header has no facts")
    check_preparation(header.source, facts)
    _check_sections(header, items, parameters)
    return Head(header.source, header.text("what"), parameters, header.key_id, items, facts)


def _entry(header: Header, entry: Any, parameters: Parameters) -> ItemHead:
    if not isinstance(entry, dict) or set(entry) != _ENTRY_KEYS:
        raise Corrupt(f"{header.source}: a ciphertext's entry is malformed")
    name, limbs, level, text = (entry[key] for key in ("name", "limbs", "level", "scale"))
    try:
        scale = float.fromhex(text)
    except (TypeError, ValueError, OverflowError):
        raise Corrupt(f"{header.source}: a ciphertext's entry is malformed") from None
    possible = type(level) is int and 0 <= level <= parameters.top
    if not possible or type(limbs) is not int or limbs != parameters.levels[level].limbs:
        raise Corrupt(f"{header.source}: a ciphertext has an impossible level")
    if not 1.0 <= scale <= 2.0**120:
        raise Corrupt(f"{header.source}: a ciphertext has an impossible scale")
    if type(name) is not str or scale.hex() != text:
        raise Corrupt(f"{header.source}: a ciphertext's entry is malformed")
    return ItemHead(name, level, scale)


def item_layout(parameters: Parameters, level: int, polynomials: int) -> Layout:
    """How so many polynomials of a ciphertext at that level lie in a section."""
    own = parameters.levels[level]
    return layout(parameters, own.rows, polynomials, own.ring_dimension)


def _check_sections(header: Header, items: tuple[ItemHead, ...], parameters: Parameters) -> None:
    """Exactly the sections of the items, in their shapes: what nobody names is not stored."""
    found = {s.name: (s.dtype, s.shape) for s in header.sections}
    wanted: set[str] = set()
    for item in items:
        key = section_key(item.name)
        needed = {f"{key}/c": item_layout(parameters, item.level, 2).form}
        if f"{key}/seed" in found:
            needed = {
                f"{key}/seed": (DType.U8, (SEED_BYTES,)),
                f"{key}/c0": item_layout(parameters, item.level, 1).form,
            }
        if wanted & needed.keys():
            # One section, expanded again and again, would make seconds of work of few bytes.
            raise Corrupt(f"{header.source}: two ciphertexts share a name")
        wanted |= needed.keys()
        for name, (dtype, form) in needed.items():
            if name not in found:
                raise Corrupt(f"{header.source}: section '{name}' is missing")
            if found[name] != (dtype, form):
                raise Corrupt(f"{header.source}: section '{name}' has a wrong shape")
    if found.keys() - wanted:
        extra = min(found.keys() - wanted)
        raise Corrupt(f"{header.source}: section '{extra}' belongs to no ciphertext")
