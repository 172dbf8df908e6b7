"""Fixtures for all tests: the optional test data, which is not part of the repository.

Nothing here imports numpy before its threads are calmed: in tests beside each other they spin for
each other's processors, and small networks took ten to thirty times their processor time.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from fhe_face.process import calm_threads

if TYPE_CHECKING:
    from numpy.typing import NDArray

calm_threads()
# Wall-clock deadlines make tests flaky on small machines.
hypothesis.settings.register_profile("fhe-face", deadline=None, print_blob=True)
hypothesis.settings.load_profile("fhe-face")

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests first, as the last one is waited for by all."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture
def heard() -> Iterator[None]:
    """SIGINT and SIGHUP do what they do in a terminal, here and in processes that are started.

    A job in the background ignores interrupts, one under nohup the terminal's end, and so would
    all their children.
    """
    interrupt = signal.signal(signal.SIGINT, signal.default_int_handler)
    hangup = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGHUP, hangup)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the source tree."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with checkpoints, faces and known answers; skips where there is none.

    It is named by the environment variable FHE_FACE_SHARED, or stands beside the repository
    as `../shared`. A variable that names no folder is an error, not a reason to skip.
    """
    named = os.environ.get("FHE_FACE_SHARED")
    folder = Path(named) if named else REPOSITORY.parent / "shared"
    if folder.is_dir():
        return folder
    if named:
        pytest.fail(f"FHE_FACE_SHARED names {named}, which is not a folder")
    pytest.skip("no test data: set FHE_FACE_SHARED, or put it at ../shared beside the repository")


def _existing(path: Path) -> Path:
    if not path.is_file():
        pytest.skip(f"no test data: {path} is missing")
    return path


@pytest.fixture(scope="session")
def checkpoint(shared: Path) -> Path:
    """The official 64x64 checkpoint, a torch file `{"backbone": state_dict}`."""
    return _existing(shared / "checkpoints" / "backbone-64x64.ckpt")


@pytest.fixture(scope="session")
def vectors(shared: Path) -> Mapping[str, NDArray[Any]]:
    """Known answers of that checkpoint in float64: 14 crops, embeddings, intermediate tensors."""
    import numpy as np

    path = _existing(shared / "vectors" / "cryptofacenet4_64.npz")
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
