"""The small subject, made once."""

from __future__ import annotations

import pytest

from fhe_face.bench.subject import Subject
from tests.face.bench.bench_kit import HereServer, tiny_subject


@pytest.fixture(scope="session")
def subject() -> Subject:
    return tiny_subject()


@pytest.fixture
def server(subject: Subject) -> HereServer:
    return HereServer(subject, [])
