"""Services as processes, and in threads, for tests."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fhe_face.service.listening import Address, server_of
from tests.service import kit

SECONDS = 60.0


@contextmanager
def process(folder: Path, *options: str, errors: Path | None = None) -> Iterator[Serving]:
    """`fhe-face serve` on a port that is free; ended at the end, if it is still there."""
    log = errors or folder.with_suffix(".log")
    with listening(["serve", "--folder", str(folder), *options], log) as serving:
        yield serving


@contextmanager
def listening(words: Sequence[str], errors: Path) -> Iterator[Serving]:
    """A command of `fhe-face` that listens on a port that is free; ended as `process`."""
    with errors.open("ab") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "fhe_face", *words, "--port", "0"],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        )
    try:
        assert child.stdout is not None
        line = child.stdout.readline()
        assert line.startswith("listening on "), errors.read_text()
        yield Serving(child, line.split()[-1])
    finally:
        if child.poll() is None:
            child.terminate()
            child.wait(SECONDS)
        if child.stdout is not None:
            child.stdout.close()


def peak_bytes(pid: int) -> int:
    """The most memory that a process has had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


class Serving:
    """A running service."""

    def __init__(self, child: subprocess.Popen[str], url: str) -> None:
        self.child = child
        self.url = url

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def peak_bytes(self) -> int:
        """The most memory that the process has had."""
        return peak_bytes(self.child.pid)

    def children(self) -> Sequence[int]:
        """The processes that it started."""
        path = Path(f"/proc/{self.child.pid}/task/{self.child.pid}/children")
        return [int(number) for number in path.read_text().split()]


@contextmanager
def thread(world: kit.World, address: Address | None = None) -> Iterator[str]:
    """The app of a world behind a real socket; its URL."""
    chosen = address or Address(port=0)
    listening = chosen.bind()
    server = server_of(world.app, chosen, world.context.settings.connections)
    running = threading.Thread(target=server.run, args=([listening],))
    running.start()
    try:
        until = time.monotonic() + SECONDS
        while not server.started:
            assert time.monotonic() < until
            time.sleep(0.01)
        yield f"{chosen.scheme}://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        running.join(SECONDS)
        listening.close()
