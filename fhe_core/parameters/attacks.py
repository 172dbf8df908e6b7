"""How hard the lattice problem behind a parameter set is, by published formulae.

The problem: the secret s from b = a s + e over n coefficients modulo q, with as many samples as the
attacker likes. The best known attacks reduce a lattice basis with BKZ; its block size beta decides
the cost. docs/security.md says what this leaves out beside the real lattice-estimator.

Sources: root-Hermite factor of BKZ, Chen 2013 (thesis); geometric series assumption and attacks,
Albrecht-Player-Scott 2015 (ia.cr/2015/046); success of the primal attack, Alkim et al. 2016 and
Albrecht et al. 2017 (ia.cr/2017/815); rescaling of a small secret, Bai-Galbraith 2014.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

#: Below this block size the formula for the root-Hermite factor does not hold.
SMALLEST_BLOCK = 50
#: A sieve in dimension b ends with 2^(0.2075 b) vectors, at most sqrt(4/3) longer than the shortest
#: (Nguyen-Vidick 2008).
SIEVE_LIST_EXPONENT = 0.2075
SIEVE_STRETCH = math.sqrt(4 / 3)
#: BDD and dual attacks take a smaller or larger block than the primal attack, but not this far off.
_SEARCH_WIDTH = 120


@dataclass(frozen=True)
class Instance:
    """Learning with errors: n coefficients, modulus 2^log2_q, standard deviations."""

    n: int
    log2_q: float
    error_deviation: float
    secret_deviation: float = math.sqrt(2 / 3)  # uniform ternary

    @property
    def stretch(self) -> float:
        """Factor on the secret that makes it as long as the error (Bai-Galbraith)."""
        return self.error_deviation / self.secret_deviation


@dataclass(frozen=True)
class CostModel:
    """log2 of the cost of BKZ with a block size in a dimension; one SVP call where both agree."""

    name: str
    source: str
    quantum: bool
    log2_cost: Callable[[int, int], float]


@dataclass(frozen=True)
class Estimate:
    """What an attack costs: log2 of operations in the units of the model."""

    attack: str
    model: str
    bits: float
    block_size: int
    dimension: int


# --- cost models ---------------------------------------------------------------------------------


def _calls(block: int, dimension: int) -> float:
    """BKZ calls its SVP oracle 8 d times (Albrecht 2017, after Chen 2013)."""
    return 8.0 * dimension if block < dimension else 1.0


def _bdgl(block: int, dimension: int) -> float:
    return 0.292 * block + 16.4 + math.log2(_calls(block, dimension))


def _laamospol(block: int, dimension: int) -> float:
    return 0.265 * block + 16.4 + math.log2(_calls(block, dimension))


#: Of progressive sieving, and of progressive BKZ (Kyber, round 3).
_PROGRESSIVE = 5.46


def free_dimensions(block: int) -> float:
    """Dimensions that a sieve gets for free (Ducas 2018), from block sizes of 50 on."""
    b = max(block, SMALLEST_BLOCK)
    return b * math.log(4 / 3) / math.log(b / (2 * math.pi * math.e))


def _matzov(block: int, dimension: int) -> float:
    sieve = 0.296135 * (block - free_dimensions(block)) + 20.387886
    return math.log2(_PROGRESSIVE**2 * max(dimension - block, 1)) + sieve


CORE_CLASSICAL = CostModel(
    "core-svp", "0.292 b: one sieve, no polynomial factors", False, lambda b, _: 0.292 * b
)
CORE_QUANTUM = CostModel(
    "core-svp-quantum", "0.265 b: one sieve, no polynomial factors", True, lambda b, _: 0.265 * b
)
BDGL16 = CostModel("bdgl16", "0.292 b + 16.4 + log2(8 d)", False, _bdgl)
#: The models behind the tables of Bossuat et al. 2024: quantum, and (MATZOV) classical.
LAAMOSPOL14 = CostModel("laamospol14", "0.265 b + 16.4 + log2(8 d)", True, _laamospol)
MATZOV = CostModel(
    "matzov", "0.2961 (b - d4f(b)) + 20.39 + log2(5.46^2 (d - b)), gates", False, _matzov
)
MODELS = (MATZOV, BDGL16, LAAMOSPOL14, CORE_CLASSICAL, CORE_QUANTUM)


# --- lattice reduction ---------------------------------------------------------------------------


def log_delta(block: int) -> float:
    """Natural logarithm of the root-Hermite factor of BKZ with that block size (Chen 2013)."""
    b = float(max(block, SMALLEST_BLOCK))
    return math.log(b / (2 * math.pi * math.e) * (math.pi * b) ** (1 / b)) / (2 * (b - 1))


def best_dimension(instance: Instance, block: int) -> int:
    """The dimension n + m in which a reduced basis separates the secret best."""
    log_q = instance.log2_q * math.log(2)
    span = instance.n * (log_q - math.log(instance.stretch)) / log_delta(block)
    return max(instance.n + 1, block + 1, round(math.sqrt(span)))


def _log_volume_root(instance: Instance, dimension: int) -> float:
    """log of the d-th root of the volume: q^(d - n) stretch^n."""
    log_q = instance.log2_q * math.log(2)
    share = instance.n / dimension
    return (1 - share) * log_q + share * math.log(instance.stretch)


def _log_ball(dimension: int) -> float:
    """log of the volume of the unit ball."""
    return dimension / 2 * math.log(math.pi) - math.lgamma(dimension / 2 + 1)


# --- attacks -------------------------------------------------------------------------------------


def _primal_succeeds(instance: Instance, block: int) -> bool:
    """sigma sqrt(b) <= delta^(2b - d - 1) vol^(1/d), in the best dimension."""
    d = best_dimension(instance, block)
    left = math.log(instance.error_deviation) + math.log(block) / 2
    return left <= (2 * block - d - 1) * log_delta(block) + _log_volume_root(instance, d)


def _primal_block(instance: Instance) -> int:
    """The smallest block size with which the primal attack succeeds."""
    low, high = SMALLEST_BLOCK, 2 * SMALLEST_BLOCK
    if _primal_succeeds(instance, low):
        return low
    while not _primal_succeeds(instance, high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _primal_succeeds(instance, middle) else (middle, high)
    return high


def primal_usvp(instance: Instance, model: CostModel) -> Estimate:
    """The secret as the unusually short vector of an embedding lattice."""
    block = _primal_block(instance)
    d = best_dimension(instance, block)
    return Estimate("primal-usvp", model.name, model.log2_cost(block, d), block, d)


def primal_bdd(instance: Instance, model: CostModel) -> Estimate:
    """Reduce with a smaller block, then one larger sieve over the last vectors."""

    def attempts() -> Iterator[Estimate]:
        largest = _primal_block(instance)
        for block in range(max(SMALLEST_BLOCK, largest - _SEARCH_WIDTH), largest + 1):
            d = best_dimension(instance, block)
            last = _last_block(instance, block, d)
            bits = _log2_sum(model.log2_cost(block, d), model.log2_cost(last, last))
            yield Estimate("primal-bdd", model.name, bits, block, d)

    return min(attempts(), key=lambda e: e.bits)


def _last_block(instance: Instance, block: int, d: int) -> int:
    """The smallest e for which the projected error, sigma sqrt(e), is the shortest vector of the
    last e dimensions: shorter than the Gaussian heuristic.
    """
    root, delta = _log_volume_root(instance, d), log_delta(block)

    def found(e: int) -> bool:
        shortest = root - (d - e) * delta - _log_ball(e) / e
        return math.log(instance.error_deviation) + math.log(e) / 2 <= shortest

    low, high = 1, d
    if not found(high):
        return high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high


def dual(instance: Instance, model: CostModel) -> Estimate:
    """Tell samples from random numbers by many short vectors of the dual lattice.

    The basic attack: nothing is guessed. The last sieve gives its whole list; more vectors mean
    more reductions.
    """
    log_c = instance.log2_q * math.log(2) - math.log(instance.stretch)

    def attempts() -> Iterator[Estimate]:
        middle = _primal_block(instance)
        for block in range(max(SMALLEST_BLOCK, middle - _SEARCH_WIDTH), middle + _SEARCH_WIDTH):
            d = max(instance.n + 1, round(math.sqrt(instance.n * log_c / log_delta(block))))
            # The noise of <w, b> as a share of q, and how many of them are needed to see it.
            log_noise = d * log_delta(block) - (1 - instance.n / d) * log_c
            noise = SIEVE_STRETCH * instance.secret_deviation * math.exp(min(log_noise, 50.0))
            log2_samples = 4 * math.pi**2 * noise**2 / math.log(2)
            repeats = max(0.0, log2_samples - SIEVE_LIST_EXPONENT * block)
            bits = _log2_sum(model.log2_cost(block, d) + repeats, log2_samples)
            yield Estimate("dual", model.name, bits, block, d)

    return min(attempts(), key=lambda e: e.bits)


def _log2_sum(a: float, b: float) -> float:
    return max(a, b) + math.log2(1 + 2.0 ** -abs(a - b))


ATTACKS = (primal_usvp, primal_bdd, dual)


def estimates(instance: Instance) -> list[Estimate]:
    """Every attack in every cost model."""
    return [attack(instance, model) for attack in ATTACKS for model in MODELS]


def largest_log2_q(
    n: int,
    error_deviation: float,
    bits: float,
    model: CostModel,
    attack: Callable[[Instance, CostModel], Estimate] = primal_usvp,
) -> int:
    """The largest whole log2(q) at which an attack on a ternary secret still costs ``bits``."""
    low, high = 4, 1 << 20
    while high - low > 1:
        middle = (low + high) // 2
        enough = attack(Instance(n, middle, error_deviation), model).bits >= bits
        low, high = (middle, high) if enough else (low, middle)
    return low
