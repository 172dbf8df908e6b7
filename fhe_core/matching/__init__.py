"""Searching sealed galleries: parameters, plan, and the server's side. It knows no faces."""

from fhe_core.matching.cleartext import CleartextMatcher
from fhe_core.matching.errors import AnswerMismatch, MatchingError, StaleAnswer
from fhe_core.matching.matcher import Constants, Loaded, Matcher
from fhe_core.matching.parameters import MatchParameters, gallery_parameters
from fhe_core.matching.plan import MatchPlan
from fhe_core.matching.values import (
    TOKEN_BYTES,
    Asked,
    Probe,
    Scores,
    SealedBlock,
    mask_of,
    masks_digest,
)

__all__ = [
    "TOKEN_BYTES",
    "AnswerMismatch",
    "Asked",
    "CleartextMatcher",
    "Constants",
    "Loaded",
    "MatchParameters",
    "MatchPlan",
    "Matcher",
    "MatchingError",
    "Probe",
    "Scores",
    "SealedBlock",
    "StaleAnswer",
    "gallery_parameters",
    "mask_of",
    "masks_digest",
]
