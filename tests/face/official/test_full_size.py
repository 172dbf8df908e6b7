"""The benchmark's smallest instance as its harness runs it, at full size, with real faces."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.official.driver import drive, write_pairs
from benchmarks.official.stages.layout import Instance
from tests.extent import only_long

#: On small rings test_programs.py and test_stages.py run the stages; what they compute at full size
#: is what tests/face/test_full_size.py computes.
pytestmark = [pytest.mark.full, only_long]


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)  # gigabytes


def test_a_single_pair(
    root: Path, shared: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = sorted((shared / "faces" / "johns").rglob("*.jpg"))[:2]
    if len(pictures) < 2:
        pytest.skip("no test data: faces/johns is missing")
    one, two = (picture.read_bytes() for picture in pictures)
    write_pairs(Instance(root, 0).input, [(one, two)])
    result = drive(root, 0, 1, checkpoint)
    with capsys.disabled():
        print(
            f"\nscore {result['scores'][0]:.6f}, in the clear {result['cleartext_scores'][0]:.6f}"
        )
        print(f"seconds by stage: {result['seconds']}")
    assert result["refused"] == 0
    assert result["largest_difference"] <= 0.005
    assert result["bytes"]["server_data"] < 10e6
