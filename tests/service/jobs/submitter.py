"""A process that submits what a plan says, and writes down what was accepted; it may be killed.

``python -m tests.service.jobs.submitter FOLDER PLAN ACCEPTED``; a line of both is
"tenant name", of ACCEPTED with the job's id.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from fhe_face.service.jobs.queue import open_queue
from fhe_face.service.opening import open_service
from fhe_face.service.rows import Room
from fhe_face.service.settings import Settings


def lines(path: Path) -> list[list[str]]:
    """Whole ones."""
    text = path.read_text() if path.exists() else ""
    return [line.split() for line in text.split("\n")[:-1]]


def append(path: Path, *words: str) -> None:
    """One line, written at once."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, (" ".join(words) + "\n").encode())
    os.close(descriptor)


def main(folder: str, plan: Path, accepted: Path) -> None:
    with open_service(folder) as service:
        queue = open_queue(service, Settings())
        done: set[tuple[str, str]] = set()
        while True:
            for tenant, name in lines(plan):
                if (tenant, name) not in done:
                    inputs = {"faces": name, "key": "key"}
                    job = queue.submit(tenant, "embedding", inputs, (Room.EMBEDDINGS, name))
                    append(accepted, tenant, name, job)
                    done.add((tenant, name))
            time.sleep(0.02)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
