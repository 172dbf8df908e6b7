"""Residues of masks that a packed plan keeps: as many as there is room for, the most used first."""

from __future__ import annotations

from collections import Counter

import pytest

from fhe_core.runtime import packed
from tests.core import tiny


def test_results_and_memory_do_not_depend_on_the_room(
    world: tiny.World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, parameters = world.compiled.plan, world.parameters
    whole = packed.pack(plan, world.tables, parameters)
    uses = [id(mask) for t in whole.transforms.values() for mask in t.masks]
    kept = {id(one.coefficients) for t in whole.transforms.values() for one in t.kept}
    assert kept == set(uses)  # a tiny ring has room for all
    before = whole.memory_bytes
    monkeypatch.setattr(packed, "MAX_KEPT_BYTES", 0)
    none = packed.pack(plan, world.tables, parameters)
    assert not any(t.kept for t in none.transforms.values())
    assert none.memory_bytes == before  # nothing was computed yet
    masks = [mask for t in whole.transforms.values() for mask in t.masks]
    room = 3 * len(parameters.primes) * masks[0].nbytes
    monkeypatch.setattr(packed, "MAX_KEPT_BYTES", room)
    some = packed.pack(plan, world.tables, parameters)
    chosen = {id(one.coefficients) for t in some.transforms.values() for one in t.kept}
    counts = Counter(id(mask) for t in some.transforms.values() for mask in t.masks)
    assert 3 <= len(chosen) < len(kept)
    left = [count for key, count in counts.items() if key not in chosen]
    assert min(counts[key] for key in chosen) >= min(left)
