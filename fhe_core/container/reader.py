"""Reading containers: everything is checked before it is allocated, and verified before use."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_core.container.errors import (
    ContainerError,
    Corrupt,
    NotAContainer,
    TooLarge,
    Truncated,
    UnsupportedVersion,
    WrongKind,
)
from fhe_core.container.header import (
    DEFAULT_LIMITS,
    DIGEST_BYTES,
    FORMAT_VERSION,
    MAGIC,
    PREAMBLE,
    Header,
    Kind,
    Limits,
    SectionInfo,
    parse_header,
)
from fhe_core.container.sources import BytesSource, FileSource, Source
from fhe_core.files import shown

_PIECE_BYTES = 1 << 20


class Reader:
    """An open container. Arrays are verified against their digest before they are returned.

    Use it in a `with` block; arrays stay valid after it. A memory-mapped array shows the file as
    it is at that moment: a file that others may change while it is in use must be read with
    `mmap=False`, which verifies the very copy that it returns.
    """

    def __init__(self, source: Source, expect_kind: Kind | None, limits: Limits) -> None:
        self._source = source
        self._closed = False
        self._verified: set[str] = set()
        self.header: Header = _read_header(source, expect_kind, limits)

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the file. Arrays that were handed out stay valid."""
        self._closed = True
        self._source.close()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the sections, in file order."""
        return tuple(section.name for section in self.header.sections)

    def verify(self, name: str) -> None:
        """Compare a section with its digest, in small pieces; remembered until closed.

        Raises:
            Corrupt: the section differs from its digest, or there is no such section.
            Truncated, AccessError: the file shrank or cannot be read.
        """
        section = self.header.section(name)
        self._check_open()
        if name in self._verified:
            return
        digest = hashlib.sha256()
        for piece in self._pieces(section):
            digest.update(piece)
        self._compare(section, digest.hexdigest())
        self._verified.add(name)

    def verify_all(self, threads: int = 1) -> None:
        """Verify every section, `threads` of them at a time; errors as `verify`."""
        with ThreadPoolExecutor(max_workers=threads) as pool:
            list(pool.map(self.verify, self.names))

    def array(self, name: str, *, mmap: bool = True) -> NDArray[Any]:
        """The section as a read-only, little-endian array, verified against its digest.

        Args:
            name: of the section.
            mmap: map the file (nothing is copied) instead of reading it into memory.

        Raises:
            Corrupt: the section differs from its digest, or there is no such section.
            Truncated, AccessError: the file shrank or cannot be read.
        """
        if mmap:
            self.verify(name)
            return self.array_unverified(name)
        array = self.array_unverified(name, mmap=False)
        digest = hashlib.sha256(array.reshape(-1).view(np.uint8).data).hexdigest()
        self._compare(self.header.section(name), digest)
        return array

    def array_unverified(self, name: str, *, mmap: bool = True) -> NDArray[Any]:
        """As `array`, but the digest is *not* compared: only for content verified before."""
        section = self.header.section(name)
        self._check_open()
        dtype = np.dtype(section.dtype.numpy_name)
        count = section.length // section.dtype.itemsize
        start = self.header.payload_offset + section.offset
        if section.length == 0:
            flat = np.empty(0, dtype)
        elif mmap:
            flat = np.frombuffer(self._source.shared(), dtype, count, start)
        else:
            flat = np.empty(count, dtype)
            self._source.read_into(start, flat.view(np.uint8).data)
        array = flat.reshape(section.shape)
        array.flags.writeable = False
        return array

    def pieces_into(self, name: str, target: NDArray[Any], sizes: Sequence[int]) -> Iterator[None]:
        """The section's bytes, piece by piece into the same array; compared when all were read.

        The digest is that of the very bytes that the array held, whatever happens to the file
        meanwhile: nothing that was made of them may be used before the last step, which comes after
        the last piece, has not raised.

        Args:
            name: of the section.
            target: C-contiguous and writable.
            sizes: bytes of the pieces, again and again.

        Raises:
            ValueError: the section is no multiple of them, or one does not fit the target.
            Corrupt: the section differs from its digest, or there is no such section.
            Truncated, AccessError: the file shrank or cannot be read.
        """
        section = self.header.section(name)
        self._check_open()
        if not 0 < min(sizes) <= max(sizes) <= target.nbytes or section.length % sum(sizes):
            raise ValueError(f"section {name!r} has {section.length} bytes")
        position, digest = self.header.payload_offset + section.offset, hashlib.sha256()
        end, view = position + section.length, target.data.cast("B")
        for size in cycle(sizes):
            if position == end:
                break
            self._source.read_into(position, view[:size])
            digest.update(view[:size])
            position += size
            yield
        self._compare(section, digest.hexdigest())

    def _pieces(self, section: SectionInfo) -> Iterator[memoryview]:
        buffer = memoryview(bytearray(min(section.length, _PIECE_BYTES)))
        start = self.header.payload_offset + section.offset
        for position in range(0, section.length, _PIECE_BYTES):
            piece = buffer[: min(_PIECE_BYTES, section.length - position)]
            self._source.read_into(start + position, piece)
            yield piece

    def _compare(self, section: SectionInfo, digest: str) -> None:
        if digest != section.digest:
            raise Corrupt(
                f"{self._source.name}: section {section.name!r} does not fit its checksum; "
                "the file was damaged or altered"
            )

    def _check_open(self) -> None:
        if self._closed:
            raise ContainerError(f"{self._source.name}: the reader is closed")


def open(
    path: str | os.PathLike[str],
    *,
    expect_kind: Kind | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Reader:
    """Open a container file and check all of it but the sections' digests.

    Raises:
        AccessError: the file is missing, unreadable, or not a regular file.
        NotAContainer, UnsupportedVersion, WrongKind, Truncated, Corrupt, TooLarge: see there.
    """
    source = FileSource(path)
    try:
        return Reader(source, expect_kind, limits)
    except BaseException:
        source.close()
        raise


def loads(
    data: bytes | bytearray | memoryview,
    *,
    name: str = "<bytes>",
    expect_kind: Kind | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Reader:
    """As `open`, for a container in memory; `name` stands for the file in messages."""
    content = data if isinstance(data, bytes) else bytes(data)  # must not change once verified
    return Reader(BytesSource(content, shown(name)), expect_kind, limits)


def read_header(
    path: str | os.PathLike[str],
    *,
    expect_kind: Kind | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Header:
    """The checked header of a file; the sections' content is not read. Errors as `open`."""
    with open(path, expect_kind=expect_kind, limits=limits) as reader:
        return reader.header


