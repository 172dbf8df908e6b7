"""A worker as a process, on tiny rings: ``python -m tests.service.jobs.worker SETTINGS``."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from fhe_face.service.jobs.lane import LaneSettings
from fhe_face.service.jobs.worker import run, worker_name

MODULES = ("tests.service.jobs.lane", "tests.service.jobs.search_lane")
ROOT = Path(__file__).resolve().parents[3]

if __name__ == "__main__":
    settings = LaneSettings.from_json(sys.argv[1])
    sys.exit(run(replace(settings, worker=worker_name(), parent=os.getpid()), MODULES, ROOT))
