"""What compiling gives, for one image or for many: a plan, and how its tables are filled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fhe_core.compiler.architecture import Architecture, Array, Network, architecture_of
from fhe_core.compiler.builder import Filler
from fhe_core.parameters import Parameters
from fhe_core.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A plan for every network of an architecture."""

    plan: Plan
    architecture: Architecture
    parameters: Parameters
    fillers: Mapping[str, tuple[Filler, int]] = field(repr=False, compare=False)

    def tables(self, network: Network) -> dict[str, Array]:
        """Slot values of every table of the plan for one network.

        Raises:
            ValueError: the network has another architecture.
        """
        if architecture_of(network) != self.architecture:
            raise ValueError("the network's architecture is not the one the plan was compiled for")
        return {name: filler(network, lane) for name, (filler, lane) in self.fillers.items()}
