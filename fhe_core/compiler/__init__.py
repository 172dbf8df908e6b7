"""The compiler: architecture in, plan out. See :func:`compile_network`."""

from fhe_core.compiler.batch import CompiledBatch, capacity_of, compile_batch
from fhe_core.compiler.compiled import Compiled
from fhe_core.compiler.match import compile_match
from fhe_core.compiler.network import CompiledNetwork, compile_network
from fhe_core.compiler.policy import BATCH, LEAN, LEAN_BATCH, SAFE, Policy, Rescales

__all__ = [
    "BATCH",
    "LEAN",
    "LEAN_BATCH",
    "SAFE",
    "Compiled",
    "CompiledBatch",
    "CompiledNetwork",
    "Policy",
    "Rescales",
    "capacity_of",
    "compile_batch",
    "compile_match",
    "compile_network",
]
