"""Sourced bounds on log2(QP), and the check that every parameter set must pass.

Source: Bossuat et al. 2024, "Security Guidelines for Implementing Homomorphic Encryption"
(ia.cr/2024/463), uniform ternary secret, 128-bit classical security, error deviation 3.19.
``fhe_core.parameters.attacks`` recomputes the rows.
"""

from __future__ import annotations

from types import MappingProxyType

from fhe_core.errors import Failure

SOURCE = "Bossuat et al. 2024 (ia.cr/2024/463), uniform ternary secret, 128-bit classical"
SECURITY_BITS = 128

#: Ring dimension -> largest log2(QP), special primes included.
MAX_LOG2_QP = MappingProxyType(
    {4096: 106, 8192: 214, 16384: 430, 32768: 868, 65536: 1747, 131072: 3523}
)

#: The same against a quantum computer, from the estimates that the authors of the source published
#: with it (github.com/gong-cr/FHE-Security-Guidelines, output_max_logQ_tables.txt). Not enforced.
MAX_LOG2_QP_QUANTUM = MappingProxyType(
    {4096: 101, 8192: 203, 16384: 409, 32768: 825, 65536: 1663, 131072: 3349}
)

INSECURE_PREFIX = "insecure-"


class InsecureParametersError(Failure, ValueError):
    """A parameter set that exceeds the 128-bit bound without saying so in its name."""

    code = "insecure-parameters"


def bound(ring_dimension: int) -> int | None:
    """Largest log2(QP) for the ring dimension, or None where the source has no row."""
    return MAX_LOG2_QP.get(ring_dimension)


def require_secure(name: str, ring_dimension: int, log2_qp: float) -> None:
    """Refuse a set beyond the bound unless its name starts with ``insecure-`` (tests only).

    Raises:
        InsecureParametersError: the set is not 128-bit secure and does not say so in its name.
    """
    if name.startswith(INSECURE_PREFIX):
        return
    limit = bound(ring_dimension)
    if limit is None:
        raise InsecureParametersError(
            f"parameters '{name}': no 128-bit bound is known for ring dimension {ring_dimension}; "
            f"use one of {sorted(MAX_LOG2_QP)}"
        )
    if log2_qp > limit:
        raise InsecureParametersError(
            f"parameters '{name}': log2(QP) = {log2_qp:.1f} exceeds the 128-bit bound {limit} for "
            f"ring dimension {ring_dimension} (special primes included)"
        )
