"""From the engine's ring to a gallery's: exact but for the noise that is predicted."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from fhe_core import encoding
from fhe_core.ciphertext import Ciphertext
from fhe_core.container import ParameterMismatch
from fhe_core.matching import Matcher, gallery_parameters
from fhe_core.matching.coordinates import (
    from_template_coordinates,
    probe_coordinates,
    template_coordinates,
)
from fhe_core.matching.plan import MatchPlan
from fhe_core.matching.precision import predict_switched, product_deviation, switched_variance
from fhe_core.matching.switch_plan import Form, SwitchPlan
from fhe_core.matching.switching import Switcher
from fhe_core.parameters import Parameters, Specification, Tier, bounds, build, presets
from fhe_core.secret.key import SecretKey
from fhe_core.secret.matching import Sealer
from fhe_core.secret.switching import (
    components,
    numbers,
    open_embedding,
    open_norm,
    open_products,
    switch_bodies,
)
from tests.core import tiny
from tests.core.switch_kit import NORM_SCALE, SCALE, Crossing, make_crossing

F = 16


def two_limbs(log_n: int) -> Parameters:
    """As results of engines have: a limb and a short sprout."""
    return build(
        Specification(
            name="insecure-two",
            log_ring_dimension=log_n,
            limb_bits=(43, 26),
            special_bits=(50,),
            tiers=(Tier(2, 1, 1),),
        )
    )


@pytest.fixture(scope="module", params=[(8, 6), (5, 6), (9, 7)], ids=["8", "1", "8 of 128"])
def crossing(request: pytest.FixtureRequest) -> Crossing:
    """Parts: 8, 1, 8; the second engine's ring is the gallery's real part."""
    log_engine, log_gallery = request.param
    return make_crossing(two_limbs(log_engine), log_gallery, F)


def real_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of elements of Z[X + 1/X] modulo X^2N + 1, coefficients [N] as Python integers."""
    n = len(a)
    whole = [0] * (4 * n)

    def spread(c: np.ndarray) -> dict[int, int]:
        terms = {0: int(c[0])}
        for i in range(1, n):
            terms[i] = terms[-i] = int(c[i])
        return terms

    for i, x in spread(a).items():
        for j, y in spread(b).items():
            whole[(i + j) % (4 * n)] += x * y
    # X^2N = -1, and of X^i and X^-i one says it.
    return np.array([whole[i] - whole[i + 2 * n] for i in range(n)], dtype=object)


def test_a_secret_is_the_sum_of_its_components() -> None:
    generator = np.random.default_rng(3)
    secret, parts = generator.integers(-1, 2, 64), 8
    found = components(secret, parts)
    total = np.zeros(64, dtype=object)
    for j, component in enumerate(found):
        spread, power = np.zeros(64, dtype=object), np.zeros(64, dtype=object)
        spread[::parts], power[j] = component, 1
        total = total + real_product(spread, power)
    assert np.array_equal(total, secret)
    assert np.array_equal(components(secret, 1), secret[None])


def test_the_switch_is_that_of_the_integers(crossing: Crossing) -> None:
    """What stands in the gallery's ring is c0 + c1 s at multiples of the parts, rescaled."""
    plan, engine = crossing.plan, crossing.engine
    vector = tiny.unit_vectors(1, F)[0]
    result = crossing.result(vector)
    whole = math.prod(plan.engine.moduli_at(result.level))
    c0, c1 = (integers_of(engine, result, half) for half in range(2))
    phase = c0 + real_product(c1, engine.secret_coefficients())
    phase = (phase * plan.embedding_multiple) % whole
    exact = phase[:: plan.parts] * plan.gallery.modulus / whole
    found = crossing.gallery.decrypt_polynomial(crossing.switcher.embedding(result)[:, None], [0])
    # The same at V^m, and with the other sign at V^(n-m).
    q, half = plan.gallery.modulus, plan.half
    off = [found[:half] - exact, np.append(found[0], -found[:half:-1]) - exact]
    noise = math.sqrt(switched_variance(plan))
    for row in off:
        centred = (row.astype(np.float64) + q / 2) % q - q / 2
        assert np.abs(centred).max() < 7 * noise


