"""What the processes load: engines only where they compute, and nothing that can decrypt."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

ENGINES = (
    "fhe_face.server.server",
    "fhe_core.runtime",
    "fhe_core._native",
    "scipy",
    "fhe_face.models",
)
SECRETS = ("fhe_core.secret", "fhe_face.client", "fhe_face.gallery")


def loaded(module: str) -> set[str]:
    code = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("module", ["queue", "worker", "lane"])
def test_no_engine_is_loaded_before_it_computes(module: str) -> None:
    found = loaded(f"fhe_face.service.jobs.{module}")
    assert not found & {*ENGINES, *SECRETS}


@pytest.mark.parametrize("module", ["faces", "search_lane"])
def test_no_process_can_decrypt(module: str) -> None:
    found = loaded(f"fhe_face.service.jobs.{module}")
    assert not [name for name in found if name.startswith(SECRETS)]
