"""Parameter sets: checked, with their primes, the bound on QP, and what attacks on them cost."""

from fhe_core.parameters.building import build
from fhe_core.parameters.parameters import Parameters
from fhe_core.parameters.specification import (
    DIGIT_SLACK_BITS,
    ERROR_ETA,
    Level,
    ParameterError,
    Ring,
    Specification,
    Tier,
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
