"""The compiler: architecture in, plan out. See :func:`compile_network`."""

from fhe_core.compiler.match import compile_match
from fhe_core.compiler.network import CompiledNetwork, compile_network
from fhe_core.compiler.packing import Packing
from fhe_core.compiler.policy import LEAN, SAFE, Policy, Rescales

__all__ = [
    "LEAN",
    "SAFE",
    "CompiledNetwork",
    "Packing",
    "Policy",
    "Rescales",
    "compile_match",
    "compile_network",
]
