"""Every parser against its seeds, against what was found once, and against some mutations."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz.registry import TARGETS, make, regressions
from fuzz.target import MAX_TEXT, FuzzFindingError, Target, accepts

#: What a target imports beside the package.
NEEDS = {"torch": "torch", "safetensors": "torch", "training-state": "torch", "hdf5": "h5py"}
#: Mutations of one test run: `make fuzz` makes millions. Some parsers take whole networks.
SLOW = {
    "device-faces": 10,
    "safetensors": 5,
    "torch": 3,
    "photo": 3,
    "results": 10,
    "plan": 15,
    "hdf5": 10,
}
RUNS = 40

Get = Callable[[str], Target]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Get:
    made: dict[str, Target] = {}

    def get(name: str) -> Target:
        pytest.importorskip(NEEDS.get(name, "numpy"))
        if name not in made:
            made[name] = make(name, tmp_path_factory.mktemp(name))
        return made[name]

    return get


@pytest.mark.parametrize("name", TARGETS)
def test_seeds(target: Get, name: str) -> None:
    """At least one seed goes all the way: else mutations would only reach the first check."""
    assert any([accepts(target(name), seed) for seed in target(name).seeds])


# Pillow warns of damaged pictures; a person sees only the error.
@pytest.mark.filterwarnings("ignore:::PIL")
@pytest.mark.parametrize("name", TARGETS)
def test_mutations(target: Get, name: str) -> None:
    one = target(name)

    @settings(max_examples=SLOW.get(name, RUNS), database=None)
    @given(seed=st.integers(0, 2**32), steps=st.integers(1, 4))
    def mutated(seed: int, steps: int) -> None:
        draw = random.Random(seed)
        data = draw.choice(one.seeds)
        for _ in range(steps):
            data = one.mutate(data, draw)
        accepts(one, data)

    mutated()


@pytest.mark.parametrize(
    "file",
    sorted(p for p in regressions().rglob("*") if p.is_file()),
    ids=lambda file: f"{file.parent.name}/{file.name}",
)
def test_regressions(target: Get, file: Path) -> None:
    assert not accepts(target(file.parent.name), file.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_mutations_keep_something(target: Get, name: str) -> None:
    """Mutations differ from seeds, and not all fall to the first check of a format."""
    one, draw = target(name), random.Random(3)
    changed = [one.mutate(seed, draw) for seed in one.seeds for _ in range(4)]
    assert any(data not in one.seeds for data in changed)


@pytest.mark.parametrize("text", ["", "two\nlines", "\0", "x" * (MAX_TEXT + 1)])
def test_errors_must_be_one_line(text: str) -> None:
    def parse(_data: bytes) -> None:
        raise ValueError(text)

    with pytest.raises(FuzzFindingError):
        accepts(Target("x", parse, (ValueError,), [], lambda data, _: data), b"")


def test_other_errors_are_findings() -> None:
    def parse(_data: bytes) -> None:
        raise KeyError("a")

    with pytest.raises(KeyError):
        accepts(Target("x", parse, (ValueError,), [], lambda data, _: data), b"")
