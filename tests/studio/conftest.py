"""A studio on the tiny ring, and a browser where there is one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.core.tiny import World
from tests.studio.kit import TinyEngine, make_studio_world, running, shift_for
from tests.studio.visitor import Visitor

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def small_world() -> World:
    return make_studio_world()


@pytest.fixture(scope="session")
def shift(small_world: World) -> NDArray[np.float64]:
    return shift_for(small_world)


@pytest.fixture
def engine(small_world: World, shift: NDArray[np.float64]) -> TinyEngine:
    return TinyEngine(small_world, shift=shift)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, driven by Playwright."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    found = shutil.which("chromium") or (str(CHROMIUM) if CHROMIUM.exists() else None)
    if found is None:
        pytest.skip("chromium is not installed (Debian: apt-get install chromium)")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        yield chromium
        chromium.close()


@pytest.fixture
def visitor(engine: TinyEngine) -> Iterator[Visitor]:
    with running(engine) as run:
        yield Visitor(run)


@pytest.fixture
def inside(visitor: Visitor) -> Visitor:
    visitor.enter()
    assert visitor.ask("GET", "/")[0] == 200
    return visitor
