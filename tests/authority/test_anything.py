"""Requests that nobody thought of, made from the authority's own OpenAPI: no server error."""

from __future__ import annotations

import pytest

from fhe_face.authority.app import build_app
from fhe_face.authority.requests import Question
from fhe_face.authority.words import Kind
from tests.authority import kit
from tests.service import test_anything as others

schemathesis = pytest.importorskip("schemathesis", reason="no schemathesis")


@pytest.mark.slow
def test_no_request_is_a_server_error(world: kit.World) -> None:
    world.keep_gallery()
    door, known = world.caller(), world.enrolled()
    question = Question(Kind.MATCH, kit.token(), "ann")
    world.authority.announce(door, question)
    world.authority.deliver(door, kit.score(question.token, known, 0.9).to_bytes())
    token = f"Bearer {world.secret('door', kit.ALL)}"
    schema = schemathesis.openapi.from_asgi(
        "/openapi.json", build_app(world.authority), headers={"Authorization": token}
    )
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) >= 8
    for operation in operations:
        for mode in others.GenerationMode:
            others.attempt(operation, mode, token)
