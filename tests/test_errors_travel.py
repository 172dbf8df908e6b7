"""Every error of the project survives pickling and copying, as a pool of processes needs it."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from fhe_core.errors import Failure
from fhe_face.client.health import HealthReport, UnhealthyResultError
from fhe_face.failures import EXIT_STATUSES, CommandError
from fhe_face.models.checkpoint import CheckpointError
from fhe_face.photos.image_error import ImageError
from fhe_face.photos.images import load_photo
from tests.test_layering import REPOSITORY, modules_of

#: Errors that are made from something else than one text.
SPECIAL: dict[type[BaseException], tuple[Any, ...]] = {
    ImageError: (Path("a.png"), "damaged"),
    CheckpointError: (Path("w.ckpt"), "damaged"),
    UnhealthyResultError: (HealthReport((400.0,), (100.0, 3000.0), ("too large",)),),
    CommandError: ("text", 2, {"healthy": False}),
}


def errors() -> Iterator[type[BaseException]]:
    """All exception classes of all packages."""
    seen = set()
    for package in ("fhe_core", "fhe_face", "benchmarks"):
        for name in modules_of(package, REPOSITORY):
            if name.endswith("__main__"):
                continue
            try:
                module = importlib.import_module(name)
            except ImportError:
                continue  # what needs a package that is not installed
            for _, value in inspect.getmembers(module, inspect.isclass):
                ours = value.__module__.startswith(("fhe_core", "fhe_face", "benchmarks"))
                if ours and issubclass(value, BaseException) and value not in seen:
                    seen.add(value)
                    yield value


def facts(error: BaseException) -> tuple[str, dict[str, Any]]:
    return str(error), dict(vars(error))


def test_every_error_survives() -> None:
    count = 0
    for kind in errors():
        error = kind(*SPECIAL.get(kind, ("some text",)))
        for again in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
            assert type(again) is kind, kind
            assert facts(again) == facts(error), kind
        count += 1
    assert count >= 35


def test_every_error_is_a_failure_with_a_code_of_its_own() -> None:
    codes: dict[str, type[BaseException]] = {}
    for kind in errors():
        if kind.__name__.startswith("_") or kind.__module__.endswith("_native"):
            continue
        if issubclass(kind, KeyboardInterrupt):  # somebody's wish, and no failure
            continue
        assert issubclass(kind, Failure), kind
        assert codes.setdefault(kind.code, kind) is kind, f"{kind} and {codes[kind.code]}"
    assert set(EXIT_STATUSES) <= set(codes)


def _read(path: str) -> None:
    load_photo(path)


@pytest.mark.slow
def test_a_pool_gets_the_error(tmp_path: Path) -> None:
    path = tmp_path / "damaged.jpg"
    path.write_bytes(b"\xff\xd8\xff\xe0no jpeg")
    with get_context("spawn").Pool(1) as pool, pytest.raises(ImageError, match=r"damaged\.jpg"):
        pool.map_async(_read, [str(path)]).get(120)
