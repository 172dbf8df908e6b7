"""Requests that nobody thought of, made by schemathesis from our own OpenAPI: no server error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from tests.extent import LONG
from tests.service import kit

schemathesis = pytest.importorskip("schemathesis", reason="no schemathesis")
GenerationMode = schemathesis.GenerationMode


@schemathesis.serializer("application/x-ndjson")  # type: ignore[untyped-decorator]
def lines(_context: Any, value: Any) -> bytes:
    """Whatever it is, as lines of JSON."""
    rows = value if isinstance(value, list) else [value]
    return b"\n".join(json.dumps(row, default=repr).encode() for row in rows)


#: Of each kind of request, twice.
EXAMPLES = 20 if LONG else 10
#: Headers that the service reads, some of them nonsense.
HEADERS = strategies.fixed_dictionaries(
    {},
    optional={
        name: strategies.sampled_from(values)
        for name, values in {
            "Range": ["bytes=0-0", "bytes=9-1", "bytes=-1", "bytes=0-,1-", "lines=1", "bytes=x"],
            "If-Range": ['"x"', "x", "Thu, 01 Jan 1970 00:00:00 GMT"],
            "If-Match": ['"1"', "1", "*", '"x"', '"99999999999999999999"'],
            "Idempotency-Key": ["k", "", "k" * 10_000, "\xff"],
            "Content-Encoding": ["gzip", "identity", "x"],
            "Content-Type": ["application/json", "text/plain", "x", "multipart/form-data"],
            "Last-Event-ID": ["1", "x"],
        }.items()
    },
)


@pytest.mark.slow
def test_no_request_is_a_server_error(tmp_path: Path) -> None:
    world = kit.World(kit.make(tmp_path / "data"))
    anna = world.client()
    kit.push(anna, "gallery-keys", "0", kit.files().gallery_keys)
    kit.push(anna, "keys", "0", kit.files().keys)
    kit.push(anna, "faces", "0", kit.files().faces)
    body = {"facts": {"mode": "mean"}, "settings": "", "keys": "0"}
    assert anna.put("/v1/galleries/0", json=body).status_code == 201
    token = anna.headers["authorization"]
    schema = schemathesis.openapi.from_asgi(
        "/openapi.json", world.app, headers={"Authorization": token}
    )
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) >= 45
    for operation in operations:
        for mode in GenerationMode:  # as the description allows, and as it does not
            attempt(operation, mode, token)


def attempt(operation: Any, mode: Any, token: str) -> None:
    """Requests of one kind, right or wrong ones."""

    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(mode), known=strategies.booleans(), more=HEADERS)
    def run(case: Any, known: bool, more: dict[str, str]) -> None:
        if known and "id" in (case.path_parameters or {}):  # what is there, behind the 404
            case.path_parameters = {**case.path_parameters, "id": "0"}
        answer = case.call(headers={**more, "Authorization": token})
        label = f"{case.method} {case.formatted_path} {mode.value}"
        assert answer.status_code < 500 or answer.status_code == 503, f"{label}: {answer.text}"
        if answer.status_code >= 400:
            kind = answer.headers["content-type"][0]
            assert kind == "application/problem+json", f"{label}: {kind}: {answer.text}"
        if answer.status_code == 503:
            assert answer.headers["retry-after"][0].isdigit(), label

    try:
        run()
    except hypothesis.errors.Unsatisfiable:
        assert mode is not GenerationMode.POSITIVE  # nothing about it can be wrong
