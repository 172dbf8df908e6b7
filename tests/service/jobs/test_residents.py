"""Keys in memory: as many as fit, the longest unused leaves first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fhe_core.container import Header, ParameterMismatch
from fhe_face.progress import Stage, silent
from fhe_face.service.jobs.engines import Engines, FaceEngines, Resident, Work
from fhe_face.service.jobs.records import JobFailed, Kind
from fhe_face.service.jobs.residents import Residents
from tests.service.jobs.engine import TinyEngines
from tests.service.jobs.kit import Owner

MEGABYTE = 10**6


@dataclass
class Sized:
    memory_bytes: int

    def open(self, kind: Kind, files: Sequence[Path]) -> Work:
        raise NotImplementedError


@dataclass
class Sizes:
    """Keys of 40 MB; loads are counted."""

    name: str = "insecure-sizes"
    working_bytes: int = 20 * MEGABYTE
    loads: list[Path] = field(default_factory=list)

    def identity(self) -> str:
        return self.name

    def forecast(self, key: Header) -> int:
        return 40 * MEGABYTE

    def load(self, key: Path, stage: Stage) -> Resident:
        self.loads.append(key)
        return Sized(39 * MEGABYTE)


def test_engines_are_what_workers_ask_for() -> None:
    engines: list[Engines] = [FaceEngines(), TinyEngines(), Sizes()]
    assert [one.name.startswith("insecure-") for one in engines] == [False, True, True]


def test_the_longest_unused_leaves(owner: Owner) -> None:
    sizes = Sizes()
    residents = Residents(sizes, 110 * MEGABYTE)  # 90 for keys: two
    for digest in ("a", "b", "a", "c", "a", "b"):
        residents.get(digest, owner.key, silent)
        assert len(residents.loaded) <= 2
    assert len(sizes.loads) == 4  # a, b, c, and b again
    assert list(residents.loaded) == ["a", "b"]
    residents.clear()
    assert not residents.loaded


def test_what_can_never_fit_is_refused_before_it_is_read(owner: Owner) -> None:
    sizes = Sizes()
    residents = Residents(sizes, 59 * MEGABYTE)
    with pytest.raises(JobFailed, match="40 MB of memory; this server has 39 MB") as refused:
        residents.get("a", owner.key, silent)
    assert refused.value.reason == "memory"
    assert not sizes.loads


def test_room_is_made_before_keys_are_loaded(owner: Owner) -> None:
    class Watching(Sizes):
        def load(self, key: Path, stage: Stage) -> Resident:
            assert not residents.loaded
            return super().load(key, stage)

    residents = Residents(Watching(), 60 * MEGABYTE)
    residents.get("a", owner.key, silent)
    residents.get("b", owner.key, silent)
    assert list(residents.loaded) == ["b"]


def test_keys_that_cannot_be_used_take_no_room(owner: Owner) -> None:
    """Such as those of a version with other parameters: the text says so, and nobody leaves."""

    class Asking(Sizes):
        def forecast(self, key: Header) -> int:
            return FaceEngines().forecast(key) if self.loads else super().forecast(key)

    residents = Residents(Asking(), 60 * MEGABYTE)
    residents.get("a", owner.key, silent)
    with pytest.raises(ParameterMismatch, match="does not have"):
        residents.get("old", owner.key, silent)
    assert list(residents.loaded) == ["a"]


def test_inputs_count_beyond_what_the_engine_needs_anyway(owner: Owner) -> None:
    residents = Residents(Sizes(), 110 * MEGABYTE)  # 90 for keys
    for digest in ("a", "b"):
        residents.get(digest, owner.key, silent, 10 * MEGABYTE)
    assert list(residents.loaded) == ["a", "b"]
    residents.get("b", owner.key, silent, 30 * MEGABYTE)  # 20 too many for two
    assert list(residents.loaded) == ["b"]
    with pytest.raises(JobFailed, match="fewer faces"):
        residents.get("b", owner.key, silent, 70 * MEGABYTE)
    assert list(residents.loaded) == ["b"]
