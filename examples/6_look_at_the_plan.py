"""What a face costs under encryption, before any key is made: the plan that both sides compile."""

from fhe_core.analysis.cost import Machine, step_costs, totals
from fhe_face.engine import choose_engine


def main() -> None:
    engine = choose_engine()
    parameters, plan = engine.parameters, engine.compiled.plan
    total = totals(step_costs(plan, parameters, Machine(threads=2)))
    print(f"ring dimension {parameters.ring_dimension}, {parameters.slots} slots")
    print(
        f"log2(QP) {parameters.log2_qp:.0f}; 128-bit bound {parameters.describe()['log2_qp_bound']}"
    )
    print(f"{total.steps} steps, {total.work.key_switches} key switches, {total.work.ntts} NTTs")
    print(f"estimated time on two threads: {total.estimated_seconds:.1f} s")


if __name__ == "__main__":
    main()
