"""Parameter sets: checked, with their primes, the bound on QP, and what attacks on them cost."""

from fhe_core.parameters.parameters import (
    DIGIT_SLACK_BITS,
    ERROR_ETA,
    Level,
    ParameterError,
    Parameters,
    Ring,
    Specification,
    Tier,
    build,
    root_order,
)

__all__ = [
    "DIGIT_SLACK_BITS",
    "ERROR_ETA",
    "Level",
    "ParameterError",
    "Parameters",
    "Ring",
    "Specification",
    "Tier",
    "build",
    "root_order",
]
