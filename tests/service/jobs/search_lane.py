"""The lane of searches as a process, on the tiny ring."""

from __future__ import annotations

import sys

from fhe_core.errors import Failure
from fhe_face.service.jobs.galleries import Galleries
from fhe_face.service.jobs.lane import cannot_start, read_settings
from fhe_face.service.jobs.search_lane import run
from tests.gallery.kit import SMALL

if __name__ == "__main__":
    settings = read_settings()
    try:
        run(settings, Galleries(settings.blocks, 1, SMALL))
    except Failure as error:
        sys.exit(cannot_start(error))
