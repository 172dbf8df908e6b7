"""The small subject, made once."""

from __future__ import annotations

import pytest
from tests.face.benchmarks.bench_kit import HereServer, tiny_subject

from fhe_face.bench.subject import Subject


@pytest.fixture(scope="session")
def subject() -> Subject:
    return tiny_subject()


@pytest.fixture
def server(subject: Subject) -> HereServer:
    return HereServer(subject, [])
