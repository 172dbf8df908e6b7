"""The API process on tiny rings, with a worker beside it: ``python -m ...serving FOLDER PORT``.

The same code as ``fhe-face serve`` runs but for the circuits and for what computes.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from fhe_face.process import tidy_end
from fhe_face.service.admission import Circuits
from fhe_face.service.jobs.lane import LaneSettings
from fhe_face.service.jobs.records import Limits
from fhe_face.service.listening import Address
from fhe_face.service.opening import open_service
from fhe_face.service.serving import alone, serve_circuits
from fhe_face.service.settings import load_settings
from tests.gallery.kit import SMALL
from tests.service.jobs.engine import engine

#: Of the worker: bytes of address space; without it there is no limit.
MEMORY = "TRIALS_MEMORY"


def circuits() -> Circuits:
    """The small network's, and the small galleries'."""
    own = engine()
    return Circuits((own.circuit.describe(),), SMALL, lambda *_: own)


def worker(folder: Path, limits: Limits) -> list[str]:
    """How the worker is started."""
    memory = os.environ.get(MEMORY)
    settings = LaneSettings(
        str(folder), "", 0, limits, threads=1, memory=int(memory) if memory else None, grace=10.0
    )
    return [sys.executable, "-m", "tests.service.jobs.worker", settings.to_json()]


def main(folder: Path, port: int) -> None:
    address = Address(port=port)
    with (
        tidy_end(),
        address.bind() as listening,
        open_service(folder) as service,
        alone(service),
    ):
        settings = load_settings(folder)
        # A worker that says nothing is found dead soon.
        limits = replace(Limits.of(settings), lease_seconds=3.0, pause_seconds=0.05)
        serve_circuits(service, settings, circuits(), worker(folder, limits), address, listening)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
