"""Taking bundles apart: every face by itself, so that faces of one bundle can be compared."""

from __future__ import annotations

from dataclasses import replace

from fhe_core.formats.ciphertexts import Bundle
from fhe_face.places import ENTRY, Run, describe, runs_of
from fhe_face.tokens import ENTRY as REQUESTS
from fhe_face.tokens import sides_of, tokens_of


def apart(bundle: Bundle, capacity: int = 2) -> list[Bundle]:
    """Bundles of one face each, in order; a batch stays together, as its faces share ciphertexts.

    capacity: faces of a batch (`Engine.capacity`).

    Raises:
        Corrupt: the bundle does not say how its faces are packed, or carries no requests.
    """
    runs = runs_of(bundle.facts, capacity)
    sides = sides_of(bundle.what)
    tokens = tokens_of("the bundle", bundle.facts, sides * len(runs))
    return [
        _only(bundle, run, tokens[sides * number : sides * (number + 1)])
        for number, run in enumerate(runs)
    ]


def _only(bundle: Bundle, run: Run, tokens: list[str]) -> Bundle:
    alone = Run(run.packing, 0, run.faces)
    prefix = f"{run.label} "

    def renamed(name: str) -> str:
        return f"{alone.label} {name.removeprefix(prefix)}"

    items = {renamed(name): c for name, c in bundle.items.items() if name.startswith(prefix)}
    seeds = {renamed(name): s for name, s in bundle.seeds.items() if name.startswith(prefix)}
    facts = {**bundle.facts, ENTRY: describe([alone]), REQUESTS: tokens}
    return replace(bundle, items=items, seeds=seeds, facts=facts)
