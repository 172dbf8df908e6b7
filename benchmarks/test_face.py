"""Time of one face at full size: patches in sequence, on threads, and packed into slots.

    pytest benchmarks/test_face.py --benchmark-columns=min,median,rounds

The jobs of `fhe-face bench modes`, which also says how far the answers agree. Packed on all
threads is what `fhe-face embed` runs. Minutes and about 10 GB; the bundled weights.
"""

import functools

import pytest

from fhe_face.bench.modes import PACKED, PARALLEL, SEQUENTIAL, compile_with, ways
from fhe_face.bench.subject import Subject
from fhe_face.network import bundled_weights
from fhe_face.progress import silent
from fhe_face.system import default_threads

THREADS = max(2, default_threads())
#: Plan of one patch in a ciphertext, then of all in one: each with keys of its own.
MODES = {
    True: ((SEQUENTIAL, 1), (PARALLEL, THREADS)),
    False: ((PACKED, 1), (PACKED, THREADS)),
}


@functools.lru_cache(None)
def subject():
    return Subject.load(bundled_weights())


@pytest.fixture(scope="module", params=MODES, ids=lambda alone: "one lane" if alone else "lanes")
def runners(request):
    """What runs each mode of a plan; the keys of one plan are gone before the next are made."""
    alone = request.param
    compiled = compile_with(subject(), 1) if alone else subject().engine.compiled
    found = list(ways(subject(), compiled, alone, THREADS, silent))
    return alone, {(name, threads): runner for name, threads, _, runner in found}


@pytest.mark.parametrize("place", [0, 1])
def test_face(benchmark, runners, place):
    alone, jobs = runners
    name, threads = MODES[alone][place]
    benchmark.group = "one face"
    benchmark.name = f"face, {name}, threads: {threads}"
    rounds = 1 if alone else 3
    benchmark.pedantic(jobs[name, threads], args=(lambda *_: None,), rounds=rounds)
