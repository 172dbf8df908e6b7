"""A Ray cluster for all tests, and a service for each whose jobs its nodes compute."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.cluster.ray_cluster import RayCluster, running
from tests.service.jobs.conftest import kit, other, owner
from tests.store.conftest import postgres, url

__all__ = ["kit", "other", "owner", "postgres", "url"]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayCluster]:
    """Two nodes on this machine."""
    pytest.importorskip("ray", reason="no Ray: pip install 'fhe-face[ray]'")
    with running(tmp_path_factory.mktemp("ray")) as made:
        yield made


@pytest.fixture
def counts(cluster: RayCluster) -> Path:
    """Where nodes count what they compute; empty at the beginning of each test."""
    cluster.counts.unlink(missing_ok=True)
    return cluster.counts
