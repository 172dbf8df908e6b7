"""What the machine allows for a whole plan: its bytes at the speed of copies, its products at the
kernels' peak. Neither counts additions, shuffles, or what the caches spare.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fhe_core.analysis.cost import step_costs
from fhe_core.parameters import Parameters
from fhe_core.plan import Plan
from fhe_face.bench.kernel_costs import SHOUP, TERM
from fhe_face.bench.roofline import peak_products
from fhe_face.bench.timing import copying, side_by_side

_ROUNDS = 3


@dataclass(frozen=True)
class Limits:
    """Of all threads together.

    Attributes:
        bytes_per_second: read and written by a copy on every thread, in main memory.
        products_per_second: halves of 52 x 52 bit products, on tiles in the first cache.
    """

    bytes_per_second: float
    products_per_second: float


@dataclass(frozen=True)
class Bound:
    """The limit that takes longer: "bandwidth" or "arithmetic"."""

    limit: str
    seconds: float

    def share(self, times: float) -> Bound:
        return Bound(self.limit, self.seconds * times)


def measure(threads: int, copy_bytes: int) -> Limits:
    """The fastest of a few rounds; every thread copies ``copy_bytes``."""
    copies = [copying(copy_bytes) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:

        def together() -> None:
            for copy in [pool.submit(job) for job in copies]:
                copy.result()

        seconds = min(side_by_side({"copies": together}, _ROUNDS)["copies"])
    return Limits(2 * copy_bytes * threads / seconds, threads * peak_products())


def bound(plan: Plan, parameters: Parameters, limits: Limits) -> Bound:
    """Of one run of a plan, from the counts of the cost model (``fhe_core.analysis.cost``)."""
    terms = butterflies = bytes_read = 0.0
    for step in step_costs(plan, parameters):
        work, n = step.work, parameters.levels[step.level_in].ring_dimension
        terms += (work.plaintext_products + work.key_products) * n
        butterflies += (work.ntts * n + work.short_ntt_values) * math.log2(n) / 2
        bytes_read += work.bytes_read
    seconds = {
        "bandwidth": bytes_read / limits.bytes_per_second,
        "arithmetic": (TERM * terms + SHOUP * butterflies) / limits.products_per_second,
    }
    limit = max(seconds, key=seconds.__getitem__)
    return Bound(limit, seconds[limit])
