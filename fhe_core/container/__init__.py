"""The binary container for all that crosses between client and server.

Versioned, self-describing and checksummed; docs/format.md describes the bytes. Writing is atomic
and streams sections of any size; reading checks sizes before it allocates and digests before it
returns an array::

    container.write(path, Kind.CIPHERTEXT, parameter_hash, key_id, {"level": 3}, sections)
    with container.open(path, expect_kind=Kind.CIPHERTEXT) as reader:
        require_match(reader.header, key_id=key_id)
        residues = reader.array("residues")
"""

from fhe_core.container.canonical import JsonValue
from fhe_core.container.errors import (
    AccessError,
    ContainerError,
    Corrupt,
    KeyMismatch,
    NotAContainer,
    ParameterMismatch,
    TooLarge,
    Truncated,
    UnsupportedVersion,
    WrongKind,
)
from fhe_core.container.header import (
    DEFAULT_LIMITS,
    FORMAT_VERSION,
    DType,
    Header,
    Kind,
    Limits,
    SectionInfo,
    require_match,
)
from fhe_core.container.reader import Reader, loads, open, parse_front, read_header
from fhe_core.container.recognise import file_kind
from fhe_core.container.writer import Chunk, Section, dumps, write

__all__ = [
    "DEFAULT_LIMITS",
    "FORMAT_VERSION",
    "AccessError",
    "Chunk",
    "ContainerError",
    "Corrupt",
    "DType",
    "Header",
    "JsonValue",
    "KeyMismatch",
    "Kind",
    "Limits",
    "NotAContainer",
    "ParameterMismatch",
    "Reader",
    "Section",
    "SectionInfo",
    "TooLarge",
    "Truncated",
    "UnsupportedVersion",
    "WrongKind",
    "dumps",
    "file_kind",
    "loads",
    "open",
    "parse_front",
    "read_header",
    "require_match",
    "write",
]
