"""Runs a server job in a process that then says what of ours it has loaded."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from fhe_face.server_job import Job

CLIENT_ONLY = {
    "fhe_core.keys.secret",
    "fhe_core.keys.files",
    "fhe_core.keys.sampling",
    "fhe_core.runtime.client",
    "fhe_face.client",
    "fhe_face.keymaking",
    "fhe_face.demonstration",
}

_SERVE = "import sys\nfrom fhe_face.server_job import serve\nserve(sys.stdin, sys.stdout)\n"
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
