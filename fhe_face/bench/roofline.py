"""How far each kernel is from what this machine could do: the time that its bytes or its products
take at the highest rates measured here, whichever is longer, beside the time that it takes.

Limits are measured in turns with each kernel and compared round by round, as the clock of a shared
machine changes.
"""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from fhe_core import _native
from fhe_core.parameters.primes import ntt_primes
from fhe_face.bench.kernel_costs import WORD, KernelCost, kernel_costs
from fhe_face.bench.timing import Job, copy_bandwidth, copying, ratio, side_by_side
from fhe_face.progress import Stage, silent

RING_DIMENSION = 65536
PRIME_BITS = 50
TERMS = 32
#: Kernel, residues and terms of tiles of 16 to 32 KiB, which stay in the first cache: the best of
#: them is the peak, as near to it as existing kernels come.
PEAK_TILES = (
    ("weighted_sum", 64, 64),
    ("multiply_scalar", 1024, 2),
    ("ntt_forward", 2048, 2),
)
#: Half of what is copied to measure the memory's bandwidth; larger than any cache on sale.
MEMORY_BYTES = 1 << 30
#: A measured run takes about this long, so that the clock's steps do not matter.
RUN_SECONDS = 4e-3
MAX_REPEATS = 1 << 24
#: Bytes per second, roughly: how often to copy for a run of RUN_SECONDS.
EXPECTED_BANDWIDTH = 3e10
LIMB, PEAK, COPY, BANDWIDTH = "limb", "peak", "copy", "bandwidth"


@dataclass(frozen=True)
class Point:
    """One kernel of one instruction set.

    Attributes:
        seconds: for one limb, the median.
        bytes, products: per limb, from the kernel's definition.
        bandwidth_seconds: the bytes at the copy bandwidth of a working set of that size.
        memory_seconds: the bytes at the copy bandwidth of main memory: where limbs come from there.
        arithmetic_seconds: the products at the peak.
        times_scalar: how many times faster than the scalar kernel.
        copies: seconds in units of the copy of one limb.
    """

    kernel: str
    instruction_set: str
    seconds: float
    bytes: float
    products: float
    bandwidth_seconds: float
    memory_seconds: float
    arithmetic_seconds: float
    times_scalar: float
    copies: float

    @property
    def bound(self) -> str:
        """Which limit is the higher one."""
        return "arithmetic" if self.arithmetic_seconds > self.bandwidth_seconds else "bandwidth"

    @property
    def percent(self) -> float:
        """The limit's share of the time: 100 would be as fast as the machine can."""
        return 100 * max(self.arithmetic_seconds, self.bandwidth_seconds) / self.seconds

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "bound": self.bound, "percent_of_bound": self.percent}


@dataclass(frozen=True)
class Roofline:
    """The highest limits seen on the machine, for one thread, and where the kernels stand.

    Attributes:
        peaks: half products per second by instruction set.
        bandwidths: copy bandwidth in bytes per second by working set in bytes.
    """

    points: tuple[Point, ...]
    peaks: dict[str, float]
    bandwidths: dict[int, float]
    ring_dimension: int

    @property
    def memory_bandwidth(self) -> float:
        """Of the largest working set."""
        return self.bandwidths[max(self.bandwidths)]

    def to_json(self) -> dict[str, Any]:
        return {
            "ring_dimension": self.ring_dimension,
            "peak_products_per_second": self.peaks,
            "copy_bytes_per_second": {str(size): rate for size, rate in self.bandwidths.items()},
            "memory_bytes_per_second": self.memory_bandwidth,
            "kernels": [point.to_json() for point in self.points],
        }


def measure(
    ring_dimension: int = RING_DIMENSION,
    rounds: int = 7,
    memory_bytes: int = MEMORY_BYTES,
    stage: Stage = silent,
) -> Roofline:
    """Every kernel of every instruction set that this processor has, on one thread."""
    stage("measuring memory and arithmetic", 0, 0)
    bandwidths = {memory_bytes: copy_bandwidth(memory_bytes, max(3, rounds))}
    bench = _Bench(ring_dimension, bandwidths[memory_bytes])
    stage("measuring memory and arithmetic", 1, 1)
    peaks = dict.fromkeys(bench.targets, 0.0)
    points: list[Point] = []
    costs = kernel_costs(ring_dimension, TERMS)
    for number, (name, cost) in enumerate(costs.items()):
        stage("measuring kernels", number, len(costs))
        found, limits = bench.points(name, cost, rounds)
        points += found
        size = bench.working_set(cost)
        bandwidths[size] = max(limits.pop(BANDWIDTH), bandwidths.get(size, 0.0))
        peaks = {target: max(peaks[target], limits[target]) for target in peaks}
    stage("measuring kernels", len(costs), len(costs))
    return Roofline(tuple(points), peaks, dict(sorted(bandwidths.items())), ring_dimension)


