"""Writing containers: sections are streamed and their digests patched into the header after."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fhe_core.container.canonical import JsonValue
from fhe_core.container.errors import AccessError, ContainerError, Corrupt, TooLarge
from fhe_core.container.header import (
    DEFAULT_LIMITS,
    FORMAT_VERSION,
    MAGIC,
    PREAMBLE,
    DType,
    Header,
    Kind,
    Limits,
    SectionInfo,
    aligned,
    check_header,
    encode_header,
    payload_start,
)
from fhe_core.container.recognise import file_kind
from fhe_core.files import FileError, ReplacementError, atomic_write, shown

Chunk: TypeAlias = "bytes | bytearray | memoryview | NDArray[Any]"

_PIECE_BYTES = 1 << 20  # hashed and written while still in cache
_NO_DIGEST = "0" * 64


@dataclass(frozen=True, slots=True)
class Section:
    """A section to write: `chunks` give its little-endian bytes in C order, in any pieces.

    A chunk is bytes-like (raw little-endian bytes) or an array of exactly the section's dtype.
    The chunks are asked for one at a time, when their turn to be written comes, so a generator
    keeps only one of them in memory.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    chunks: Iterable[Chunk]

    @classmethod
    def from_array(cls, name: str, array: NDArray[Any]) -> Section:
        """A section from an array of uint8 or uint64, of any shape.

        Raises:
            TypeError: any other dtype; nothing is converted silently.
        """
        for dtype in DType:
            if array.dtype.newbyteorder("<") == np.dtype(dtype.numpy_name):
                return cls(name, dtype, array.shape, (array,))
        raise TypeError(f"section {name!r}: {array.dtype} is none of {', '.join(DType)}")


def write(
    path: str | os.PathLike[str],
    kind: Kind,
    parameter_hash: str,
    key_id: str,
    metadata: Mapping[str, JsonValue],
    sections: Iterable[Section],
    *,
    private: bool = False,
    overwrite: bool = True,
    limits: Limits = DEFAULT_LIMITS,
) -> Header:
    """Write a container atomically and return its header.

    On any failure, interruption included, no file is left behind and an older file of that name
    stays as it was.

    Args:
        path: the file; its folder must exist, and it must not be a symbolic link.
        kind: what the file holds. A secret key must be `private`.
        parameter_hash: sha256 of the encryption parameters, 64 lowercase hex digits.
        key_id: 16 to 64 lowercase hex digits; empty for a plan.
        metadata: what else the reader must know: None, bool, 64-bit int, str, and lists and dicts
            of these. A float is given exactly, as `float.hex()`.
        sections: in the order in which they are written.
        private: mode 0600 from creation on.
        overwrite: whether an existing file of the same kind may be replaced.
        limits: refuse to write what a reader with these limits would refuse to read.

    Raises:
        ReplacementError: a file of another kind stands there; it is never replaced.
        AccessError: the file cannot be written.
        TooLarge, Corrupt: the content is over the limits or breaks a rule of the format.
        TypeError: a metadata value or a chunk of the wrong type.
        ContainerError: a section's chunks are shorter or longer than its shape says.
    """
    if kind is Kind.SECRET_KEY and not private:
        raise ContainerError(f"{shown(path)}: a secret key must be written with private=True")
    header = _draft(shown(path), kind, parameter_hash, key_id, metadata, limits)
    try:
        what = file_kind(kind)
        with atomic_write(path, private=private, overwrite=overwrite, kind=what) as file:
            return _write_stream(file, header, list(sections), limits)
    except (AccessError, ReplacementError):
        raise
    except FileError as error:
        raise AccessError(str(error)) from error


