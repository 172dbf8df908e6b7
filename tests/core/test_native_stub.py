"""The extension's stub names what the extension has, and its calls refuse bad arguments."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from fhe_core import _native
from tests.helpers import distinct_primes

# --- names ----------------------------------------------------------------------------------------


def declared(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, list[str] | None]]:
    """(dotted name, parameter names or None) of everything public in a stub."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield f"{prefix}{node.name}", None
            yield from declared(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, ast.FunctionDef):
            decorators = {d.id for d in node.decorator_list if isinstance(d, ast.Name)}
            names = [a.arg for a in (*node.args.posonlyargs, *node.args.args) if a.arg != "self"]
            if node.args.posonlyargs:  # the extension does not name them
                names = [f"arg{i}" for i in range(len(names))]
            yield f"{prefix}{node.name}", None if "property" in decorators else names


def present(owner: Any, prefix: str = "") -> Iterator[tuple[str, list[str] | None]]:
    """The same of the extension, from the signatures that pybind11 writes."""
    for name in dir(owner):
        value = getattr(owner, name)
        if isinstance(value, type | ModuleType):
            if not name.startswith("_"):
                yield f"{prefix}{name}", None
                if not (isinstance(value, type) and issubclass(value, Exception)):
                    yield from present(value, f"{prefix}{name}.")
        elif isinstance(value, property):
            yield f"{prefix}{name}", None
        elif not name.startswith("_") or (name == "__init__" and isinstance(owner, type)):
            signature = str(value.__doc__).split("\n", 1)[0]
            inside = signature[signature.index("(") : signature.rindex("->")]
            names = re.findall(r"(?:\(|, )(\w+): ", inside)
            yield f"{prefix}{name}", [n for n in names if n != "self"]


def test_the_stub_matches_the_extension(repository: Path) -> None:
    stub = repository / "fhe_core" / "_native.pyi"
    written = dict(declared(ast.parse(stub.read_text(encoding="utf-8")).body))
    assert written == dict(present(_native))


# --- arguments ------------------------------------------------------------------------------------

N = 64
MODULI = distinct_primes((50, 43, 43, 50), N)
CONTEXT = _native.Context(N, MODULI, 1)
INDEX = _native.galois_permutation(N, 5)
KEY_ROWS = [0, 1, 3]
NOTHING = np.empty(0, dtype=np.uint64)
ONE = [np.zeros((1, 2), dtype=np.uint32)]
WEIGHTS = np.zeros((2, 8), dtype=np.int64)


def words(*shape: int) -> Any:
    return np.zeros(shape, dtype=np.uint64)