def _read(source: Source, offset: int, length: int) -> bytes:
    buffer = bytearray(length)
    source.read_into(offset, memoryview(buffer))
    return bytes(buffer)


def parse_front(
    data: bytes, *, name: str = "<bytes>", limits: Limits = DEFAULT_LIMITS
) -> tuple[Header, bytes]:
    """The checked header of a file that is not here yet, and its bytes, checksum included.

    data: the beginning of the file, up to the header's checksum or up to the payload. Two files
    that begin alike are alike: the header holds the digests of all sections.

    Raises:
        NotAContainer, UnsupportedVersion, WrongKind, Truncated, Corrupt, TooLarge: see there.
    """
    source = BytesSource(data, shown(name))
    kind, covered, length = _read_front(source, None, limits)
    header = parse_header(covered[PREAMBLE.size :], kind, source.name, None, limits)
    if len(data) > header.payload_offset or any(data[length:]):
        raise Corrupt(f"{source.name}: more than a header, or its padding is not zero")
    return header, data[:length]


def _read_header(source: Source, expect_kind: Kind | None, limits: Limits) -> Header:
    kind, covered, length = _read_front(source, expect_kind, limits)
    header = parse_header(covered[PREAMBLE.size :], kind, source.name, source.size, limits)
    _check_padding(source, header, length)
    return header


def _read_front(
    source: Source, expect_kind: Kind | None, limits: Limits
) -> tuple[Kind, bytes, int]:
    """The kind, what the header's checksum covers, verified, and where the checksum ends."""
    name = source.name
    preamble = _read(source, 0, min(source.size, PREAMBLE.size))
    if preamble[: len(MAGIC)] != MAGIC[: len(preamble)]:
        raise NotAContainer(f"{name}: is not a file of this software (its first bytes differ)")
    if len(preamble) < PREAMBLE.size:
        raise Truncated(f"{name}: has {source.size} bytes, a container has more")
    _, version, kind_number, header_length = PREAMBLE.unpack(preamble)
    if version != FORMAT_VERSION:
        raise UnsupportedVersion(
            f"{name}: has format version {version}, this software reads {FORMAT_VERSION}"
        )
    if source.size > limits.total_bytes:
        raise TooLarge(f"{name}: has {source.size} bytes, at most {limits.total_bytes} allowed")
    if header_length > limits.header_cap:
        raise TooLarge(
            f"{name}: its header takes {header_length} bytes, at most {limits.header_cap} allowed"
        )
    covered_length = PREAMBLE.size + header_length
    if source.size < covered_length + DIGEST_BYTES:
        raise Truncated(f"{name}: has {source.size} bytes, its header alone takes more")
    front = _read(source, 0, covered_length + DIGEST_BYTES)
    covered, digest = front[:covered_length], front[covered_length:]
    if hashlib.sha256(covered).digest() != digest:
        raise Corrupt(f"{name}: its header does not fit its checksum; it was damaged or altered")
    return _known_kind(kind_number, expect_kind, name), covered, len(front)


def _known_kind(number: int, expect_kind: Kind | None, name: str) -> Kind:
    expected = f", expected {expect_kind.label}" if expect_kind is not None else ""
    if number not in set(Kind):
        raise WrongKind(f"{name}: is of the unknown kind {number}{expected}")
    kind = Kind(number)
    if expect_kind is not None and kind is not expect_kind:
        raise WrongKind(f"{name}: is of kind {kind.label}{expected}")
    return kind


def _check_padding(source: Source, header: Header, front_length: int) -> None:
    """Every byte that no digest covers must be zero; each gap is shorter than the alignment."""
    end = front_length
    starts = [header.payload_offset + section.offset for section in header.sections]
    lengths = [section.length for section in header.sections]
    for start, length in zip([header.payload_offset, *starts], [0, *lengths], strict=True):
        if any(_read(source, end, start - end)):
            raise Corrupt(f"{source.name}: the padding before byte {start} is not zero")
        end = start + length
