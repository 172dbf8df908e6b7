"""A worker whose Ray nodes have tiny rings: ``python -m tests.service.cluster.worker SETTINGS``."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

from fhe_core.errors import Failure
from fhe_face.service.jobs.lane import LaneSettings, cannot_start
from fhe_face.service.jobs.worker import serve, worker_name
from tests.service.jobs.worker import ROOT

MODULES = ("tests.service.cluster.lane", "tests.service.cluster.searches")

if __name__ == "__main__":
    settings = LaneSettings.from_json(sys.argv[1])
    settings = replace(settings, worker=worker_name(), parent=os.getpid())
    try:
        sys.exit(serve(settings, MODULES, ROOT))
    except Failure as error:
        sys.exit(cannot_start(error))