@dataclass(frozen=True)
class _Run:
    """Something that is run ``repeats`` times for one measurement, and what that amounts to."""

    job: Job
    amount: float


class _Bench:
    """Kernels on limbs, and on the tiles of the peak, for every instruction set."""

    def __init__(self, n: int, memory_bandwidth: float) -> None:
        self.n, self.memory_bandwidth = n, memory_bandwidth
        self.targets = _native.kernels.available()
        self.workloads = {target: _workload(target, n, TERMS) for target in self.targets}
        self.peaks = {target: _peak(target) for target in self.targets}

    def working_set(self, cost: KernelCost) -> int:
        """Bytes that the workload of a kernel goes over."""
        return int(cost.limbs * WORD * self.n)

    def points(
        self, name: str, cost: KernelCost, rounds: int
    ) -> tuple[list[Point], dict[str, float]]:
        """A kernel's points; and the limits beside it: bandwidth, and the peak of every set."""
        runs = {f"{LIMB} {t}": _kernel(work, name, 1) for t, work in self.workloads.items()}
        runs |= {f"{PEAK} {target}": run for target, run in self.peaks.items()}
        runs[COPY] = _kernel(self.workloads[self.targets[0]], COPY, 1)
        runs[BANDWIDTH] = _copy(self.working_set(cost))
        timed = side_by_side({what: run.job for what, run in runs.items()}, rounds)
        # Seconds for an amount of one, by round: of a limb, a half product, a copy, a byte.
        unit = {what: [t / run.amount for t in timed[what]] for what, run in runs.items()}
        moved, products = self.n * cost.moved, self.n * cost.products
        found = []
        for target in self.targets:
            own = unit[f"{LIMB} {target}"]
            seconds = statistics.median(own)
            in_turns = {what: seconds / ratio(own, other) for what, other in unit.items()}
            found.append(
                Point(
                    kernel=name,
                    instruction_set=target,
                    seconds=seconds,
                    bytes=moved,
                    products=products,
                    bandwidth_seconds=moved * in_turns[BANDWIDTH],
                    memory_seconds=moved / self.memory_bandwidth,
                    arithmetic_seconds=products * in_turns[f"{PEAK} {target}"],
                    times_scalar=in_turns[f"{LIMB} scalar"] / seconds,
                    copies=seconds / in_turns[COPY],
                )
            )
        limits = {target: 1 / min(unit[f"{PEAK} {target}"]) for target in self.targets}
        return found, limits | {BANDWIDTH: 1 / min(unit[BANDWIDTH])}


def peak_products(rounds: int = 3) -> float:
    """Half products per second of one thread, with the instruction set that the library uses."""
    run = _peak(_native.kernels.selected())
    return run.amount / min(side_by_side({PEAK: run.job}, rounds)[PEAK])


def _peak(target: str) -> _Run:
    """The tile on which the instruction set makes the most half products per second."""
    best, best_rate = None, 0.0
    for name, n, terms in PEAK_TILES:
        products = n * kernel_costs(n, terms)[name].products
        run = _kernel(_workload(target, n, terms), name, products)
        rate = run.amount / min(side_by_side({name: run.job}, 3)[name])
        if best is None or rate > best_rate:
            best, best_rate = run, rate
    assert best is not None
    return best


def _workload(target: str, n: int, terms: int) -> _native.kernels.Workload:
    prime = next(ntt_primes(PRIME_BITS, 2 * max(n, 64)))  # the real ring's roots are of order 4n
    return _native.kernels.Workload(_native.kernels.Kernels(target, n, prime), terms)


def _kernel(work: _native.kernels.Workload, name: str, amount: float) -> _Run:
    """A kernel, as often as makes a run that can be timed; amount: of one time."""
    repeats = 1
    while True:
        (elapsed,) = side_by_side({name: partial(work.run, name, repeats)}, 1)[name]
        if elapsed >= RUN_SECONDS / 4 or repeats >= MAX_REPEATS:
            break
        repeats *= 4
    repeats = max(1, round(repeats * RUN_SECONDS / max(elapsed, 1e-9)))
    return _Run(partial(work.run, name, repeats), repeats * amount)


def _copy(working_set: int) -> _Run:
    """Copies of one half of a working set to the other; the amount is in bytes moved."""
    copy = copying(working_set // 2)
    repeats = max(1, round(RUN_SECONDS * EXPECTED_BANDWIDTH / working_set))

    def job() -> None:
        for _ in range(repeats):
            copy()

    return _Run(job, repeats * working_set)
