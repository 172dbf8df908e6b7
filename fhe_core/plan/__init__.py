"""A plan: all that the compiler and a backend share. Steps are named ``steps.Rotate`` and so on."""

from fhe_core.plan import steps
from fhe_core.plan.errors import PlanError
from fhe_core.plan.keys import KeyName, KeySpecification, required_keys, step_keys, step_level
from fhe_core.plan.plan import Plan, Value, last_reads
from fhe_core.plan.reading import from_json
from fhe_core.plan.running import Backend, Observer, Progress, run
from fhe_core.plan.steps import Step, step_reads, step_rotations, step_writes

__all__ = [
    "Backend",
    "KeyName",
    "KeySpecification",
    "Observer",
    "Plan",
    "PlanError",
    "Progress",
    "Step",
    "Value",
    "from_json",
    "last_reads",
    "required_keys",
    "run",
    "step_keys",
    "step_level",
    "step_reads",
    "step_rotations",
    "step_writes",
    "steps",
]
