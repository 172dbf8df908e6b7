"""Changes to bytes, JSON and containers. All take their randomness from the caller."""

from __future__ import annotations

import copy
import hashlib
import json
import random
from collections.abc import Callable
from typing import Any

from fhe_core.container.header import DIGEST_BYTES, MAGIC, PREAMBLE, aligned, payload_start

MAX_BYTES = 1 << 20
_NUMBERS = (
    0,
    1,
    -1,
    2,
    63,
    64,
    65,
    255,
    2**31,
    2**32,
    2**53,
    2**63 - 1,
    2**63,
    2**64 - 1,
    -(2**63),
)
_TEXTS = (
    "", "0", "nan", "inf", "-inf", "0x1p+2000", "0x0p+0", "-0x1p-1074", "1e999", "a\nb", "\0",
    "\ud7ff", "x" * 300, "../x", "safe", "true",
)  # fmt: skip
_VALUES: tuple[Any, ...] = (*_NUMBERS, *_TEXTS, None, True, False, [], {}, [[]], [0], 0.5, 1e308)


def mutate_bytes(data: bytes, draw: random.Random) -> bytes:
    """Flip, overwrite, remove, repeat or insert a few bytes."""
    out = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 4))):
        place = draw.randrange(len(out) + 1)
        length = draw.choice((1, 1, 2, 4, 8, 64, 1024))
        action = draw.randrange(6)
        if action == 0 and place < len(out):
            out[place] ^= 1 << draw.randrange(8)
        elif action == 1:
            number = draw.choice(_NUMBERS) % 2**64
            size = draw.choice((1, 2, 4, 8))
            order = "little" if draw.random() < 0.5 else "big"
            out[place : place + size] = (number % 2 ** (8 * size)).to_bytes(size, order)
        elif action == 2:
            del out[place : place + length]
        elif action == 3:
            out[place:place] = out[place : place + length]
        elif action == 4:
            out[place:place] = draw.randbytes(length)
        else:
            del out[place:]
    return bytes(out[:MAX_BYTES])


def mutate_value(value: Any, draw: random.Random) -> Any:
    """A JSON value with one node changed, removed, repeated or moved."""
    value = copy.deepcopy(value)
    nodes: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for key, child in items:
            nodes.append((node, key))
            if isinstance(child, dict | list):
                walk(child)

    if isinstance(value, dict | list):
        walk(value)
    if not nodes or draw.random() < 0.02:
        return copy.deepcopy(draw.choice(_VALUES))
    node, key = draw.choice(nodes)
    action = draw.randrange(8)
    if action == 0:
        del node[key]
    elif action == 1 and isinstance(node, list):
        node.insert(key, copy.deepcopy(node[key]))
    elif action == 2:
        other, name = draw.choice(nodes)
        # A copy: a structure must not come to hold itself.
        node[key] = copy.deepcopy(other[name])
    elif action == 3 and type(node[key]) is int:
        node[key] += draw.choice((-1, 1, 2, 1000))
    elif action == 4 and isinstance(node[key], str):
        text = node[key]
        place = draw.randrange(len(text) + 1)
        node[key] = text[:place] + draw.choice(("", "0", "f", "-", " ", "é")) + text[place + 1 :]
    elif action == 5 and isinstance(node, dict):
        node[draw.choice(("x", "seed", "digest", ""))] = node.pop(key)
    else:
        node[key] = copy.deepcopy(draw.choice(_VALUES))
    return value


def mutate_json(data: bytes, draw: random.Random) -> bytes:
    """JSON text with a changed node; other bytes where it is no JSON."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return mutate_bytes(data, draw)
    if draw.random() < 0.1:
        return mutate_bytes(data, draw)
    for _ in range(draw.choice((1, 1, 2, 3))):
        value = mutate_value(value, draw)
    return json.dumps(value).encode("utf-8", "surrogatepass")[:MAX_BYTES]


def mutate_container(data: bytes, draw: random.Random) -> bytes:
    """A container with a changed header or section, and digests that fit again (mostly)."""
    parts = _split(data)
    if parts is None or draw.random() < 0.05:
        return mutate_bytes(data, draw)
    kind, document, sections = parts
    change = draw.random()
    if change < 0.6:
        document = mutate_value(document, draw)
    elif sections:
        place = draw.randrange(len(sections))
        sections[place] = mutate_bytes(sections[place], draw)
    else:
        kind = draw.randrange(6)
    return _joined(kind, document, sections, draw.random() < 0.9)[:MAX_BYTES]


def _split(data: bytes) -> tuple[int, Any, list[bytes]] | None:
    """Kind, header and sections, as far as the bytes are such a file."""
    try:
        magic, _, kind, length = PREAMBLE.unpack_from(data)
        document = json.loads(data[PREAMBLE.size : PREAMBLE.size + length])
        start = payload_start(length)
        sections = [
            data[start + s["offset"] : start + s["offset"] + s["length"]]
            for s in document["sections"]
        ]
    except Exception:  # whatever a damaged header leads to
        return None
    return (kind, document, sections) if magic == MAGIC else None


def _joined(kind: int, document: Any, sections: list[bytes], repaired: bool) -> bytes:
    """The file; with `repaired`, lengths, places and digests are those of the sections."""
    payload, end = b"", 0
    listed = document.get("sections") if isinstance(document, dict) else None
    entries = listed if isinstance(listed, list) else []
    for number, section in enumerate(sections):
        payload += bytes(aligned(end) - end) + section
        if repaired and number < len(entries) and isinstance(entries[number], dict):
            digest = hashlib.sha256(section).hexdigest()
            entries[number] |= {"offset": aligned(end), "length": len(section), "digest": digest}
        end = len(payload)
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    header = text.encode("utf-8", "surrogatepass")
    front = PREAMBLE.pack(MAGIC, 1, kind, len(header)) + header
    front += hashlib.sha256(front).digest()
    padding = bytes(payload_start(len(header)) - PREAMBLE.size - len(header) - DIGEST_BYTES)
    return front + padding + payload


def either(*mutators: Callable[[bytes, random.Random], bytes]) -> Callable[..., bytes]:
    """One of several, by chance."""

    def mutate(data: bytes, draw: random.Random) -> bytes:
        return draw.choice(mutators)(data, draw)

    return mutate
