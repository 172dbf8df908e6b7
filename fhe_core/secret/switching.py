"""The owner's side of `matching.switch_plan`: making the key, and opening what was switched."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fhe_core import encoding
from fhe_core.ciphertext import Words
from fhe_core.container import ParameterMismatch
from fhe_core.matching.switch_plan import PART, SwitchPlan
from fhe_core.matching.switching import wide
from fhe_core.secret.key import SecretKey
from fhe_core.secret.matching import centred

Float = NDArray[np.float64]
Signed = NDArray[np.int64]


def require_keys(engine: SecretKey, gallery: SecretKey, plan: SwitchPlan) -> None:
    """Both keys are of the plan's parameters.

    Raises:
        ParameterMismatch: one is not.
    """
    if engine.parameters.digest != plan.engine.digest:
        raise ParameterMismatch("the engine's key was made with other parameters")
    if gallery.parameters.digest != plan.gallery.parameters.digest:
        raise ParameterMismatch("the gallery's key was made with other parameters")


def switch_bodies(
    engine: SecretKey, gallery: SecretKey, plan: SwitchPlan, seed: bytes
) -> Iterator[Words]:
    """The computed halves of a switching key, [2, n] each: the parts, then the keys of the levels.

    Number i takes the seed's stream of domain 1 + i.
    """
    require_keys(engine, gallery, plan)
    secret = components(engine.secret_coefficients().astype(np.int64), plan.parts)
    for number, component in enumerate(secret, 1):
        yield from gallery.key_from(wide(component), PART, seed, number)
    for number, specification in enumerate(plan.added_keys(), 1 + plan.parts):
        yield from gallery.evaluation_key(specification, seed, number)


def components(secret: Signed, parts: int) -> Signed:
    """s_j of s = s_0 + sum of s_j (X^j + X^-j), each in Z[X^k + X^-k]: [k, N / k] of [N].

    Coefficient km + j of s is that of s_j at m and of s_(k-j) at m + 1. No branch on the secret.
    """
    rows = secret.reshape(-1, parts).T.copy()
    for m in range(rows.shape[1] - 2, -1, -1):
        rows[1:, m] -= rows[:0:-1, m + 1]
    return rows


def open_embedding(key: SecretKey, plan: SwitchPlan, words: Words) -> Float:
    """The slots [F] of an embedding [2, n] in the gallery's ring.

    They carry noise that depends on the key: do not share them (docs/security.md).
    """
    return _open(key, plan, words, plan.embedding_scale)


def _open(key: SecretKey, plan: SwitchPlan, words: Words, scale: float) -> Float:
    coefficients = key.decrypt_polynomial(words[:, None], [0])
    return encoding.decode(numbers(coefficients, plan), scale)


def numbers(coefficients: Float, plan: SwitchPlan) -> Float:
    """a_i [F] of coefficients [n]: number 2F - i is -a_i, so each is there twice."""
    there = coefficients[:: plan.stride]
    found: Float = there[: plan.features].copy()
    found[1:] = (found[1:] - there[: plan.features : -1]) / 2
    return found


def open_norm(key: SecretKey, plan: SwitchPlan, words: Words) -> Float:
    """The slots [F] of a squared norm, all alike."""
    return _open(key, plan, words, plan.norm_scale)


def open_products(key: SecretKey, plan: SwitchPlan, words: NDArray[np.uint32]) -> Float:
    """Inner products [faces] of `Switcher.products`."""
    bits = plan.gallery.result_bits
    if not len(words):
        return np.zeros(0)
    values = words.astype(np.int64)
    found = [row[0] + key.times_secret(centred(row[1:], bits))[:1] for row in values]
    return centred(np.concatenate(found), bits) / plan.product_scale
