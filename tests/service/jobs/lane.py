"""The lane of jobs as a process, on the tiny ring."""

from __future__ import annotations

import sys

from fhe_core.errors import Failure
from fhe_face.service.jobs.lane import cannot_start, read_settings, serve
from tests.service.jobs.engine import TinyEngines

if __name__ == "__main__":
    try:
        serve(read_settings(), TinyEngines(), insecure=True)
    except Failure as error:
        sys.exit(cannot_start(error))
