"""A forked child computes as its parent does, whatever the parent had done before."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from fhe_core import _native
from tests.helpers import distinct_primes

N = 1024
MODULI = distinct_primes([45] * 4, N)
ROWS = list(range(4))
_PATIENCE = 60.0

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def values() -> np.ndarray:
    column = np.array(MODULI, dtype=np.uint64)[:, None]
    return np.random.default_rng(1).integers(0, column, (4, N), dtype=np.uint64)


def work(context: _native.Context) -> bytes:
    return context.ntt_forward(values(), ROWS).tobytes()


def forked(body: Callable[[], bool]) -> bool:
    """Whether the body is true in a child; a child that waits for ever is killed."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            status = 0 if body() else 1
        finally:
            os._exit(status)
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return False


@pytest.fixture
def context() -> _native.Context:
    return _native.Context(N, MODULI, 2)


def test_a_child_after_use(context) -> None:
    expected = work(context)
    assert forked(lambda: work(context) == expected)
    assert work(context) == expected
    # A child's child, and a context made in the child.
    assert forked(lambda: work(context) == expected and forked(lambda: work(context) == expected))
    assert forked(lambda: work(_native.Context(N, MODULI, 2)) == expected)


def test_forks_from_another_thread(context) -> None:
    expected = work(context)
    found = []

    def body() -> None:
        found.append(work(context) == expected)
        found.append(forked(lambda: work(context) == expected))

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert found == [True, True]


def test_forks_while_others_compute(context) -> None:
    expected = work(context)
    end = threading.Event()

    def busy() -> None:
        while not end.is_set():
            work(context)

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        assert all(forked(lambda: work(context) == expected) for _ in range(20))
    finally:
        end.set()
        for thread in threads:
            thread.join()
    assert work(context) == expected


def test_a_pool_that_was_started_after_use(context) -> None:
    expected = work(context)
    with get_context("fork").Pool(2) as pool:
        made = pool.map_async(_in_pool, [0] * 4).get(_PATIENCE)
    assert made == [expected] * 4


def _in_pool(_: int) -> bytes:
    return work(_native.Context(N, MODULI, 2))


def test_threads_that_cannot_start(monkeypatch) -> None:
    """As under a limit of processes: the runtime of OpenMP would end this process."""
    resource = pytest.importorskip("resource")

    def limited() -> bool:
        # Stacks for a thousand threads do not fit.
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20),) * 2)
        try:
            _native.Context(N, MODULI, 1000)
        except _native.ThreadError as error:
            return "of 1000 threads can be started" in str(error) and "--threads" in str(error)
        return False

    assert forked(limited)
