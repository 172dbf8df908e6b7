"""A worker as a process, on tiny rings: ``python -m tests.service.jobs.worker SETTINGS``."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from fhe_core.errors import Failure
from fhe_face.service.jobs.lane import LaneSettings, cannot_start
from fhe_face.service.jobs.worker import serve, worker_name

MODULES = ("tests.service.jobs.lane", "tests.service.jobs.search_lane")
ROOT = Path(__file__).resolve().parents[3]


def main(modules: tuple[str, str]) -> None:
    """modules: of the lanes of jobs and of searches."""
    settings = LaneSettings.from_json(sys.argv[1])
    settings = replace(settings, worker=worker_name(), parent=os.getpid())
    try:
        sys.exit(serve(settings, modules, ROOT))
    except Failure as error:
        sys.exit(cannot_start(error))


if __name__ == "__main__":
    main(MODULES)
