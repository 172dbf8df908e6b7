"""A worker whose Ray nodes have tiny rings: ``python -m tests.service.cluster.worker SETTINGS``."""

from __future__ import annotations

from tests.service.jobs.worker import main

MODULES = ("tests.service.cluster.lane", "tests.service.cluster.searches")

if __name__ == "__main__":
    main(MODULES)
