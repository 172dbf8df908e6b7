"""Memory that runs out inside a loop on threads is an error, not the end of the process."""

from __future__ import annotations

import os
import subprocess
import sys

#: Every operation with scratch memory of its own, with less and less memory to be had.
_CODE = """
import resource
import numpy as np
from fhe_core import _native
from fhe_core.parameters.primes import ntt_primes

N, LIMBS, THREADS = 16384, 4, 2
primes = ntt_primes(40, N)
moduli = [next(primes) for _ in range(LIMBS + 2)]
rows = list(range(LIMBS))
specials = [LIMBS, LIMBS + 1]
a = np.ones((2, LIMBS, N), dtype=np.uint64)
plain = np.ones(N, dtype=np.int64)
digits = np.ones((2, LIMBS + 2, N), dtype=np.uint64)
key = np.ones((LIMBS + 2, N // 32, 2, 2, 32), dtype=np.uint64)
index = _native.galois_permutation(N, 5)
transform = _native.Transform(
    [plain], [(i, 0) for i in range(8)], [np.array([(i, 0) for i in range(8)], dtype=np.uint32)],
    np.ones((1, N), dtype=np.int64))
babies = [(0, index, key, rows + specials)] * 8
operations = {
    "multiply_plain": lambda context: context.multiply_plain(a, plain, rows),
    "decompose": lambda context: context.decompose(a[0].copy(), rows, 2, 2, specials),
    "divide_and_round": lambda context: context.divide_and_round(a, rows, rows[:2]),
    "switch_key": lambda context: context.switch_key(
        digits, rows, specials, key, rows + specials, a, [1] * LIMBS, index, None),
    "accumulate": lambda context: context.accumulate(
        transform, [(a, digits)], babies, rows, specials, [1] * LIMBS),
    "expand_constants": lambda _: _native.expand_constants(pair(), a[:, 0].copy()[None], keys,
        [index] * 2, [1, 2]),
    "expand_probe": lambda _: _native.search(pair(), _native.expand_probe(
        pair(), a[:, 0].copy()[None], keys, [index] * 2, [1, 2]), []),
    "switch_to_bits": lambda _: _native.switch_to_bits(
        pair(), np.ones((8, 3, N), dtype=np.uint64), keys[0]),
    "search": lambda _: _native.search(pair(), _native.ProbeTiles(constants), [block()] * 3),
}
keys = [np.ones((1, 2, 2, N), dtype=np.uint64)] * 2
constants = np.ones((16, 2, N), dtype=np.uint64)
packed = _native.pack48(constants[0, 0])

def pair():
    return _native.Context(N, moduli[:2], THREADS)

def block():
    made = _native.BlockMemory(16, N)
    for k in range(16):
        made.set(k, packed, constants[0, 0])
    return made

refused = {}
for name, run in operations.items():
    right = run(_native.Context(N, moduli, THREADS))  # threads are started
    for room in range(0, 48 << 20, 3 << 18):
        context = _native.Context(N, moduli, THREADS)  # with no memory left over
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + room, resource.RLIM_INFINITY))
        try:
            got = run(context)
        except MemoryError:
            refused[name] = refused.get(name, 0) + 1
            continue
        finally:
            resource.setrlimit(
                resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert np.array_equal(got, right), name
        del got
print(refused)
"""


def test_no_operation_ends_the_process() -> None:
    # Freed memory goes back at once, so that it must be had again.
    # One arena: those of threads reserve memory that is then to be had whatever the limit.
    eager = {
        "MALLOC_MMAP_THRESHOLD_": "16384",
        "MALLOC_TRIM_THRESHOLD_": "0",
        "MALLOC_ARENA_MAX": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", _CODE],
        env={**os.environ, **eager},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    for name in (
        "multiply_plain",
        "decompose",
        "divide_and_round",
        "switch_key",
        "accumulate",
        "expand_constants",
        "expand_probe",
        "switch_to_bits",
        "search",
    ):
        assert f"'{name}'" in done.stdout  # memory did run out
        assert f"'{name}': 64" not in done.stdout  # and not always
