"""The extension and the encoding against answers from definitions (``generate.py``)."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fhe_core import _native, encoding
from fhe_core.parameters.primes import ntt_primes
from tests.helpers import key_in_memory
from tests.known_answers import definitions, generate

FILE = Path(__file__).with_name("vectors.json")
VECTORS: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
N: int = VECTORS["n"]
MODULI: list[int] = VECTORS["moduli"]
SPECIALS = list(range(VECTORS["limbs"], len(MODULI)))

Words = NDArray[np.uint64]


@pytest.fixture(params=_native.kernels.available())
def kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every set of kernels that this processor can run."""
    monkeypatch.setenv("FHE_FACE_KERNELS", request.param)


@pytest.fixture
def context(kernels: None) -> _native.Context:
    """Of the real ring; what works coefficient by coefficient is the same in both."""
    return _native.Context(N, MODULI, 1, ring="real")


def test_every_set_of_kernels_is_meant(
    kernels: None, context: _native.Context, request: pytest.FixtureRequest
) -> None:
    assert f"[{context.kernels}]" in request.node.name


def words(values: Any) -> Words:
    return np.array(values, dtype=np.uint64)


def of(q: int, ring: str = "standard") -> _native.Context:
    return _native.Context(N, [q], 1, ring=ring)


def forward(context: _native.Context, polynomials: Any, rows: Sequence[int]) -> Words:
    """NTT of coefficients [..., rows, N]."""
    flat = words(polynomials).reshape(-1, len(rows), N)
    return np.stack([context.ntt_forward(p, rows) for p in flat]).reshape(np.shape(polynomials))


def test_the_file_is_what_the_program_prints() -> None:
    assert FILE.read_text(encoding="utf-8") == generate.text()


def test_the_program_shares_no_code() -> None:
    imported = set()
    for module in (generate, definitions):
        lines = Path(str(module.__file__)).read_text(encoding="utf-8").splitlines()
        words = [line.split() for line in lines]
        imported |= {w[1] for w in words if w and w[0] in ("import", "from")}
    standard = {"__future__", "json", "math", "random", "sys", "typing"}
    assert imported == standard | {definitions.__name__}


@pytest.mark.parametrize("case", VECTORS["primes"], ids=lambda c: f"{c['bits']} bits, {c['n']}")
def test_primes(case: dict[str, Any]) -> None:
    assert list(islice(ntt_primes(case["bits"], case["n"]), 8)) == case["primes"]


@pytest.mark.parametrize("case", VECTORS["arithmetic"], ids=lambda case: str(case["q"]))
def test_modular_arithmetic(kernels: None, case: dict[str, Any]) -> None:
    context = of(case["q"])
    a, b = words([case["a"]]), words([case["b"]])
    assert context.add(a, b, [0]).tolist() == [case["sum"]]
    assert context.subtract(a, b, [0]).tolist() == [case["difference"]]
    assert context.multiply(a, b, [0]).tolist() == [case["product"]]


@pytest.mark.parametrize(
    ("ring", "case"),
    [("standard", case) for case in VECTORS["transforms"]]
    + [("real", case) for case in VECTORS["real transforms"]],
    ids=lambda value: value if isinstance(value, str) else str(value["q"]),
)
def test_transforms(kernels: None, ring: str, case: dict[str, Any]) -> None:
    context, a = of(case["q"], ring), words([case["coefficients"]])
    values = context.ntt_forward(a, [0])
    assert values.tolist() == [case["values"]]
    assert context.ntt_inverse(values, [0]).tolist() == [case["coefficients"]]
    product = context.multiply(values, context.ntt_forward(words([case["other"]]), [0]), [0])
    assert context.ntt_inverse(product, [0]).tolist() == [case["product"]]
    for element, expected in case["turned"].items():
        index = _native.galois_permutation(N, int(element), ring)
        assert context.ntt_inverse(context.permute(values, index), [0]).tolist() == [expected]


@pytest.mark.parametrize("case", VECTORS["extension"], ids=lambda case: f"{case['limbs']} limbs")
def test_basis_extension(context: _native.Context, case: dict[str, Any]) -> None:
    own = list(range(case["limbs"]))
    digits = context.decompose(
        forward(context, case["coefficients"], own),
        own,
        case["digit_limbs"],
        len(case["digits"]),
        SPECIALS,
    )
    rows = [*own, *SPECIALS]
    assert [context.ntt_inverse(d, rows).tolist() for d in digits] == case["digits"]


@pytest.mark.parametrize("case", VECTORS["division"], ids=lambda case: str(case["rows"]))
def test_division_with_rounding(context: _native.Context, case: dict[str, Any]) -> None:
    rows, dropped = case["rows"], case["dropped"]
    values = forward(context, case["coefficients"], rows)
    (divided,) = context.divide_and_round(values[None], rows, rows[:-dropped])
    assert context.ntt_inverse(divided, rows[:-dropped]).tolist() == case["result"]


@pytest.mark.parametrize("case", VECTORS["switching"], ids=lambda case: f"galois {case['galois']}")
def test_key_switching(context: _native.Context, case: dict[str, Any]) -> None:
    limbs, element = case["limbs"], case["galois"]
    own = list(range(limbs))
    rows = [*own, *SPECIALS]
    special = math.prod(MODULI[s] for s in SPECIALS)
    extended = context.switch_key(
        context.decompose(
            forward(context, case["coefficients"], own),
            own,
            generate.DIGIT_LIMBS,
            len(case["key"]),
            SPECIALS,
        ),
        own,
        SPECIALS,
        key_in_memory(forward(context, case["key"], rows), [MODULI[r] for r in rows]),
        rows,
        forward(context, [case["addend"]], own),
        [special % MODULI[i] for i in own],
        _native.galois_permutation(N, element, "real") if element else None,
        None,
    )
    divided = context.divide_and_round(extended, rows, own)
    assert [context.ntt_inverse(half, own).tolist() for half in divided] == case["result"]


def test_encoding() -> None:
    case = VECTORS["encoding"]
    slots = np.array(case["slots"]) / 2.0 ** case["point"]
    coefficients = encoding.encode(slots, N, 2.0 ** case["log_scale"])
    assert coefficients.tolist() == case["coefficients"]
    decoded = encoding.decode(coefficients.astype(np.float64), 1.0)
    expected = np.array([float(value) for value in case["decoded"]]) / 2.0 ** case["decoded_point"]
    assert np.allclose(decoded, expected, rtol=1e-12, atol=0)
