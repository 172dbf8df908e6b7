"""Fixtures of the benchmark's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("h5py", reason="the benchmark's input needs h5py")

from benchmarks.official.stages.layout import Instance
from tests.core import tiny
from tests.face.official.kit import Bench, Pixels, crops


@pytest.fixture(scope="session")
def world() -> tiny.World:
    return tiny.make_world()


@pytest.fixture(scope="session")
def people(world: tiny.World) -> tuple[list[Pixels], Pixels]:
    return crops(world)


@pytest.fixture
def bench(world: tiny.World, tmp_path: Path) -> Bench:
    return Bench(world, Instance(tmp_path, 1))