def integers_of(key: SecretKey, ciphertext: Ciphertext, half: int) -> np.ndarray:
    """Coefficients [N] of a polynomial modulo the product of its limbs."""
    moduli = key.parameters.moduli_at(ciphertext.level)
    rows = list(key.parameters.levels[ciphertext.level].rows)
    residues = key._context.ntt_inverse(np.ascontiguousarray(ciphertext.residues[half]), rows)
    whole = math.prod(moduli)
    total = np.zeros(residues.shape[-1], dtype=object)
    for row, p in zip(residues, moduli, strict=True):
        total += row.astype(object) * (whole // p) * pow(whole // p, -1, p)
    return total % whole


def test_an_embedding_and_its_norm_arrive(crossing: Crossing) -> None:
    plan, key = crossing.plan, crossing.gallery
    vector = 0.9 * tiny.unit_vectors(1, F)[0]
    words = crossing.switcher.embedding(crossing.result(vector))
    found = open_embedding(key, plan, words)
    noise = math.sqrt(2 * F * switched_variance(plan)) / plan.embedding_scale
    assert np.abs(found - vector).max() < 6 * noise
    norm = crossing.switcher.norm(crossing.result(np.full(F, 421.0), NORM_SCALE))
    slots = open_norm(key, plan, norm)
    assert (
        np.abs(slots - 421).max() < 6 * math.sqrt(2 * F * switched_variance(plan)) / plan.norm_scale
    )


def test_a_switched_probe_finds_what_was_sealed(crossing: Crossing) -> None:
    plan, p = crossing.plan, crossing.plan.gallery
    probes, templates = tiny.unit_vectors(6, F), tiny.unit_vectors(p.templates, F, 7)
    sealer, matcher = Sealer(crossing.gallery, p), Matcher(p, crossing.keys, 1)
    block = matcher.load(sealer.seal_block(template_coordinates(templates)))
    live = np.ones(p.templates, np.bool_)
    errors = []
    for probe in probes:
        words = crossing.switcher.embedding(crossing.result(probe))
        constants = crossing.switcher.constants(words, b"t" * 32)
        assert constants.token == b"t" * 32
        scores = matcher.answer(constants, [("0" * 64, block, live)])
        found = sealer._scores(scores.words[0])
        errors.append(found - plan.probe_share * (templates @ probe))
    expected = predict_switched(plan).deviation
    assert 0.6 < np.std(errors) / expected < 1.4
    # Whoever seals a probe in these coordinates finds the same.
    sealed = sealer.seal_probe(probe_coordinates(probes[0]) / 1.1)
    answer = matcher.search(matcher.expand(sealed), [block], [live])
    assert np.abs(1.1 * sealer._scores(answer[0]) - templates @ probes[0]).max() < 8 * expected


def test_faces_are_multiplied_with_each_other(crossing: Crossing) -> None:
    plan = crossing.plan
    vectors = tiny.unit_vectors(9, F)
    vectors[0] *= 1.05
    words = [crossing.switcher.embedding(crossing.result(v)) for v in vectors]
    products = crossing.switcher.products(words[0], words)
    assert products.shape == (9, 1 + plan.gallery.templates)
    found = open_products(crossing.gallery, plan, products)
    assert np.abs(found - vectors @ vectors[0]).max() < 6 * product_deviation(plan)


def test_coordinates_keep_inner_products_and_lengths() -> None:
    one, other = tiny.unit_vectors(5, 256), tiny.unit_vectors(5, 256, 2)
    products = np.sum(probe_coordinates(one) * template_coordinates(other), axis=1)
    assert np.allclose(products, np.sum(one * other, axis=1), atol=1e-14)
    assert np.all(np.linalg.norm(template_coordinates(one), axis=1) <= 1)
    assert np.allclose(from_template_coordinates(template_coordinates(one)), one, atol=1e-13)
    # They are the polynomial's: of 256 slots, and of every longer vector that repeats them.
    repeated = encoding.coefficients(np.tile(one[0], 8), 2048)
    assert np.allclose(repeated[::8] * math.sqrt(512), probe_coordinates(one)[0], atol=1e-15)


# --- what is refused -----------------------------------------------------------------------------


def test_other_results_are_refused(crossing: Crossing) -> None:
    result = crossing.result(tiny.unit_vectors(1, F)[0])
    with pytest.raises(ParameterMismatch, match="none of a face that was computed alone"):
        crossing.switcher.embedding(replace(result, scale=2.0**32))
    with pytest.raises(ParameterMismatch, match="none of a face that was computed alone"):
        crossing.switcher.norm(result)
    with pytest.raises(ParameterMismatch, match="has no room for the gallery's ring"):
        replace(crossing.plan, embedding=Form(result.level, 2.0**60))
    with pytest.raises(ParameterMismatch, match="has no room for the gallery's ring"):
        replace(crossing.plan, norm=Form(result.level, 2.0**60))


def test_rings_that_do_not_fit_are_refused() -> None:
    small, gallery = two_limbs(8), tiny.gallery()
    forms = Form(small.top, SCALE), Form(small.top, NORM_SCALE)
    with pytest.raises(ParameterMismatch, match="has no part"):
        SwitchPlan(two_limbs(5), tiny.gallery(8), *forms)
    with pytest.raises(ParameterMismatch, match="real ring"):
        SwitchPlan(gallery.parameters, gallery, *forms)
    with pytest.raises(ParameterMismatch, match="inner product of two faces"):
        SwitchPlan(small, gallery, *forms)
    fits = replace(gallery, probe_scale=2.0**26)
    key, other = SecretKey.generate(small), SecretKey.generate(tiny.gallery(7).parameters)
    with pytest.raises(ParameterMismatch, match="gallery's key was made with other"):
        next(switch_bodies(key, other, SwitchPlan(small, fits, *forms), b"s" * 32))
    with pytest.raises(ParameterMismatch, match="engine's key was made with other"):
        next(switch_bodies(other, other, SwitchPlan(small, fits, *forms), b"s" * 32))


def test_a_key_of_another_gallery_is_refused(crossing: Crossing) -> None:
    stranger = replace(crossing.key, gallery_key="0" * 32)
    with pytest.raises(ParameterMismatch, match="leads to another gallery"):
        Switcher(stranger, crossing.keys, 1)


# --- full size, from the parameters alone --------------------------------------------------------


#: Of the plans for one face: level, scales of the embedding and of the squared norm.
FORMS = {"lean": (15, 2.0**31, 1.4837e7), "safe": (1, 2.0**43, 5.6752e9)}


def full_plan(preset: str) -> SwitchPlan:
    """Of a preset's results."""
    level, embedding, norm = FORMS[preset]
    forms = Form(level, embedding), Form(level, norm)
    return SwitchPlan(presets.load(preset), gallery_parameters(), *forms)


@pytest.mark.parametrize("preset", ["lean", "safe"])
def test_counts_sizes_and_security_of_the_real_rings(preset: str) -> None:
    plan = full_plan(preset)
    assert (plan.parts, plan.stride, len(plan.levels)) == (16, 16, 9)
    # Half of the 511 of a tree with 512 leaves, and the nodes that are their own mirror image.
    assert plan.key_switches == 1 + 2 + 3 + 5 + 9 + 17 + 33 + 65 + 129 == 264
    assert len(plan.added_keys()) == 3
    ring = plan.gallery.parameters
    assert ring.log2_qp < 98.1 < bounds.MAX_LOG2_QP[8192]
    rows = ring.limbs + len(ring.specials)
    words = (plan.parts + len(plan.added_keys())) * rows * ring.ring_dimension
    assert 8 * words + MatchPlan(plan.gallery).key_bytes < 8e6
    # A search's error stays far below 2e-3.
    assert predict_switched(plan).deviation < 3.2e-4
    assert predict_switched(plan, templates=55).deviation < 1e-4
    assert product_deviation(plan) < 1.5e-4


def test_numbers_are_averaged_with_their_mirror_image(crossing: Crossing) -> None:
    plan = crossing.plan
    coefficients = np.arange(plan.gallery.templates, dtype=np.float64)
    found = numbers(coefficients, plan)
    assert found[0] == 0
    i = np.arange(1, F) * plan.stride
    assert np.array_equal(found[1:], (i - (plan.gallery.templates - i)) / 2)


def test_a_ring_beyond_its_bound_has_no_switching_key(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = full_plan("lean")
    monkeypatch.setattr(bounds, "MAX_LOG2_QP", {8192: 97})
    with pytest.raises(bounds.InsecureParametersError, match="exceeds the 128-bit bound 97"):
        replace(plan)
