"""InsightFace .bin files: read without unpickling, everything else refused."""

import contextlib
import io
import pickle  # only to write test files; nothing here is ever unpickled
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fhe_face.models.training.errors import TrainingError
from fhe_face.models.training.verification import Pairs, parse, people_of, read_pairs


def encoded(value: int, side: int = 16) -> bytes:
    """A small PNG of one colour."""
    content = io.BytesIO()
    Image.new("RGB", (side, side), (value, value // 2, 255 - value)).save(content, "PNG")
    return content.getvalue()


@settings(max_examples=60)
@given(
    images=st.lists(st.binary(max_size=400), max_size=24),
    protocol=st.integers(3, pickle.HIGHEST_PROTOCOL),
    flags=st.data(),
)
def test_everything_written_is_read(
    images: list[bytes], protocol: int, flags: st.DataObject
) -> None:
    count = len(images) // 2
    same = flags.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    content = (images[: 2 * count], same)
    assert parse(pickle.dumps(content, protocol)) == content


def test_python_2_strings(tmp_path: Path) -> None:
    def string(data: bytes) -> bytes:
        return b"T" + len(data).to_bytes(4, "little") + data

    raw = b"\x80\x02](" + string(b"\x00\xff" * 150) + b"U\x02\xfe\x01" + b"e]\x88a\x86."
    (tmp_path / "old.bin").write_bytes(raw)
    pairs = read_pairs(tmp_path / "old.bin")
    assert (pairs.images, pairs.same) == ((b"\x00\xff" * 150, b"\xfe\x01"), (True,))


class Evil:
    """Unpickling this would create a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_is_executed(tmp_path: Path, protocol: int) -> None:
    target, file = tmp_path / "executed", tmp_path / "evil.bin"
    file.write_bytes(pickle.dumps(([b"a", Evil(target)], [True]), protocol))
    with pytest.raises(TrainingError, match="opcode"):
        read_pairs(file)
    assert not target.exists()


WHOLE = pickle.dumps(([encoded(1), encoded(2), encoded(1), encoded(3)], [True, False]), 4)


@settings(max_examples=150)
@given(
    cut=st.integers(0, len(WHOLE) - 1), place=st.integers(0, len(WHOLE) - 1), bit=st.integers(0, 7)
)
def test_damaged_files_are_refused_or_read(cut: int, place: int, bit: int) -> None:
    """A file cut short is refused; one with a wrong bit is refused or means something else."""
    with pytest.raises(ValueError, match=r"."):
        parse(WHOLE[:cut])
    flipped = bytearray(WHOLE)
    flipped[place] ^= 1 << bit
    with contextlib.suppress(ValueError):
        parse(bytes(flipped))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ([b"a"], "two lists"),
        (([b"a"], [True]), "not pairs"),
        (([b"a", 3], [True]), "encoded images"),
        (([b"a", b"b"], [7]), "truth values"),
        (([], []), "not pairs"),
    ],
)
def test_other_contents_are_refused(tmp_path: Path, content: object, problem: str) -> None:
    file = tmp_path / "x.bin"
    file.write_bytes(pickle.dumps(content, 4))
    with pytest.raises(TrainingError, match=problem):
        read_pairs(file)


def test_a_list_that_holds_itself(tmp_path: Path) -> None:
    file = tmp_path / "x.bin"
    file.write_bytes(b"\x80\x02]q\x00h\x00a]\x88a\x86.")
    with pytest.raises(TrainingError, match="encoded images"):
        read_pairs(file)


def test_people_are_chains_of_same_pairs() -> None:
    a, b, c, d, e = map(encoded, (10, 20, 30, 40, 50))
    people = people_of(Pairs((a, b, b, c, a, d, d, e), (True, True, False, True)))
    assert people.crops.shape == (5, 64, 64, 3)
    assert people.crops.dtype == np.uint8
    names = dict(zip("abcde", people.labels.tolist(), strict=True))
    assert names["a"] == names["b"] == names["c"] != names["d"] == names["e"]


def test_undecodable_image() -> None:
    with pytest.raises(TrainingError, match="image 1: cannot be decoded"):
        people_of(Pairs((encoded(1), b"no image"), (True,)))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"nothing\.bin: cannot be read"):
        read_pairs(tmp_path / "nothing.bin")
