"""How far a score is from the inner product of the vectors: predicted, part by part.

Variances of one coefficient, in units of the modulus q unless said otherwise; the secret is uniform
ternary, so its N coefficients have variance 2/3 (docs/precision.md has the text):

===============  =================================================================================
fresh            ETA / 2, and 1/12 for rounding the message (Cheon-Kim-Kim-Song 2017)
key switch       N (ETA / 2) q^2 / (12 P^2): one digit, uniform in +-q/2, times the key's errors;
                 and (1 + 2N/3) / 12 for rounding both polynomials after the division by P
                 (Han-Ki 2020)
expansion        the two outputs of a level, c + s(c) and X^-d (c - s(c)), have twice the energy
                 of c each, on average (projections on the eigenspaces of s), and that of one
                 key switch: V -> 2 V + V_switch. The message doubles, so relative noise falls.
score            scale_p^2 |p|^2 V_t   templates' noise under the probe, whose constants are numbers
                 + scale_t^2 V_0       noise of the constants' first coefficients, which s leaves
                                       in place: V -> 4 V + V_switch
                 + (N - 1) scale_t^2 V_p   that of the others, times all other templates
                 + features N V_t V_p  noise times noise
                 + V_switch            relinearisation
modulus switch   (1 + 2N/3) / 12 in units of 2^bits: rounding both polynomials
===============  =================================================================================

The second part of a score is a convolution with the whole block: a block with fewer templates has
less of it. Its mean over probes is exact; for one probe it depends on which numbers the templates
are large in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

from fhe_core.matching.parameters import MatchParameters
from fhe_core.matching.switch_plan import SwitchPlan
from fhe_core.parameters import ERROR_ETA

_ERROR = ERROR_ETA / 2
_ROUNDING = 1 / 12


@dataclass(frozen=True)
class ScorePrecision:
    """Standard deviations of a score's error, by cause; a score of equal unit vectors is 1.

    Attributes:
        templates: noise of the sealed templates.
        probe: noise of the probe's constants: fresh, key switching, division by P.
        products: noise times noise, and relinearisation.
        switching: rounding to the modulus of results.
        records: rounding of templates before they are sealed.
    """

    templates: float
    probe: float
    products: float
    switching: float
    records: float

    @property
    def deviation(self) -> float:
        """Of the whole error."""
        parts = (self.templates, self.probe, self.products, self.switching, self.records)
        return math.hypot(*parts)

    def largest(self, scores: int) -> float:
        """The median of the largest of so many independent normal errors."""
        return self.deviation * NormalDist().inv_cdf((1 + 0.5 ** (1 / scores)) / 2)


def switch_variance(parameters: MatchParameters) -> float:
    """Of the phase's noise that one key switch adds to a coefficient."""
    ring = parameters.parameters
    share = parameters.modulus / math.prod(ring.specials)
    return ring.ring_dimension * _ERROR * share**2 / 12 + _division_variance(ring.ring_dimension)


def _division_variance(ring_dimension: int) -> float:
    """Of rounding both polynomials of a ciphertext."""
    return (1 + 2 * ring_dimension / 3) * _ROUNDING


def constant_variance(parameters: MatchParameters) -> float:
    """Of a coefficient of an expanded constant, on average."""
    # Only every stride-th one is rounded.
    return _expanded(parameters, _ERROR + _ROUNDING / parameters.stride, 2)


def first_variance(parameters: MatchParameters) -> float:
    """Of the constant's own coefficient: every s leaves it in place, so its noise adds up."""
    return _expanded(parameters, _ERROR + _ROUNDING, 4)


def _expanded(
    parameters: MatchParameters, variance: float, factor: int, levels: int | None = None
) -> float:
    for _ in range(parameters.levels if levels is None else levels):
        variance = factor * variance + switch_variance(parameters)
    return variance


def switched_variance(plan: SwitchPlan) -> float:
    """Of a coefficient of a face in the gallery's ring, in units of its modulus: rounding to it,
    both polynomials of the engine's ring (an element of which has 2N terms beside a secret's); k
    keys, each times a part of c1 that is uniform; one division by the special prime."""
    p, ring = plan.gallery, plan.gallery.parameters
    n, share = ring.ring_dimension, p.modulus / math.prod(ring.specials)
    rounding = (1 + 2 * plan.engine.ring_dimension * 2 / 3) * _ROUNDING
    return rounding + plan.parts * n * _ERROR * share**2 / 12 + _division_variance(n)


def predict_switched(
    plan: SwitchPlan, templates: int | None = None, record_step: float = 0.0
) -> ScorePrecision:
    """As `predict`, of a face that the server switched itself, beside what its embedding is off."""
    start, levels = switched_variance(plan), len(plan.levels)
    variances = [_expanded(plan.gallery, start, factor, levels) for factor in (2, 4)]
    return _predicted(plan.gallery, templates, record_step, *variances)


def product_deviation(plan: SwitchPlan) -> float:
    """Of the inner product of two faces that the server switched, each of length one."""
    p = plan.gallery
    # The coefficients of a face have the energy scale^2 / F, those of the product are over q.
    face = plan.embedding_scale**2 / plan.features
    noise = switched_variance(plan)
    exact = 2 * face * noise + p.templates * noise**2 + switch_variance(p)
    rounding = _division_variance(p.templates) / plan.product_scale**2
    return math.sqrt(exact * plan.features**2 / plan.embedding_scale**4 + rounding)


def predict(
    parameters: MatchParameters, templates: int | None = None, record_step: float = 0.0
) -> ScorePrecision:
    """For random unit vectors.

    templates: in the block; None: it is full. record_step: templates were rounded to multiples of
    it before they were sealed; every number of them is then off by up to half of it.
    """
    variances = constant_variance(parameters), first_variance(parameters)
    return _predicted(parameters, templates, record_step, *variances)


def _predicted(
    parameters: MatchParameters,
    templates: int | None,
    record_step: float,
    constant: float,
    first: float,
) -> ScorePrecision:
    """constant, first: variances of a constant's coefficients, and of its own one."""
    p, n = parameters, parameters.templates
    others = (n if templates is None else templates) - 1
    fresh, switch = _ERROR + _ROUNDING, switch_variance(p)
    return ScorePrecision(
        templates=math.sqrt(fresh) / p.template_scale,
        probe=math.sqrt(others * constant + first) / p.probe_scale,
        products=math.sqrt(p.features * n * fresh * constant + switch) / p.score_scale,
        switching=math.sqrt(_division_variance(n)) / p.result_scale,
        records=record_step * math.sqrt(_ROUNDING),
    )
