"""Time of fitting the normalisation's polynomial, by method and degree.

pytest benchmarks/test_fit.py --benchmark-columns=min,median,rounds
"""

import pytest

from fhe_face.coeffs.fit import fit

INTERVAL = (100.0, 3000.0)


@pytest.mark.parametrize("degree", [2, 4, 8])
@pytest.mark.parametrize("method", ["minimax", "least-squares"])
def test_fit(benchmark, method, degree):
    benchmark.group = "fit"
    found = benchmark(fit, method, INTERVAL, degree)
    assert found.degree == degree
