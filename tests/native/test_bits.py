"""Words of a few bits without gaps."""

from __future__ import annotations

import numpy as np
import pytest

from fhe_core import _native


def by_hand(values: list[int], bits: int) -> bytes:
    """One large integer, the first value lowest."""
    whole = sum(value << (i * bits) for i, value in enumerate(values))
    return whole.to_bytes(len(values) * bits // 8, "little")


@pytest.mark.parametrize("bits", range(1, 57))
@pytest.mark.parametrize("count", [0, 8, 64, 1000])
def test_packing(bits: int, count: int) -> None:
    generator = np.random.default_rng(bits)
    for values in (
        generator.integers(0, 2**bits, count, dtype=np.uint64),
        np.full(count, 2**bits - 1, dtype=np.uint64),
    ):
        packed = _native.pack_bits(values, bits)
        assert packed.tobytes() == by_hand(values.tolist(), bits)
        assert np.array_equal(_native.unpack_bits(packed, count, bits), values)


@pytest.mark.parametrize("value", [2**50, 2**63, 2**64 - 1])
def test_a_value_that_does_not_fit_is_refused(value: int) -> None:
    for place in (0, 7, 15):
        values = np.zeros(16, dtype=np.uint64)
        values[place] = value
        with pytest.raises(ValueError, match="more bits"):
            _native.pack_bits(values, 50)


def test_shapes_and_sizes_are_checked() -> None:
    words, packed = np.zeros(8, dtype=np.uint64), np.zeros(50, dtype=np.uint8)
    for call in (
        lambda: _native.pack_bits(words, 0),
        lambda: _native.pack_bits(words, 57),
        lambda: _native.pack_bits(words[:7], 50),
        lambda: _native.pack_bits(words[None], 50),
        lambda: _native.unpack_bits(packed, 16, 50),
        lambda: _native.unpack_bits(packed[:49], 8, 50),
        lambda: _native.unpack_bits(packed[None], 8, 50),
        lambda: _native.unpack_bits(packed, 8, -1),
        lambda: _native.unpack_bits(packed, 2**40, 50),
    ):
        with pytest.raises(ValueError, match=r"."):
            call()
