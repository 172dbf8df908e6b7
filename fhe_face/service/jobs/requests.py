"""What may be asked for, and whether it was asked for before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, select

from fhe_face.service.errors import Invalid
from fhe_face.service.jobs import naming
from fhe_face.service.jobs.records import Kind
from fhe_face.service.jobs.tables import jobs, outputs, queue
from fhe_face.service.queueing import State

DEFAULT_MODEL: Final = "default"


def checked(kind: str, inputs: Mapping[str, str]) -> tuple[Kind, str]:
    """The kind and the model of a job. Invalid: there is no such kind, or it takes other inputs."""
    try:
        what = Kind(kind)
    except ValueError:
        raise Invalid("a job is an embedding or a score") from None
    wanted = {*what.files(inputs), "key"}
    if not wanted <= set(inputs) <= {*wanted, "model"}:
        raise Invalid(f"a job of kind {what.value} takes {', '.join(sorted(wanted))}")
    model = inputs.get("model", DEFAULT_MODEL)
    if model != DEFAULT_MODEL:
        raise Invalid(f'this server has one model, called "{DEFAULT_MODEL}"')
    return what, model


def computed(connection: Connection, tenant: str, work: str) -> str | None:
    """The digest of a computation's output, if today's engine has computed it for the tenant."""
    identity = connection.execute(select(queue.c.identity)).scalar_one()
    name = naming.output_name(work, identity)
    query = select(outputs.c.digest).where(outputs.c.tenant == tenant, outputs.c.name == name)
    found = connection.execute(query).scalar()
    return None if found is None else str(found)


def same(connection: Connection, tenant: str, request: str, *, with_done: bool) -> str | None:
    """The tenant's job of this request that has not ended; with_done: or that is done."""
    states = [State.QUEUED.value, State.RUNNING.value]
    query = (
        select(jobs.c.id)
        .where(jobs.c.tenant == tenant, jobs.c.request == request)
        .where(jobs.c.state.in_([*states, State.DONE.value] if with_done else states))
    )
    found = connection.execute(query.order_by(jobs.c.number.desc()).limit(1)).scalar()
    return None if found is None else str(found)


def fresh(now: float) -> dict[str, Any]:
    """What a new job's row begins with."""
    return {
        "state": State.QUEUED.value,
        "stage": "waiting",
        "done": 0,
        "total": 0,
        "cancel": False,
        "failures": 0,
        "deaths": 0,
        "not_before": 0.0,
        "created": now,
        "token": 0,
    }
