"""The container: round trips, every kind of damage, hostile headers, and atomic writing."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from fhe_core import container
from fhe_core.container import (
    ContainerError,
    Corrupt,
    DType,
    KeyMismatch,
    Kind,
    Limits,
    NotAContainer,
    ParameterMismatch,
    Section,
    TooLarge,
    Truncated,
    UnsupportedVersion,
    WrongKind,
)

PARAMETERS = hashlib.sha256(b"parameters").hexdigest()
KEY = "00112233445566778899aabbccddeeff"
MAGIC = b"\x89FHEC\r\n\x1a"


def small() -> bytes:
    """A container with gaps to pad, an empty section and a scalar."""
    return container.dumps(
        Kind.CIPHERTEXT,
        PARAMETERS,
        KEY,
        {"level": 3, "scale": (2.0**40).hex(), "layout": {"gap": 1, "shape": [64, 64]}},
        [
            Section.from_array("c0", np.arange(5, dtype=np.uint64)),
            Section("seed", DType.U8, (33,), [bytes(range(16)), bytearray(17)]),
            Section.from_array("empty", np.zeros((0, 4), dtype=np.uint64)),
            Section.from_array("norm", np.array(7, dtype=np.uint64)),
            Section.from_array("bounds", np.array([[1, 2**64 - 1]], dtype=np.uint64)),
        ],
    )


def read_all(data: bytes) -> dict[str, NDArray[Any]]:
    with container.loads(data) as reader:
        return {name: reader.array(name) for name in reader.names}


def forged(document: Any, payload: bytes = b"", *, kind: int = 3, version: int = 1) -> bytes:
    """A container with any header at all, its digest right."""
    if isinstance(document, bytes):
        encoded = document
    else:
        text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        encoded = text.encode()
    front = struct.pack("<8sHHI", MAGIC, version, kind, len(encoded)) + encoded
    front += hashlib.sha256(front).digest()
    return front.ljust(-(-len(front) // 64) * 64, b"\0") + payload


def document(*sections: dict[str, Any], **changes: Any) -> dict[str, Any]:
    fields = {"key_id": KEY, "metadata": {}, "parameter_hash": PARAMETERS}
    return {**fields, "sections": list(sections), **changes}


def entry(**changes: Any) -> dict[str, Any]:
    digest = hashlib.sha256(bytes(64)).hexdigest()
    fields = {"digest": digest, "dtype": "u64", "length": 64, "name": "a", "offset": 0}
    return {**fields, "shape": [8], **changes}


# --- round trips ---------------------------------------------------------------------------------


arrays = st.sampled_from([np.uint8, np.uint64]).flatmap(
    lambda dtype: hnp.arrays(
        dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
    )
)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("aß\n"), inner, max_size=3),
    max_leaves=8,
)
names = st.from_regex(r"[a-z0-9][a-z0-9._/-]{0,63}", fullmatch=True)


@given(st.dictionaries(names, arrays, max_size=4), st.dictionaries(names, json_values, max_size=4))
def test_bytes_round_trip(content: dict[str, NDArray[Any]], metadata: dict[str, Any]) -> None:
    sections = [Section.from_array(name, array) for name, array in content.items()]
    data = container.dumps(Kind.EVALUATION_KEYS, PARAMETERS, KEY, metadata, sections)
    with container.loads(data, expect_kind=Kind.EVALUATION_KEYS) as reader:
        assert reader.header.metadata == metadata
        assert reader.names == tuple(content)
        assert reader.header.total_bytes == len(data)
        for name, array in content.items():
            for mapped in (True, False):
                read = reader.array(name, mmap=mapped)
                assert read.dtype == array.dtype
                assert read.shape == array.shape
                assert read.tobytes() == array.tobytes()
                assert not read.flags.writeable
                assert read.flags.aligned


@pytest.mark.parametrize("mapped", [True, False])
def test_file_round_trip(tmp_path: Path, mapped: bool) -> None:
    path = tmp_path / "x.ct"
    strided = np.arange(24, dtype=np.uint64).reshape(4, 6)[::2, ::3]
    written = container.write(
        path, Kind.CIPHERTEXT, PARAMETERS, KEY, {}, [Section.from_array("a", strided)]
    )
    assert container.read_header(path, expect_kind=Kind.CIPHERTEXT) == written
    with container.open(path) as reader:
        array = reader.array("a", mmap=mapped)
        reader.verify_all(threads=2)
    np.testing.assert_array_equal(array, strided)  # stays valid after the reader is closed
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 1
    with pytest.raises(ContainerError, match="closed"):
        reader.array("a")


def test_file_and_bytes_are_the_same(tmp_path: Path) -> None:
    sections = [Section.from_array("a", np.arange(9, dtype=np.uint64))]
    data = container.dumps(Kind.CIPHERTEXT, PARAMETERS, KEY, {"level": 1}, sections)
    container.write(tmp_path / "x", Kind.CIPHERTEXT, PARAMETERS, KEY, {"level": 1}, sections)
    assert (tmp_path / "x").read_bytes() == data


def test_big_endian_arrays_are_converted() -> None:
    data = container.dumps(
        Kind.CIPHERTEXT,
        PARAMETERS,
        KEY,
        {},
        [Section.from_array("a", np.array([1, 258], dtype=">u8"))],
    )
    assert read_all(data)["a"].tolist() == [1, 258]


def test_frozen_bytes() -> None:
    """A change of the format must change FORMAT_VERSION, not only this digest."""
    data = small()
    assert len(data) == 1232
    assert (
        hashlib.sha256(data).hexdigest()
        == "8c2cb50cd9211fac2f0d9f8c54d843b3683e5cb1d57f3515db907122eeb0e88c"
    )
    assert data[:16] == MAGIC + struct.pack("<HHI", 1, 3, 946)


def test_typed_metadata() -> None:
    header = container.loads(small()).header
    assert header.integer("level", 0, 3) == 3
    assert header.real("scale") == 2.0**40
    with pytest.raises(Corrupt, match="from 0 to 2"):
        header.integer("level", 0, 2)
    for read in (header.text, header.real, lambda name: header.integer(name, 0, 1)):
        for name in ("layout", "missing"):
            with pytest.raises(Corrupt, match=name):
                read(name)


@pytest.mark.parametrize("text", ["nan", "inf", "1.0", "0x1p40", "0x1p99999", "", "0x" + "0" * 99])
def test_reals_must_be_exact_and_finite(text: str) -> None:
    header = container.loads(forged(document(metadata={"scale": text}))).header
    with pytest.raises(Corrupt, match="scale"):
        header.real("scale")


def test_require_match() -> None:
    header = container.loads(small(), name="a.ct").header
    container.require_match(header)
    container.require_match(header, parameter_hash=PARAMETERS, key_id=KEY)
    with pytest.raises(ParameterMismatch, match=r"^a\.ct: .*expected 0000"):
        container.require_match(header, parameter_hash="0" * 64)
    with pytest.raises(KeyMismatch, match=r"^a\.ct: .*expected ffff"):
        container.require_match(header, key_id="ff" * 16)


# --- damage --------------------------------------------------------------------------------------


def test_every_bit_is_covered() -> None:
    data = small()
    for position in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[position] ^= 1 << bit
            with pytest.raises(ContainerError) as caught:
                read_all(bytes(damaged))
            assert "\n" not in str(caught.value)


@given(st.data())
def test_random_damage_of_a_file(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    damaged = bytearray(small())
    start = data.draw(st.integers(0, len(damaged) - 1))
    noise = data.draw(st.binary(min_size=1, max_size=40))
    damaged[start : start + len(noise)] = noise
    if damaged == small():
        return
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(damaged)
    with pytest.raises(ContainerError, match="damaged"), container.open(path) as reader:
        reader.verify_all()


def test_truncation_everywhere(tmp_path: Path) -> None:
    data = small()
    path = tmp_path / "cut"
    for length in range(len(data)):
        with pytest.raises(Truncated):
            container.loads(data[:length])
    for length in (0, 7, 8, 15, 16, 500, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(Truncated, match="cut"):
            container.read_header(path)


def test_nothing_may_follow() -> None:
    with pytest.raises(Corrupt, match="nothing may follow"):
        container.loads(small() + b"\0")


def test_padding_must_be_zero() -> None:
    data = bytearray(small())
    header = container.loads(bytes(data)).header
    data[header.payload_offset + 40] = 1  # after the 40 bytes of c0
    with pytest.raises(Corrupt, match="padding"):
        container.loads(bytes(data))


def test_damage_is_found_on_each_way_to_an_array(tmp_path: Path) -> None:
    data = bytearray(small())
    data[-1] ^= 1
    path = tmp_path / "x.ct"
    path.write_bytes(data)
    with container.open(path) as reader:
        for check in (
            lambda: reader.array("bounds"),
            lambda: reader.array("bounds", mmap=False),
            lambda: reader.verify("bounds"),
            reader.verify_all,
        ):
            with pytest.raises(Corrupt, match=r"x\.ct: section 'bounds'"):
                check()
        assert reader.array("c0").tolist() == list(range(5))
        assert reader.array_unverified("bounds").shape == (1, 2)
        with pytest.raises(Corrupt, match="no section 'c9'"):
            reader.array("c9")


def test_file_that_shrinks_while_open(tmp_path: Path) -> None:
    path = tmp_path / "x.ct"
    path.write_bytes(small())
    with container.open(path) as reader:
        os.truncate(path, 1000)
        with pytest.raises(Truncated, match="shorter"):
            reader.array("bounds")


# --- hostile headers -----------------------------------------------------------------------------


def test_forged_header_is_a_fair_test() -> None:
    data = forged(document(entry()), bytes(64))
    assert read_all(data)["a"].tolist() == [0] * 8


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [9]},
        {"shape": [-8]},
        {"shape": [-2, -4]},
        {"shape": [8.0]},
        {"shape": ["8"]},
        {"shape": [True] * 3 + [8]},
        {"shape": 8},
        {"shape": None},
        {"shape": [1] * 8 + [8]},
        {"shape": [0]},
        {"length": 63},
        {"length": -64},
        {"length": "64"},
        {"length": 2**64},
        {"length": 10**400},
        {"offset": 64},
        {"offset": -64},
        {"offset": 2**63},
        {"offset": None},
        {"dtype": "u16"},
        {"dtype": "u32"},
        {"dtype": "f64"},
        {"dtype": "f32"},
        {"dtype": "O"},
        {"dtype": ["u64"]},
        {"name": ""},
        {"name": "A"},
        {"name": "../a\n"},
        {"name": "a" * 65},
        {"name": 1},
        {"digest": "0" * 63},
        {"digest": "A" * 64},
        {"digest": None},
        {"extra": 1},
    ],
)
def test_hostile_section(change: dict[str, Any]) -> None:
    with pytest.raises(Corrupt, match=r"^<bytes>: ") as caught:
        container.loads(forged(document(entry(**change)), bytes(64)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "shape",
    [[2**62], [2**32, 2**32], [2**63] * 8, [0, 2**62, 2**62], [2**64 - 1], [1, 2**32, 1]],
)
def test_huge_shapes(shape: list[int]) -> None:
    length = 0 if 0 in shape else 64
    with pytest.raises(TooLarge, match="over the limit"):
        container.loads(forged(document(entry(shape=shape, length=length)), bytes(64)))


@pytest.mark.parametrize(
    "change",
    [
        {"key_id": ""},
        {"key_id": KEY[:14]},
        {"key_id": KEY.upper()},
        {"key_id": None},
        {"parameter_hash": PARAMETERS[:-1]},
        {"parameter_hash": PARAMETERS + "\n"},
        {"parameter_hash": 1},
        {"metadata": []},
        {"metadata": {"scale": 1.5}},
        {"metadata": {"scale": 1e300}},
        {"metadata": {"count": 2**64}},
        {"sections": {}},
        {"sections": [1]},
        {"sections": None},
        {"version": 1},
    ],
)
def test_hostile_header(change: dict[str, Any]) -> None:
    with pytest.raises(Corrupt, match=r"^<bytes>: "):
        container.loads(forged(document(**change)))


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * (1 << 20),
        b'{"a":' * 200_000,
        b'{"metadata":NaN}',
        b"1" * (1 << 20),
        json.dumps(document()).encode(),  # blanks between tokens
        json.dumps(document(), separators=(",", ":")).encode() + b" ",
        json.dumps(document(metadata={"b": 1, "a": 2}), separators=(",", ":")).encode(),
        json.dumps(document(), sort_keys=True, separators=(",", ":")).encode()[:-1]
        + b',"sections":[]}',  # a repeated key
        json.dumps(
            document(metadata={"a": "\ud800"}), sort_keys=True, separators=(",", ":")
        ).encode(),
        json.dumps(document(metadata={"a": "é"}), sort_keys=True, separators=(",", ":")).encode(),
        json.dumps(document(metadata={"a": 0}), sort_keys=True, separators=(",", ":"))
        .replace('"a":0', '"a":-0')
        .encode(),
    ],
    ids=str,
)
def test_header_that_is_not_canonical_json(encoded: bytes) -> None:
    with pytest.raises(Corrupt, match=r"^<bytes>: ") as caught:
        container.loads(forged(encoded))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_deep_metadata() -> None:
    value: Any = 1
    for _ in range(30):
        value = [value]
    with pytest.raises(Corrupt, match="deep"):
        container.loads(forged(document(metadata={"a": value})))


@pytest.mark.parametrize(
    "sections",
    [
        [entry(), entry(offset=64)],  # the same name twice
        [entry(), entry(name="b")],  # overlapping
        [entry(), entry(name="b", offset=32)],
        [entry(), entry(name="b", offset=128)],  # a gap
        [entry(name="b", offset=64), entry()],  # out of order
    ],
)
def test_sections_that_collide(sections: list[dict[str, Any]]) -> None:
    with pytest.raises(Corrupt):
        container.loads(forged(document(*sections), bytes(192)))


def test_header_length_of_4_gib_allocates_nothing() -> None:
    data = struct.pack("<8sHHI", MAGIC, 1, 3, 2**32 - 1) + bytes(100)
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge, match="header takes 4294967295"):
            container.loads(data)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_limits(tmp_path: Path) -> None:
    data = small()
    with pytest.raises(TooLarge, match="at most 1000 allowed"):
        container.loads(data, limits=Limits(total_bytes=1000))
    with pytest.raises(TooLarge, match="header"):
        container.loads(data, limits=Limits(header_bytes=100))
    with pytest.raises(TooLarge, match="5 sections, at most 4"):
        container.loads(data, limits=Limits(sections=4))
    assert Limits(header_bytes=2**40).header_cap == 2**20
    path = tmp_path / "sparse"  # a huge file that takes no room on the disk
    with path.open("wb") as file:
        file.write(data)
        file.truncate(2**40)
    with pytest.raises(TooLarge, match="sparse"):
        container.read_header(path)


def test_wrong_magic_version_and_kind() -> None:
    with pytest.raises(NotAContainer):
        container.loads(b"PK\x03\x04" + bytes(100))
    with pytest.raises(NotAContainer):
        container.loads(small().replace(b"\r\n", b"\n", 1))  # a transfer in text mode
    with pytest.raises(UnsupportedVersion, match="version 2, this software reads 1"):
        container.loads(forged(document(), version=2))
    with pytest.raises(WrongKind, match="unknown kind 99"):
        container.loads(forged(document(), kind=99))
    with pytest.raises(WrongKind, match="unknown kind 4"):  # it was a plan; never reused
        container.loads(forged(document(), kind=4))
    with pytest.raises(WrongKind, match="of kind ciphertext, expected secret-key"):
        container.loads(small(), expect_kind=Kind.SECRET_KEY)