def dumps(
    kind: Kind,
    parameter_hash: str,
    key_id: str,
    metadata: Mapping[str, JsonValue],
    sections: Iterable[Section],
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> bytes:
    """The bytes that `write` would put into a file; arguments and errors are the same."""
    buffer = io.BytesIO()
    header = _draft("<bytes>", kind, parameter_hash, key_id, metadata, limits)
    _write_stream(buffer, header, list(sections), limits)
    return buffer.getvalue()


def _draft(
    source: str,
    kind: Kind,
    parameter_hash: str,
    key_id: str,
    metadata: Mapping[str, JsonValue],
    limits: Limits,
) -> Header:
    """The header without its sections, checked before a file is created."""
    header = Header(source, kind, parameter_hash, key_id, metadata, (), 0, 0)
    check_header(header, limits)
    encode_header(header)
    return header


def _write_stream(out: BinaryIO, header: Header, sections: list[Section], limits: Limits) -> Header:
    header = _planned(header, sections, limits)
    _put(out, _front(header))  # digests unknown yet: reserves the room
    done = []
    position = 0
    for section, info in zip(sections, header.sections, strict=True):
        _put(out, bytes(info.offset - position))
        digest = _stream_section(out, section, info, header.source)
        done.append(replace(info, digest=digest))
        position = info.offset + info.length
    header = replace(header, sections=tuple(done))
    out.seek(0)
    _put(out, _front(header))
    return header


def _planned(header: Header, sections: list[Section], limits: Limits) -> Header:
    """The header with every section's place, its size, and room for the digests."""
    infos = []
    end = 0
    for section in sections:
        shape = tuple(int(dimension) for dimension in section.shape)
        length = section.dtype.itemsize
        for dimension in shape:
            length *= dimension
        infos.append(
            SectionInfo(section.name, section.dtype, shape, aligned(end), length, _NO_DIGEST)
        )
        end = aligned(end) + length
    header = replace(header, sections=tuple(infos))
    encoded_length = len(encode_header(header))
    if encoded_length > limits.header_cap or len(infos) > limits.sections:
        raise TooLarge(
            f"{header.source}: the header takes {encoded_length} bytes for {len(infos)} sections, "
            f"at most {limits.header_cap} bytes and {limits.sections} sections allowed"
        )
    start = payload_start(encoded_length)
    header = replace(header, payload_offset=start, total_bytes=start + end)
    check_header(header, limits)
    return header


def _front(header: Header) -> bytes:
    """All bytes before the payload."""
    encoded = encode_header(header)
    covered = PREAMBLE.pack(MAGIC, FORMAT_VERSION, header.kind, len(encoded)) + encoded
    front = covered + hashlib.sha256(covered).digest()
    if payload_start(len(encoded)) != header.payload_offset:
        raise AssertionError("the header's length changed while its sections were written")
    return front.ljust(header.payload_offset, b"\0")


def _stream_section(out: BinaryIO, section: Section, info: SectionInfo, source: str) -> str:
    """Write the section's bytes and return their sha256 in hex."""
    digest = hashlib.sha256()
    written = 0
    where = f"{source}: section {info.name!r}"
    for chunk in section.chunks:
        for piece in _pieces(chunk, section):
            written += len(piece)
            if written > info.length:  # stop at once: the chunks may have no end
                raise ContainerError(f"{where} was given more than {info.length} bytes")
            digest.update(piece)
            _put(out, piece)
    if written < info.length:
        raise ContainerError(f"{where} was given {written} bytes, its shape needs {info.length}")
    return digest.hexdigest()


def _pieces(chunk: Chunk, section: Section) -> Iterator[memoryview]:
    if isinstance(chunk, np.ndarray):
        expected = np.dtype(section.dtype.numpy_name)
        if chunk.dtype.newbyteorder("<") != expected:
            raise TypeError(
                f"section {section.name!r}: a chunk of {chunk.dtype} cannot become "
                f"{section.dtype.value}"
            )
        view = np.ascontiguousarray(chunk, dtype=expected).reshape(-1).view(np.uint8).data
    else:
        view = memoryview(chunk)
    if view.nbytes == 0:
        return
    view = view.cast("B")
    for start in range(0, len(view), _PIECE_BYTES):
        yield view[start : start + _PIECE_BYTES]


def _put(out: BinaryIO, data: bytes | memoryview) -> None:
    """Write all of `data`; buffered files and BytesIO take everything or raise."""
    if out.write(data) != len(data):
        raise Corrupt("a write was cut short")