#: A key of one digit and three rows.
MODULUS = 65537
KEY = words(3, N // 32, 1, 2, 32)


def entries(*pairs: tuple[int, int]) -> Any:
    return [np.array(pairs, dtype=np.uint32).reshape(-1, 2)]


def switch(**changes: Any) -> Any:
    arguments: dict[str, Any] = {
        "digits": words(1, 3, N),
        "rows": [0, 1],
        "specials": [3],
        "key": KEY,
        "key_rows": [0, 1, 3],
        "addend": words(2, 2, N),
        "p_mod_q": [1, 1],
        "permutation": None,
        "base": None,
    }
    return CONTEXT.switch_key(**{**arguments, **changes})


def accumulate(**changes: Any) -> Any:
    arguments: dict[str, Any] = {
        "masks": [np.zeros(N, dtype=np.int64)],
        "terms": [(0, 0)],
        "outputs": ONE,
        "weights": WEIGHTS,
        "inputs": [(words(2, 2, N), words(1, 3, N))],
        "babies": [(0, INDEX, KEY, KEY_ROWS)],
        "rows": [0, 1],
        "specials": [3],
        "p_mod_q": [1, 1],
    }
    chosen = {**arguments, **changes}
    fixed = {name: chosen.pop(name) for name in ("masks", "terms", "outputs", "weights")}
    return CONTEXT.accumulate(_native.Transform(**fixed), **chosen)


def test_the_calls_that_are_spoilt_below_work() -> None:
    assert switch().shape == (2, 3, N)
    assert [found.shape for found in accumulate()] == [(2, 3, N)]


#: Every block of eight from the first one; every position of a block from the same one.
WRONG_BLOCKS = ((np.arange(N) % 8) ^ 1).astype(np.uint32)
TWO_TO_ONE = (np.arange(N) // 8 * 8).astype(np.uint32)
A = words(2, N)
BAD: list[Callable[[], Any]] = [
    lambda: _native.Context(N, MODULI, 0),
    lambda: _native.Context(N, MODULI, -1),
    lambda: _native.Context(48, MODULI, 1),
    lambda: _native.Context(8, MODULI, 1),
    lambda: _native.Context(2**18, MODULI, 1),
    lambda: _native.Context(N, MODULI, 1, ring="other"),
    lambda: _native.Context(N, [MODULI[0]] * 2, 1),
    lambda: _native.Context(N, [MODULI[0] + 2], 1),
    lambda: _native.Context(N, [0], 1),
    lambda: _native.Context(2 * N * 64, [MODULI[3]], 1),
    lambda: CONTEXT.add(A, A, [0, 4]),
    lambda: CONTEXT.add(A, A, [0, -1]),
    lambda: CONTEXT.add(A, A, [0, 2**40]),
    lambda: CONTEXT.add(A, A, []),
    lambda: CONTEXT.add(A, A, [0]),
    lambda: CONTEXT.add(A, A[:1], [0, 1]),
    lambda: CONTEXT.add(A[:, :32], A, [0, 1]),
    lambda: CONTEXT.add(A.astype(np.int64), A, [0, 1]),
    lambda: CONTEXT.add(A.astype(np.float64), A, [0, 1]),
    lambda: CONTEXT.ntt_forward(words(N), [0]),
    lambda: CONTEXT.ntt_forward(words(2, 2, N), [0, 1]),
    lambda: CONTEXT.ntt_inverse(A, [0, 9]),
    lambda: CONTEXT.multiply_scalars(A, [1], [0, 1]),
    lambda: CONTEXT.multiply_scalars(A, [-1, 1], [0, 1]),
    lambda: CONTEXT.multiply_scalars(A, [2**64, 1], [0, 1]),
    lambda: CONTEXT.embed_signed(np.zeros(N - 1, dtype=np.int64), [0]),
    lambda: CONTEXT.embed_signed(words(N), [0]),
    lambda: CONTEXT.embed_signed(np.zeros(N, dtype=np.int64), [7]),
    lambda: CONTEXT.add_plain(A, np.zeros(N, dtype=np.int64), [0, 1]),
    lambda: CONTEXT.add_plain(words(2, 5, N), np.zeros(N, dtype=np.int64), range(5)),
    lambda: CONTEXT.add_plain(words(2, 2, N), np.zeros(N - 1, dtype=np.int64), [0, 1]),
    lambda: CONTEXT.add_plain(words(2, 2, N), words(N), [0, 1]),
    lambda: CONTEXT.multiply_plain(words(3, 2, N), np.zeros(N, dtype=np.int64), [0, 1]),
    lambda: CONTEXT.multiply_plain(words(2, 0, N), np.zeros(N, dtype=np.int64), []),
    lambda: CONTEXT.permute(A, INDEX[:5]),
    lambda: CONTEXT.permute(A, INDEX.astype(np.int64)),
    lambda: CONTEXT.permute(words(N), INDEX),
    lambda: _native.galois_permutation(N, 4),
    lambda: _native.galois_permutation(N, 3, "real"),
    lambda: _native.galois_permutation(N, 4 * N + 1, "real"),
    lambda: _native.galois_permutation(N, 5, "other"),
    lambda: _native.galois_permutation(N, 2 * N + 1),
    lambda: CONTEXT.decompose(A, [0, 1], 0, 1, [2]),
    lambda: CONTEXT.extend(A, [0, 1], 0, 1, [2]),
    lambda: CONTEXT.extend(A, [0, 1], 1, 3, [2]),
    lambda: switch(source=words(1, N), digit_limbs=2),
    lambda: switch(source=words(2, N), digit_limbs=0),
    lambda: switch(source=words(2, N), digit_limbs=5),
    lambda: accumulate(digit_limbs=5),
    lambda: CONTEXT.decompose(A, [0, 1], -3, 1, [2]),
    lambda: CONTEXT.decompose(A, [0, 1], 1, 2, []),
    lambda: CONTEXT.decompose(A, [0, 1], 1, 2, [4]),
    lambda: CONTEXT.decompose(words(5, N), range(5), 1, 5, [2]),
    lambda: CONTEXT.decompose(words(0, N), [], 1, 0, [2]),
    lambda: CONTEXT.decompose(words(2, N - 1), [0, 1], 1, 2, [2]),
    lambda: CONTEXT.decompose(A, [0, 1], 1, 3, [2]),
    lambda: CONTEXT.decompose(A, [0, 1], 1, 0, [2]),
    lambda: CONTEXT.decompose(A, [0, 1], 2, 2, [2]),
    lambda: CONTEXT.decompose(A, [0, 1], 1, 2**63, [2]),
    lambda: CONTEXT.decompose(A, [0], 1, 1, [2]),
    lambda: CONTEXT.divide_and_round(A[None], [0, 1], []),
    lambda: CONTEXT.divide_and_round(A[None], [0, 1], [0, 1]),
    lambda: CONTEXT.divide_and_round(A[None], [0, 1], [1, 0, 2]),
    lambda: CONTEXT.divide_and_round(A[None], [0, 1], [4]),
    lambda: CONTEXT.divide_and_round(A[None], [0, 1], [-1]),
    lambda: CONTEXT.divide_and_round(A[None], [0, 5], [0]),
    lambda: CONTEXT.divide_and_round(A[None], [0, 0], [1]),
    lambda: CONTEXT.divide_and_round(A[None], [0, 1], [2, 2]),
    lambda: CONTEXT.divide_and_round(A, [0, 1], [0]),
    lambda: CONTEXT.divide_and_round(A[None], [0], [1]),
    lambda: CONTEXT.divide_and_round(A[None], [0, 1], [0], [1]),
    lambda: CONTEXT.divide_and_round(A[None], [0, 1], [0], [MODULI[0], 1]),
    lambda: CONTEXT.divide_and_round(A[None], [0, 1], [0], [1, 0]),
    lambda: CONTEXT.tensor(A, A, [0, 1]),
    lambda: CONTEXT.tensor(words(2, 2, N), words(2, 1, N), [0, 1]),
    lambda: CONTEXT.tensor(words(3, 2, N), words(2, 2, N), [0, 1]),
    lambda: CONTEXT.tensor(words(2, 5, N), words(2, 5, N), range(5)),
    lambda: CONTEXT.tensor(words(2, 0, N), words(2, 0, N), []),
    lambda: switch(key=words(3, N // 32, 0, 2, 32)),
    lambda: switch(key=words(2, N // 32, 1, 2, 32)),
    lambda: switch(key=words(3, N // 32, 1, 1, 32)),
    lambda: switch(key=words(3, N // 64, 1, 2, 32)),
    lambda: switch(key=words(3, N // 16, 1, 2, 16)),
    lambda: switch(key=words(1, 2, 3, N)),
    lambda: switch(key_rows=[0, 1, 2]),
    lambda: switch(key_rows=[0, 1, 2, 3]),
    lambda: switch(key_rows=[0, 1]),
    lambda: switch(rows=[0]),
    lambda: switch(rows=[0, 2]),
    lambda: switch(rows=[0, -1]),
    lambda: switch(specials=[4]),
    lambda: switch(specials=[]),
    lambda: switch(digits=words(1, 1, N)),
    lambda: switch(digits=words(3, N)),
    lambda: switch(p_mod_q=[1]),
    lambda: switch(addend=words(3, 2, N)),
    lambda: switch(addend=words(1, 1, N)),
    lambda: switch(permutation=INDEX[:3]),
    lambda: switch(permutation="x"),
    lambda: switch(base=words(2, 2, N)),
    lambda: switch(base=words(2, 3, N).astype(np.int64)),
    lambda: accumulate(inputs=[]),
    lambda: accumulate(outputs=[]),
    lambda: accumulate(inputs=[(words(2, N), NOTHING)]),
    lambda: accumulate(inputs=[(words(2, 0, N), NOTHING)]),
    lambda: accumulate(inputs=[(words(2, 2, N), NOTHING)]),
    lambda: accumulate(inputs=[(words(2, 2, N), words(1, 2, N))]),
    lambda: accumulate(inputs=[(words(2, 2, N), words(d, 3, N)) for d in (2, 1)]),
    lambda: accumulate(babies=[(1, None, None, [])]),
    lambda: accumulate(babies=[(0, INDEX, None, KEY_ROWS)]),
    lambda: accumulate(babies=[(0, INDEX, KEY, [0, 2, 3])]),
    lambda: accumulate(babies=[(0, INDEX[:9], KEY, KEY_ROWS)]),
    lambda: accumulate(terms=[(1, -1)]),
    lambda: accumulate(terms=[(0, 1)]),
    lambda: accumulate(terms=[(-1, -1)]),
    lambda: accumulate(masks=[np.zeros(N - 1, dtype=np.int64)]),
    lambda: accumulate(masks=[words(N)]),
    lambda: accumulate(masks=[np.full(N, 2**50)]),
    lambda: accumulate(masks=[np.full(N, -(2**50) - 1)]),
    lambda: accumulate(outputs=entries((0, 2))),
    lambda: accumulate(outputs=entries((1, 0))),
    lambda: accumulate(outputs=[np.zeros((1, 3), dtype=np.uint32)]),
    lambda: accumulate(outputs=[np.zeros((1, 2), dtype=np.int64)]),
    lambda: accumulate(weights=np.zeros((0, 8), dtype=np.int64)),
    lambda: accumulate(terms=[(2**64 - 1, -1)]),
    lambda: accumulate(masks=[np.zeros((1, N), dtype=np.int64)]),
    lambda: accumulate(weights=np.zeros((2, 4), dtype=np.int64)),
    lambda: accumulate(weights=np.zeros((2, 12), dtype=np.int64)),
    lambda: accumulate(weights=np.zeros((2, 128), dtype=np.int64)),
    lambda: accumulate(weights=np.zeros(8, dtype=np.int64)),
    lambda: accumulate(rows=[0]),
    lambda: accumulate(rows=[]),
    lambda: accumulate(rows=[0, 2]),
    lambda: accumulate(specials=[9]),
    lambda: accumulate(specials=[]),
    lambda: accumulate(p_mod_q=[1]),
    lambda: _native.fill_uniform(words(4), words(4), 0),
    lambda: _native.fill_uniform(words(4), words(4), 1),
    lambda: _native.fill_uniform(words(2, 2), words(4), 5),
    lambda: _native.fill_uniform(words(4), words(2, 2), 5),
    lambda: _native.fill_uniform(np.frombuffer(bytes(32), dtype=np.uint64), words(4), 5),
    lambda: CONTEXT.permute(A, np.full(N, 2**32 - 1, np.uint32)),
    lambda: CONTEXT.permute(A, np.full(N, N, np.uint32)),
    lambda: switch(permutation=np.full(N, 2**32 - 1, np.uint32)),
    lambda: accumulate(babies=[(0, np.full(N, 2**32 - 1, np.uint32), KEY, KEY_ROWS)]),
    lambda: switch(permutation=WRONG_BLOCKS),
    lambda: switch(permutation=TWO_TO_ONE),
    lambda: accumulate(babies=[(0, WRONG_BLOCKS, KEY, KEY_ROWS)]),
    lambda: CONTEXT.decompose(A, [0, 1], 2**63, 2, [2]),
    lambda: switch(p_mod_q=[2**63, 1]),
    lambda: accumulate(p_mod_q=[2**63, 1]),
    lambda: _native.fill_uniform(words(8)[::2], words(4), 5),
    lambda: _native.fill_uniform(words(4).astype(np.uint32), words(4), 5),
    lambda: _native.key_memory(0, 3, N),
    lambda: _native.key_memory(1, 0, N),
    lambda: _native.key_memory(1, 3, 48),
    lambda: _native.key_memory(1, 3, 4),
    lambda: _native.key_memory(1, 3, 2**60),
    lambda: _native.key_memory(2**40, 3, N),
    lambda: _native.store_key_row(KEY.copy(), 3, 0, 0, words(N), MODULUS),
    lambda: _native.store_key_row(KEY.copy(), 0, 1, 0, words(N), MODULUS),
    lambda: _native.store_key_row(KEY.copy(), 0, 0, 2, words(N), MODULUS),
    lambda: _native.store_key_row(KEY.copy(), 0, 0, 0, words(N - 8), MODULUS),
    lambda: _native.store_key_row(KEY.copy(), 0, 0, 0, words(N), 2**50 + 1),
    lambda: _native.store_key_row(KEY.copy(), 0, 0, 0, words(N) + np.uint64(MODULUS), MODULUS),
    lambda: _native.store_key_row(KEY.copy(), 0, 0, 0, ~words(N), MODULUS),
    lambda: _native.store_key_row(KEY.copy()[0], 0, 0, 0, words(N), MODULUS),
    lambda: _native.store_key_row(words(N), 0, 0, 0, words(N), MODULUS),
    lambda: _native.load_key(KEY, [MODULUS] * 2),
    lambda: _native.load_key(KEY, [2**50 + 1] * 3),
    lambda: _native.load_key(words(3, N), [MODULUS] * 3),
    lambda: _native.galois_permutation(48, 5),
    lambda: _native.galois_permutation(2**40, 5),
]


@pytest.mark.parametrize("call", BAD)
def test_bad_arguments_raise(call: Callable[[], Any]) -> None:
    with pytest.raises((ValueError, TypeError, RuntimeError)) as caught:
        call()
    assert type(caught.value) in (ValueError, TypeError, RuntimeError)
