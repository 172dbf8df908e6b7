"""The roofline: definitions that can be checked by hand, and points that follow from them."""

from __future__ import annotations

import pytest

from fhe_core import _native
from fhe_face.bench import roofline
from fhe_face.bench.kernel_costs import kernel_costs
from fhe_face.bench.roofline import Point, Roofline

N = 1024
MEMORY = 1 << 22


@pytest.fixture(scope="module")
def measured() -> Roofline:
    return roofline.measure(N, rounds=2, memory_bytes=MEMORY)


def test_costs_by_definition() -> None:
    costs = kernel_costs(N, 32)
    assert costs["ntt_forward"].products * N == 3 * (N // 2) * 10  # butterflies of ten layers
    assert costs["ntt_inverse"].products > costs["ntt_forward"].products
    assert costs["real_ntt_forward"].products == costs["ntt_forward"].products + 3
    assert costs["add"].moved == 24
    assert costs["multiply_add"].moved == 32
    assert costs["weighted_sum"].products == costs["weighted_sum_lazy"].products == 2 * 32 + 4
    assert kernel_costs(N, 16)["weighted_sum"].products == 2 * 16 + 2
    assert costs["scaled_dot_product"].products == 2 * 16 + 4
    assert costs["key_product"].products == 2 * (2 * 10 + 4) + 2
    # Eight transforms of length 128, of seven layers, in a limb.
    assert costs["ntt_forward_block"].products * N == 8 * 3 * (128 // 2) * 7
    assert costs["real_ntt_forward_block"].products == costs["ntt_forward_block"].products + 3
    assert costs["dot_product"].products == 2 * 16 + 8
    assert kernel_costs(N, 30)["dot_product"].products == 2 * 15 + 5
    assert costs["dot_product"].read == 8 * 32
    assert all(cost.limbs * 8 <= cost.moved + 8 for cost in costs.values())


def test_every_kernel_of_the_table_is_measured(measured: Roofline) -> None:
    """A kernel that is added to the extension must be added here."""
    known = {n for n in dir(_native.kernels.Kernels) if not n.startswith("_")} - {"psi"}
    assert {point.kernel for point in measured.points} == known == set(kernel_costs(N, 32))
    sets = _native.kernels.available()
    assert [p.instruction_set for p in measured.points] == sets * len(known)
    assert measured.peaks.keys() == set(sets)
    assert measured.memory_bandwidth == measured.bandwidths[MEMORY]


def test_points_follow_from_limits(measured: Roofline) -> None:
    for point in measured.points:
        assert point.seconds > 0
        assert point.copies > 0
        assert point.memory_seconds == pytest.approx(point.bytes / measured.memory_bandwidth)
        assert (point.arithmetic_seconds > 0) == (point.products > 0)
        assert point.bandwidth_seconds > 0
        if point.instruction_set == "scalar":
            assert point.times_scalar == pytest.approx(1)
    row = measured.to_json()["kernels"][0]
    assert row["bound"] in ("arithmetic", "bandwidth")
    assert row["percent_of_bound"] > 0


def test_the_bound_is_the_longer_limit() -> None:
    point = Point("k", "s", 4.0, 1, 1, 1.0, 5.0, 2.0, 1, 1)
    assert (point.bound, point.percent) == ("arithmetic", 50)
    point = Point("k", "s", 4.0, 1, 1, 3.0, 5.0, 2.0, 1, 1)
    assert (point.bound, point.percent) == ("bandwidth", 75)
