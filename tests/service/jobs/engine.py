"""The worker's engine on a tiny ring, which counts what it computes in a file."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fhe_core.container import Header
from fhe_core.formats.ciphertexts import load_evaluation_keys
from fhe_core.parameters import Parameters
from fhe_face.engine import Engine
from fhe_face.models.layers import FusedNetwork
from fhe_face.models.synthetic import random_fused
from fhe_face.progress import Stage
from fhe_face.server.server import FaceServer
from fhe_face.service.jobs.engines import Resident, Work
from fhe_face.service.jobs.faces import FaceResident
from fhe_face.service.jobs.forecast import key_memory_bytes
from fhe_face.service.jobs.records import Kind
from tests.core import tiny

#: Where what is computed is counted; without it nothing is.
COUNTS: Final = "JOBS_TEST_COUNTS"
#: Seconds that a part takes longer.
PAUSE: Final = "JOBS_TEST_PAUSE"
#: Lines "NAME FAULT" in this file: what hostile files of these names do to the process.
POISON: Final = "JOBS_TEST_POISON"
#: While this file is there, a part hangs, as if it never came back from native code.
HANG: Final = "JOBS_TEST_HANG"
#: Bytes that the engine says it needs beside keys.
WORKING: Final = "JOBS_TEST_WORKING"
NETWORK: Final = 0


def network() -> FusedNetwork:
    return random_fused(NETWORK)


def ring(_name: str) -> Parameters:
    return tiny.load(tiny.TINY.name)


def engine() -> Engine:
    return tiny.engine_for(network(), ring(""))


def count(*words: object) -> None:
    """One line for what begins or ends; appended at once, so that a kill loses none."""
    path = os.environ.get(COUNTS)
    if path:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.write(descriptor, (" ".join(map(str, words)) + "\n").encode())
        os.close(descriptor)


@dataclass
class TinyEngines:
    """Real ciphertexts on a ring that protects nothing."""

    name: str = "insecure-tiny"
    working_bytes: int = field(default_factory=lambda: int(os.environ.get(WORKING, "0")))
    threads: int = 1

    def identity(self) -> str:
        return f"{self.name} {NETWORK}"

    def forecast(self, key: Header) -> int:
        return key_memory_bytes(key, load=ring)

    def load(self, key: Path, stage: Stage) -> Resident:
        stage("reading evaluation keys", 0, 1)
        keys = load_evaluation_keys(key, load=ring)
        count("load", keys.key_id)
        return Counted(FaceResident(FaceServer(keys, engine(), network(), self.threads)))


@dataclass(frozen=True)
class Counted:
    resident: FaceResident

    @property
    def memory_bytes(self) -> int:
        return self.resident.memory_bytes

    def open(self, kind: Kind, files: Sequence[Path]) -> Work:
        return CountedWork(self.resident.open(kind, files), files[0].name)


def suffer(fault: str | None) -> None:
    """What native code may do: abort, write where nothing is, be killed, end, ask for too much."""
    if fault == "abort":
        os.abort()
    elif fault == "segfault":
        ctypes.memset(0, 0, 1)
    elif fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault == "exit":
        ctypes.CDLL(None)._exit(3)
    elif fault == "memory":
        bytearray(1 << 44)
    else:
        assert fault is None


@dataclass(frozen=True)
class CountedWork:
    work: Work
    name: str

    @property
    def parts(self) -> int:
        return self.work.parts

    def compute(self, part: int, target: Path, stage: Stage) -> None:
        step = f"{target.parent.name}/{part}"
        count("begin", step, os.getpid())
        poison = os.environ.get(POISON)
        if poison:
            suffer(dict(map(str.split, Path(poison).read_text().splitlines())).get(self.name))
        hang = os.environ.get(HANG)
        while hang and Path(hang).exists():
            time.sleep(0.1)
        end = time.monotonic() + float(os.environ.get(PAUSE, "0"))
        while time.monotonic() < end:
            stage("pausing", 0, 0)
            time.sleep(0.01)
        self.work.compute(part, target, stage)
        count("end", step, os.getpid())

    def join(self, parts: Sequence[Path], target: Path) -> None:
        self.work.join(parts, target)
