"""The Dockerfile, as far as it can be read without a container engine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from fhe_face.service import probing
from tests.service import kit, running


def instructions(repository: Path) -> list[tuple[str, str]]:
    """Of the last stage: each with its arguments, continued lines joined."""
    text = (repository / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines()]
    found = [line.partition(" ") for line in lines if line and not line.startswith("#")]
    last = max(i for i, (name, _, _) in enumerate(found) if name == "FROM")
    return [(name, rest.strip()) for name, _, rest in found[last:]]


def test_the_image_runs_as_nobody_in_particular(repository: Path) -> None:
    found = dict(instructions(repository))
    assert int(found["USER"].split(":")[0]) >= 1000
    assert found["VOLUME"] == "/data"
    assert "ADD" not in found
    assert ":latest" not in found["FROM"]
    assert json.loads(found["ENTRYPOINT"]) == ["fhe-face", "serve"]
    # Without more options nothing but the container itself is listened to.
    assert json.loads(found["CMD"]) == ["--folder", "/data", "--host", "127.0.0.1"]
    module = json.loads(found["HEALTHCHECK"].partition("CMD ")[2])
    assert module[:3] == ["python", "-m", probing.__name__]


def test_the_probe_says_whether_the_service_is_ready(tmp_path: Path) -> None:
    world = kit.World(kit.make(tmp_path / "data"))
    with running.thread(world) as url:
        port = url.rpartition(":")[2]
        assert probing.main(["--port", port]) == 0
        world.queue.ready = False
        assert probing.main(["--port", port]) == 1
        assert probing.main(["--port", port, "--path", "/live"]) == 0
    assert probing.main(["--port", port]) == 1
    done = subprocess.run([sys.executable, "-m", probing.__name__, "--port", port])
    assert done.returncode == 1
