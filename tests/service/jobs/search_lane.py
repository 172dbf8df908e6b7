"""The lane of searches as a process, on the tiny ring."""

from __future__ import annotations

import sys
from pathlib import Path

from fhe_core.errors import Failure
from fhe_face.service.jobs.galleries import Galleries
from fhe_face.service.jobs.lane import cannot_start, read_settings
from fhe_face.service.jobs.search_lane import run
from fhe_face.service.queueing import Answer
from tests.gallery.kit import SMALL
from tests.service.jobs.engine import suffer

POISON = b"poison "


class Fragile(Galleries):
    """Searches that a probe b"poison FAULT" ends as native code might."""

    def search(self, folder: Path, probe: bytes) -> Answer:
        if probe.startswith(POISON):
            suffer(probe.removeprefix(POISON).decode())
        return super().search(folder, probe)


if __name__ == "__main__":
    settings = read_settings()
    try:
        run(settings, Fragile(settings.blocks, 1, SMALL))
    except Failure as error:
        sys.exit(cannot_start(error))
