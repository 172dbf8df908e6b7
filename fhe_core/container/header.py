"""The container's header: its model, its canonical encoding, and its hostile-input parser.

Nothing here reads a file: `encode_header` and `parse_header` map between a `Header` and bytes.
The byte layout is described in docs/format.md.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from types import MappingProxyType

from fhe_core.container import canonical
from fhe_core.container.canonical import JsonValue
from fhe_core.container.errors import Corrupt, KeyMismatch, ParameterMismatch, TooLarge, Truncated

MAGIC = b"\x89FHEC\r\n\x1a"
FORMAT_VERSION = 1
PREAMBLE = struct.Struct("<8sHHI")  # magic, format version, kind, header length in bytes
DIGEST_BYTES = 32
ALIGNMENT_BYTES = 64
MAX_RANK = 8
MAX_HEADER_BYTES = 1 << 20

_HEADER_KEYS = {"key_id", "metadata", "parameter_hash", "sections"}
_SECTION_KEYS = {"digest", "dtype", "length", "name", "offset", "shape"}
_NAME = re.compile(r"[a-z0-9][a-z0-9._/-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_KEY_ID = re.compile(r"(?:[0-9a-f]{2}){8,32}")


class Kind(IntEnum):
    """What a container holds; the number stands in the file and is never reused (4 was a plan)."""

    SECRET_KEY = 1
    EVALUATION_KEYS = 2
    CIPHERTEXT = 3
    SEALED_BLOCK = 5
    PROBE = 6
    SCORES = 7
    GALLERY_SWITCH = 8
    SWITCHED_FACE = 9
    FINDINGS = 10

    @property
    def label(self) -> str:
        """The name for people, such as "evaluation-keys"."""
        return self.name.lower().replace("_", "-")


class DType(str, Enum):
    """Element types; the number counts *bits* ("u8" is one byte). Always little-endian."""

    U8 = "u8"
    U64 = "u64"

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return int(self.value[1:]) // 8

    @property
    def numpy_name(self) -> str:
        """numpy's spelling (which counts bytes), such as "<u8" for 64 bits."""
        return f"<{self.value[0]}{self.itemsize}"


@dataclass(frozen=True, slots=True)
class Limits:
    """Upper bounds checked before anything of that size is read or allocated."""

    total_bytes: int = 16 << 30
    header_bytes: int = MAX_HEADER_BYTES
    sections: int = 4096

    @property
    def header_cap(self) -> int:
        """The bound on the JSON header in bytes; the format's own cap cannot be raised."""
        return min(self.header_bytes, MAX_HEADER_BYTES)


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class SectionInfo:
    """Where a section lies and what it holds.

    `offset` counts bytes from the payload's start, `length` bytes; `digest` is hex sha256.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    offset: int
    length: int
    digest: str


@dataclass(frozen=True, slots=True)
class Header:
    """A checked header. `source` names the file in messages; `total_bytes` is the file's size."""

    source: str
    kind: Kind
    parameter_hash: str
    key_id: str
    metadata: Mapping[str, JsonValue]
    sections: tuple[SectionInfo, ...]
    payload_offset: int
    total_bytes: int
    version: int = FORMAT_VERSION

    def section(self, name: str) -> SectionInfo:
        """The section of that name; raises Corrupt where the file has none."""
        for section in self.sections:
            if section.name == name:
                return section
        raise Corrupt(f"{self.source}: has no section {name!r}, which a {self.kind.label} needs")

    def integer(self, name: str, minimum: int, maximum: int) -> int:
        """The metadata value `name`, an integer in [minimum, maximum]; raises Corrupt if not."""
        value = self.metadata.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and minimum <= value <= maximum:
            return value
        raise Corrupt(
            f"{self.source}: metadata {name!r} must be an integer from {minimum} to {maximum}"
        )

    def text(self, name: str) -> str:
        """The metadata value `name`, a string; raises Corrupt if not."""
        value = self.metadata.get(name)
        if isinstance(value, str):
            return value
        raise Corrupt(f"{self.source}: metadata {name!r} must be a string")

    def real(self, name: str) -> float:
        """The metadata value `name`, a finite float as `float.hex()` wrote it; or Corrupt."""
        text = self.metadata.get(name)
        if isinstance(text, str) and len(text) <= 32:
            try:
                value = float.fromhex(text)
            except (ValueError, OverflowError):
                value = math.nan
            if math.isfinite(value) and value.hex() == text:
                return value
        raise Corrupt(f"{self.source}: metadata {name!r} must be a finite float in hex notation")


