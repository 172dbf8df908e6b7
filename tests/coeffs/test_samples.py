"""Files of squared norms: three formats, hostile content, coverage, and separate data."""

import contextlib
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhe_face.coeffs.normalisation import CoefficientError, FittedNormalisation
from fhe_face.coeffs.samples import read_sample, require_separate

VALUES = [120.5, 300.0, 2999.0]


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"120.5\n300\n2999\n",
        b"\xef\xbb\xbf120.5\r\n3e2\r\n\r\n2999",
        b"# squared norms\n 120.5 # anna\n300\n\n2999",
        b"[120.5, 300, 2999.0]",
        b"  \n[120.5,\n 3e2, 2999]\n",
        npy(np.array(VALUES)),
        npy(np.array(VALUES, dtype=">f4")),
        npy(np.asfortranarray(VALUES, dtype=np.longdouble)),
    ],
)
def test_formats(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "norms.of.any.name"
    path.write_bytes(content)
    sample = read_sample(path)
    assert sample.values.dtype == np.float64
    assert sample.values.tolist() == VALUES
    assert len(sample.sha256) == 64


def test_integers_and_half_precision(tmp_path: Path) -> None:
    path = tmp_path / "norms"
    for dtype in ("i4", "u8", "f2"):
        path.write_bytes(npy(np.array([100, 200], dtype=dtype)))
        assert read_sample(path).values.tolist() == [100, 200]


HOSTILE = {
    "empty": b"",
    "only comments": b"# nothing\n\n",
    "words": b"100\nabc\n",
    "two a line": b"100 200\n",
    "csv": b"100,200\n",
    "long line": b"9" * 100_000 + b"x",
    "binary": bytes(range(256)),
    "zeros": bytes(4096),
    "empty list": b"[]",
    "object": b'{"norms": [1]}',
    "nested": b"[[100, 200]]",
    "deeply nested": b"[" * 100_000,
    "texts": b'["100"]',
    "booleans": b"[true, 100]",
    "null": b"[null]",
    "half a list": b"[100, 20",
    "two lists": b"[1] [2]",
    "huge integer": b"[" + b"9" * 400 + b"]",
    "digits": b"[" + b"9" * 10_000 + b"]",
    "matrix": npy(np.ones((55, 256))),
    "scalar": npy(np.float64(3)),
    "no values": npy(np.ones(0)),
    "complex": npy(np.ones(3, dtype=complex)),
    "strings": npy(np.array(["100"])),
    "booleans in npy": npy(np.ones(3, dtype=bool)),
    "records": npy(np.ones(3, dtype=[("a", "f8")])),
    "pickle": npy(np.array([object], dtype=object)),
    "short npy": npy(np.ones(300))[:-1],
    "long npy": npy(np.ones(300)) + b"x",
    "npy header": npy(np.ones(300))[:40],
    "npy magic": b"\x93NUMPY",
    "npy version": b"\x93NUMPY\x07\x00" + npy(np.ones(3))[8:],
    "npy announces more": npy(np.ones(3)).replace(b"(3,)", b"(9,)"),
    "npy announces 10^18": npy(np.ones(3)).replace(b"(3,), }      ", b"(10**18,), } "),
    "npy below zero": npy(np.ones(3)).replace(b"(3,), ", b"(-3,),"),
    "npy is code": npy(np.ones(3)).replace(b"'shape': (3,)", b"'shape': f()"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(name: str, tmp_path: Path) -> None:
    path = tmp_path / "norms"
    path.write_bytes(HOSTILE[name])
    with pytest.raises(CoefficientError) as caught:
        read_sample(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert len(text) < len(str(path)) + 300
    assert "\n" not in text


@given(st.binary(max_size=200))
def test_no_bytes_crash_it(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes"
    for prefix in (b"", b"\x93NUMPY\x01\x00", b"["):
        path.write_bytes(prefix + content)
        with contextlib.suppress(CoefficientError):
            assert read_sample(path).values.ndim == 1


def test_not_files(tmp_path: Path) -> None:
    with pytest.raises(CoefficientError, match="no such file"):
        read_sample(tmp_path / "none")
    with pytest.raises(CoefficientError, match="cannot be read"):
        read_sample(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CoefficientError, match="not a regular file"):
        read_sample(tmp_path / "pipe")
    with pytest.raises(CoefficientError, match="not a regular file"):
        read_sample("/dev/zero")


def test_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "norms"
    path.write_bytes(npy(np.ones(100)))
    monkeypatch.setattr("fhe_face.coeffs.samples.MAX_VALUES", 99)
    with pytest.raises(CoefficientError, match="100 numbers"):
        read_sample(path)
    monkeypatch.setattr("fhe_face.coeffs.samples.MAX_FILE_BYTES", 800)
    with pytest.raises(CoefficientError, match="too large"):
        read_sample(path)


def test_measure(tmp_path: Path) -> None:
    path = tmp_path / "norms\n.txt"
    path.write_text("100\n300\n3000\n99.9\n3001\nnan\ninf\n-5\n1e400\n")
    measured = read_sample(path).measure(FittedNormalisation.load())
    assert (measured.values, measured.inside) == (9, 3)
    assert measured.coverage == pytest.approx(1 / 3)
    assert (measured.minimum, measured.maximum) == (-5, 3001)
    y = np.array([100.0, 300.0, 3000.0])
    errors = np.abs(FittedNormalisation.load().evaluate(y) * np.sqrt(y) - 1)
    assert measured.worst_relative_error == pytest.approx(errors.max())
    assert measured.mean_relative_error == pytest.approx(errors.mean())
    assert "\n" not in measured.file
    path.write_text("nan\n")
    nothing = read_sample(path).measure(FittedNormalisation.load())
    assert nothing.coverage == 0
    assert nothing.minimum is nothing.maximum is nothing.worst_relative_error is None
    json.dumps(nothing.to_json(), allow_nan=False)


def test_the_evaluation_must_be_other_data(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    values = generator.uniform(100, 3000, 50)
    sample = tmp_path / "sample.npy"
    np.save(sample, values)

    def judge(path: Path) -> int:
        return require_separate(read_sample(sample), read_sample(path))

    link, hard, text = (tmp_path / name for name in ("link", "hard", "text"))
    link.symlink_to(sample)
    hard.hardlink_to(sample)
    text.write_text("\n".join(map(str, generator.permutation(values))))
    copy, part, single = (tmp_path / name for name in ("copy", "part", "single"))
    copy.write_bytes(sample.read_bytes())
    part.write_text(json.dumps([*values[:10].tolist(), float("nan")]))
    single.write_bytes(npy(values.astype(np.float32)))
    for same in (sample, link, hard, text, copy, part, single):
        with pytest.raises(CoefficientError, match="evaluation needs other faces"):
            judge(same)

    other, mixed = tmp_path / "other", tmp_path / "mixed"
    other.write_bytes(npy(generator.uniform(100, 3000, 50)))
    assert judge(other) == 0
    mixed.write_text(json.dumps([*values[:3].tolist(), 777.7]))
    assert judge(mixed) == 3
