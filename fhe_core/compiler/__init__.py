"""The compiler: architecture in, plan out. See :func:`compile_network`."""

from fhe_core.compiler.match import compile_match
from fhe_core.compiler.network import CompiledNetwork, compile_network
from fhe_core.compiler.packing import Packing
from fhe_core.compiler.policy import SAFE, Policy

__all__ = ["SAFE", "CompiledNetwork", "Packing", "Policy", "compile_match", "compile_network"]
