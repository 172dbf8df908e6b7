"""Requests that nobody thought of, made by schemathesis from our own OpenAPI: no server error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.service import kit

schemathesis = pytest.importorskip("schemathesis", reason="no schemathesis")

EXAMPLES = 25


@pytest.mark.slow
def test_no_request_is_a_server_error(tmp_path: Path) -> None:
    world = kit.World(kit.make(tmp_path / "data"))
    anna = world.client()
    kit.push(anna, "gallery-keys", "0", kit.files().gallery_keys)
    body = {"facts": {"mode": "mean"}, "settings": "", "keys": "0"}
    assert anna.put("/v1/galleries/0", json=body).status_code == 201
    token = anna.headers["authorization"]
    schema = schemathesis.openapi.from_asgi(
        "/openapi.json", world.app, headers={"Authorization": token}
    )
    seen = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        _try(operation, token, world)
        seen += 1
    assert seen >= 45


def _try(operation: Any, token: str, world: kit.World) -> None:
    @hypothesis.settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy())
    def run(case: Any) -> None:
        answer = case.call(headers={"Authorization": token})
        label = f"{case.method} {case.formatted_path}"
        assert answer.status_code < 500 or answer.status_code == 503, f"{label}: {answer.text}"
        if answer.status_code >= 400:
            kind = answer.headers["content-type"][0]
            assert kind == "application/problem+json", f"{label}: {kind}: {answer.text}"

    run()
