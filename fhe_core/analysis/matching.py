"""The cost model of a search in a sealed gallery: counts of its plan, and an estimated time."""

from __future__ import annotations

from fhe_core.analysis.cost import Machine, Work
from fhe_core.matching.plan import Counts, MatchPlan


def work(counts: Counts) -> Work:
    """Counts of a search in the terms of the cost model of plans."""
    return Work(
        key_switches=counts.key_switches,
        ntts=counts.ntts,
        key_products=counts.products,
        bytes_read=counts.bytes_read,
    )


def probe_seconds(plan: MatchPlan, machine: Machine) -> float:
    """To expand one probe: the fixed cost of a search."""
    return machine.seconds(work(plan.expansion), plan.parameters.templates)


def search_seconds(plan: MatchPlan, machine: Machine, templates: int) -> float:
    """To compare an expanded probe with that many templates in full blocks."""
    blocks = -(-templates // plan.parameters.templates)
    return blocks * machine.seconds(work(plan.search), plan.parameters.templates)