def require_match(
    header: Header, *, parameter_hash: str | None = None, key_id: str | None = None
) -> None:
    """Check that a file was made with these parameters and this key (None: not checked).

    Raises:
        ParameterMismatch: it was made with other parameters.
        KeyMismatch: it belongs to another key.
    """
    if parameter_hash is not None and header.parameter_hash != parameter_hash:
        raise ParameterMismatch(
            f"{header.source}: was made with parameters {header.parameter_hash[:16]}, "
            f"expected {parameter_hash[:16]}"
        )
    if key_id is not None and header.key_id != key_id:
        raise KeyMismatch(
            f"{header.source}: belongs to key {header.key_id or '(none)'}, expected {key_id}"
        )


def aligned(size: int) -> int:
    """The next multiple of the alignment at or above `size` (bytes)."""
    return -(-size // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def payload_start(header_length: int) -> int:
    """Where the payload begins in a file whose JSON header takes `header_length` bytes."""
    return aligned(PREAMBLE.size + header_length + DIGEST_BYTES)


def encode_header(header: Header) -> bytes:
    """The canonical JSON of the header (without preamble and digest).

    Raises:
        TypeError, ValueError: the metadata holds what canonical JSON does not allow.
    """
    sections: list[JsonValue] = [
        {
            "digest": section.digest,
            "dtype": section.dtype.value,
            "length": section.length,
            "name": section.name,
            "offset": section.offset,
            "shape": list(section.shape),
        }
        for section in header.sections
    ]
    return canonical.encode(
        {
            "key_id": header.key_id,
            "metadata": dict(header.metadata),
            "parameter_hash": header.parameter_hash,
            "sections": sections,
        }
    )


def parse_header(
    encoded: bytes, kind: Kind, source: str, total_bytes: int | None, limits: Limits
) -> Header:
    """The checked header from its JSON bytes, whose digest was verified already.

    total_bytes: the file's size; None where there is no file yet: what its sections need.

    Raises:
        Corrupt, Truncated, TooLarge: the header breaks a rule of the format, contradicts the
            file's size (`total_bytes`) or is over `limits`.
    """
    try:
        document = canonical.decode(encoded)
    except ValueError as error:
        raise Corrupt(f"{source}: its header is not canonical JSON ({error})") from None
    fields = _object(document, _HEADER_KEYS, source, "the header")
    metadata, sections = fields["metadata"], fields["sections"]
    if not isinstance(metadata, dict):
        raise Corrupt(f"{source}: its metadata must be a JSON object")
    if not isinstance(sections, list):
        raise Corrupt(f"{source}: its list of sections must be a JSON array")
    if len(sections) > limits.sections:
        raise TooLarge(f"{source}: has {len(sections)} sections, at most {limits.sections} allowed")
    infos, start = tuple(_section(entry, source) for entry in sections), payload_start(len(encoded))
    if total_bytes is None:
        total_bytes = start + (infos[-1].offset + infos[-1].length if infos else 0)
    header = Header(
        source=source,
        kind=kind,
        parameter_hash=_text(fields["parameter_hash"], source, "parameter_hash"),
        key_id=_text(fields["key_id"], source, "key_id"),
        metadata=MappingProxyType(metadata),
        sections=infos,
        payload_offset=start,
        total_bytes=total_bytes,
    )
    check_header(header, limits)
    return header


def check_header(header: Header, limits: Limits) -> None:
    """Raise Corrupt, Truncated or TooLarge unless the header keeps every rule of the format."""
    source = header.source
    if not _SHA256.fullmatch(header.parameter_hash):
        raise Corrupt(f"{source}: its parameter hash must be 64 lowercase hex digits")
    if not _KEY_ID.fullmatch(header.key_id):
        raise Corrupt(f"{source}: its key id must be 16 to 64 lowercase hex digits")
    names = [section.name for section in header.sections]
    if len(set(names)) != len(names):
        raise Corrupt(f"{source}: two of its sections have the same name")
    end = 0
    for section in header.sections:
        _check_section(section, source, aligned(end), limits)
        end = section.offset + section.length
    expected = header.payload_offset + end
    if expected > limits.total_bytes:
        raise TooLarge(f"{source}: takes {expected} bytes, at most {limits.total_bytes} allowed")
    if header.total_bytes < expected:
        raise Truncated(f"{source}: has {header.total_bytes} bytes, its header says {expected}")
    if header.total_bytes > expected:
        raise Corrupt(
            f"{source}: has {header.total_bytes} bytes, its header says {expected}; "
            "nothing may follow the last section"
        )


def _check_section(section: SectionInfo, source: str, offset: int, limits: Limits) -> None:
    if not _NAME.fullmatch(section.name):
        raise Corrupt(f"{source}: {section.name[:64]!r} is not a valid section name")
    where = f"{source}: section {section.name!r}"
    if not _SHA256.fullmatch(section.digest):
        raise Corrupt(f"{where}: its digest must be 64 lowercase hex digits")
    if len(section.shape) > MAX_RANK:
        raise Corrupt(f"{where}: has {len(section.shape)} dimensions, at most {MAX_RANK} allowed")
    if any(dimension < 0 for dimension in section.shape):
        raise Corrupt(f"{where}: a dimension of its shape is negative")
    # Zero dimensions count as one here, so that no library multiplies the others to overflow.
    if math.prod(max(d, 1) for d in section.shape) * section.dtype.itemsize > limits.total_bytes:
        raise TooLarge(f"{where}: its shape is over the limit of {limits.total_bytes} bytes")
    if math.prod(section.shape) * section.dtype.itemsize != section.length:
        raise Corrupt(f"{where}: its length does not fit its shape and type")
    if section.offset != offset:
        raise Corrupt(f"{where}: starts at {section.offset}, must start at {offset}")


def _section(entry: JsonValue, source: str) -> SectionInfo:
    fields = _object(entry, _SECTION_KEYS, source, "a section")
    shape, dtype = fields["shape"], fields["dtype"]
    if not isinstance(shape, list):
        raise Corrupt(f"{source}: a section's shape must be a JSON array")
    if dtype not in [known.value for known in DType]:
        raise Corrupt(f"{source}: a section's dtype must be one of {', '.join(DType)}")
    return SectionInfo(
        name=_text(fields["name"], source, "name"),
        dtype=DType(dtype),
        shape=tuple(_integer(dimension, source, "shape") for dimension in shape),
        offset=_integer(fields["offset"], source, "offset"),
        length=_integer(fields["length"], source, "length"),
        digest=_text(fields["digest"], source, "digest"),
    )


def _object(value: JsonValue, keys: set[str], source: str, what: str) -> dict[str, JsonValue]:
    if not isinstance(value, dict) or set(value) != keys:
        raise Corrupt(f"{source}: {what} must be a JSON object with {', '.join(sorted(keys))}")
    return value


def _text(value: JsonValue, source: str, name: str) -> str:
    if not isinstance(value, str):
        raise Corrupt(f"{source}: {name!r} must be a string")
    return value


def _integer(value: JsonValue, source: str, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise Corrupt(f"{source}: {name!r} must be an integer")
    return value
