"""Runs a server job in a process that then says what of ours it has loaded."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fhe_face.server.job import Job

CLIENT_ONLY = {
    "fhe_core.secret.key",
    "fhe_core.secret.files",
    "fhe_core.secret.sampling",
    "fhe_face.client.decryption",
    "fhe_face.client.client",
    "fhe_face.client.keymaking",
    "fhe_face.local.demonstration",
}

_SERVE = "import sys\nfrom fhe_face.server.job import serve\nserve(sys.stdin, sys.stdout)\n"
# Every name in our loaded modules and in classes of ours.
_TESTIFY = """
import inspect, json
ours = ("fhe_core", "fhe_face", "models", "coeffs")
names = []
for module in [m for n, m in list(sys.modules.items()) if n.split(".")[0] in ours]:
    for symbol, value in list(vars(module).items()):
        names.append(f"{module.__name__}.{symbol}")
        if inspect.isclass(value) and value.__module__.split(".")[0] in ours:
            names += [f"{module.__name__}.{symbol}.{member}" for member in dir(value)]
bad = [n for n in names if "decrypt" in n.lower() or "SecretKey" in n]
print(json.dumps({"modules": sorted(sys.modules), "forbidden": bad}))
"""


def report_and_witness(repository: Path, job: Job) -> tuple[dict[str, Any], dict[str, Any]]:
    """The server's report on a whole job, and what its process had loaded."""
    answers = serve_and_witness(repository, job)
    report = answers[-2].get("report")
    assert report, answers[-2]
    return report, answers[-1]


@contextmanager
def short_lived(factory: pytest.TempPathFactory, name: str) -> Iterator[Path]:
    """A folder for gigabytes, removed at once."""
    folder = factory.mktemp(name)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def require_nothing_to_decrypt_with(witness: Mapping[str, Any]) -> None:
    """The process ran the server, and loaded nothing of the client's."""
    assert "fhe_face.server.server" in witness["modules"]
    assert not CLIENT_ONLY & set(witness["modules"])
    assert witness["forbidden"] == []


def serve_and_witness(repository: Path, job: Job, more: str = "") -> list[dict[str, Any]]:
    """The answers of the server, and after them its loaded modules and forbidden names."""
    process = subprocess.run(
        [sys.executable, "-c", _SERVE + more + _TESTIFY],
        input=job.to_json(),
        capture_output=True,
        text=True,
        cwd=repository,
        check=True,
        timeout=1200,
    )
    assert process.stderr == ""
    return [json.loads(line) for line in process.stdout.splitlines()]
