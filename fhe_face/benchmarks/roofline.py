"""How far each kernel is from what this machine could do: the time that its bytes or its products
take at the highest rates measured here, whichever is longer, beside the time that it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from fhe_core import _native
from fhe_core.primes import ntt_primes
from fhe_face.benchmarks.kernel_costs import WORD, KernelCost, kernel_costs
from fhe_face.benchmarks.timing import Job, copy_bandwidth, side_by_side
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


@dataclass(frozen=True)
class Point:
    """One kernel of one instruction set.

    Attributes:
        seconds: for one limb.
        bytes, products: per limb, from the kernel's definition.
        bandwidth_seconds: the bytes at the copy bandwidth of a working set of that size.
        memory_seconds: the bytes at the copy bandwidth of main memory: where limbs come from there.
        arithmetic_seconds: the products at the peak.
        times_scalar: how many times faster than the scalar kernel.
        copies: seconds in units of the copy of one limb, measured in the same rounds.
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
    """Limits of the machine, for one thread, and where the kernels stand.

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
    costs = kernel_costs(ring_dimension, TERMS)
    targets = _native.kernels.available()
    limb = WORD * ring_dimension
    sizes = sorted({int(cost.limbs * limb) for cost in costs.values()} | {memory_bytes})
    total = len(sizes) + len(targets) + len(costs)
    done = 0

    def tell() -> None:
        nonlocal done
        done += 1
        stage("measuring kernels", done, total)

    bandwidths = {}
    for size in sizes:
        bandwidths[size] = copy_bandwidth(size, max(3, rounds))
        tell()
    peaks = {}
    for target in targets:
        peaks[target] = peak(target, max(3, rounds))
        tell()
    workloads = {target: _workload(target, ring_dimension, TERMS) for target in targets}
    points: list[Point] = []
    for name, cost in costs.items():
        seconds = _seconds(name, workloads, rounds)
        points += _points(name, cost, seconds, targets, peaks, bandwidths, ring_dimension)
        tell()
    return Roofline(tuple(points), peaks, bandwidths, ring_dimension)


def peak(target: str, rounds: int) -> float:
    """Half products per second of one thread; see PEAK_TILES."""
    best = 0.0
    for name, n, terms in PEAK_TILES:
        work = _workload(target, n, terms)
        repeats = _repeats(work, name)
        seconds = side_by_side({name: partial(work.run, name, repeats)}, rounds)[name]
        products = repeats * n * kernel_costs(n, terms)[name].products
        best = max(best, products / min(seconds))
    return best


def _workload(target: str, n: int, terms: int) -> _native.kernels.Workload:
    prime = next(ntt_primes(PRIME_BITS, max(n, 64)))
    return _native.kernels.Workload(_native.kernels.Kernels(target, n, prime), terms)


def _repeats(work: _native.kernels.Workload, name: str) -> int:
    """How often to run a kernel for one measurement."""
    repeats = 1
    while True:
        (elapsed,) = side_by_side({name: partial(work.run, name, repeats)}, 1)[name]
        if elapsed >= RUN_SECONDS / 4 or repeats >= MAX_REPEATS:
            return max(1, round(repeats * RUN_SECONDS / max(elapsed, 1e-9)))
        repeats *= 4


def _seconds(
    name: str, workloads: dict[str, _native.kernels.Workload], rounds: int
) -> dict[str, float]:
    """Seconds for one limb by instruction set, and of the copy of a limb; the fastest of rounds."""
    runs = {target: (work, name) for target, work in workloads.items()}
    runs["copy"] = (next(iter(workloads.values())), "copy")
    repeats = {what: _repeats(*run) for what, run in runs.items()}
    jobs: dict[str, Job] = {
        what: partial(work.run, kernel, repeats[what]) for what, (work, kernel) in runs.items()
    }
    measured = side_by_side(jobs, rounds)
    return {what: min(seconds) / repeats[what] for what, seconds in measured.items()}


def _points(
    name: str,
    cost: KernelCost,
    seconds: dict[str, float],
    targets: Sequence[str],
    peaks: dict[str, float],
    bandwidths: dict[int, float],
    n: int,
) -> list[Point]:
    moved, products = n * cost.moved, n * cost.products
    return [
        Point(
            kernel=name,
            instruction_set=target,
            seconds=seconds[target],
            bytes=moved,
            products=products,
            bandwidth_seconds=moved / bandwidths[int(cost.limbs * WORD * n)],
            memory_seconds=moved / bandwidths[max(bandwidths)],
            arithmetic_seconds=products / peaks[target],
            times_scalar=seconds["scalar"] / seconds[target],
            copies=seconds[target] / seconds["copy"],
        )
        for target in targets
    ]
