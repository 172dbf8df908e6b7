"""An upload whose receiver is killed again and again ends, and no section is sent for nothing."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fhe_core import container
from fhe_face.service.opening import Service
from fhe_face.service.rows import Room
from tests.extent import LONG
from tests.service import kit

KILLS = 20 if LONG else 10


@pytest.mark.slow
def test_kills_cost_one_section_each(service: Service, repository: Path) -> None:
    sent, chance = kit.files().gallery_keys, random.Random(1)
    command = [sys.executable, "-m", "tests.service.uploader"]
    begun = killed = 0
    while True:
        child = subprocess.Popen(
            [*command, str(service.folder), str(sent.path)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=repository,
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "begun\n"
        if killed < KILLS:
            threading.Timer(chance.uniform(0.0, 0.15), child.kill).start()
        lines = child.stdout.read().split()
        child.wait()
        child.stdout.close()
        begun += sum(len(line) == 64 for line in lines)
        if lines[-1:] == ["done"]:
            break
        killed += 1
        time.sleep(0.05)
    assert killed >= 1
    assert begun <= len(sent.sections) + killed
    path = service.blobs.path("anna", Room.GALLERY_KEYS, "mine")
    assert path.read_bytes() == sent.path.read_bytes()
    with container.open(path) as reader:
        reader.verify_all()
    print(f"{killed} kills, {begun} sections begun, {len(sent.sections)} in the file")
