"""The pictures of docs/studio.md: made from drawn faces on the tiny ring, of fixed sizes.

FHE_FACE_SCREENSHOTS=docs/studio writes them there; without it they are made and thrown away.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from fhe_face.studio.drawn import ANN, BEN, CARA, group, variants
from tests.studio.browsing import HIGH, WIDE, Visit, visiting
from tests.studio.kit import TinyEngine, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser

DOCS = Path(__file__).resolve().parents[2] / "docs" / "studio"
#: Heights, in pixels.
PICTURES = {
    "compare-light": 1504,
    "compare-dark": 1504,
    "working": 1504,
    "gallery-light": 1536,
    "gallery-dark": 1536,
    "privacy": 1140,
}
MOST_BYTES = 260_000
COLOURS = 256


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    wanted = os.environ.get("FHE_FACE_SCREENSHOTS")
    place = tmp_path if wanted is None else Path(wanted)
    place.mkdir(parents=True, exist_ok=True)
    return place


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def visit(browser: Browser, engine: TinyEngine, scheme: Any) -> Iterator[Visit]:
    with running(engine) as run, visiting(browser, run, scheme) as found:
        found.enter()
        found.page.get_by_text("Keys and server ready").wait_for()
        yield found


def picture(visit: Visit, folder: Path, name: str) -> None:
    """The whole page, in few colours."""
    page = visit.page
    page.mouse.move(5, 5)
    page.wait_for_load_state("networkidle")
    page.evaluate("document.activeElement.blur()")
    page.set_viewport_size({"width": WIDE, "height": PICTURES[name]})
    taken = Image.open(io.BytesIO(page.screenshot(animations="disabled")))
    page.set_viewport_size({"width": WIDE, "height": HIGH})
    assert taken.size == (WIDE, PICTURES[name])
    cut = page.evaluate("document.documentElement.scrollHeight") - PICTURES[name]
    assert cut <= 0, f"{name} must be {cut} pixels higher"
    few = taken.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(folder / f"{name}.png", optimize=True)
    assert (folder / f"{name}.png").stat().st_size < MOST_BYTES


def test_comparing(visit: Visit, folder: Path, engine: TinyEngine, scheme: str) -> None:
    page = visit.page
    page.get_by_role("button", name="Use drawn faces").click()
    page.locator("#photo-b.filled").wait_for()
    if scheme == "light":
        engine.pause = 0.02
        visit.compare()
        page.locator("#server-steps .now progress[value]").wait_for()
        picture(visit, folder, "working")
        engine.pause = 0.0
    else:
        visit.compare()
    assert visit.answer() == "Same person"
    picture(visit, folder, f"compare-{scheme}")


def test_the_gallery(visit: Visit, folder: Path, scheme: str) -> None:
    page = visit.page
    page.get_by_role("link", name="Gallery").click()
    visit.enrol("Ann", *variants(ANN))
    visit.enrol("Cara", *variants(CARA))
    visit.identify(group(ANN, BEN, CARA))
    picture(visit, folder, f"gallery-{scheme}")


def test_who_sees_what(browser: Browser, engine: TinyEngine, folder: Path) -> None:
    with running(engine) as run, visiting(browser, run) as visit:
        visit.enter()
        visit.page.get_by_role("link", name="Who sees what").click()
        picture(visit, folder, "privacy")


def test_the_documentation_has_all_of_them() -> None:
    page = (DOCS.parent / "studio.md").read_text(encoding="utf-8")
    for name in PICTURES:
        file = DOCS / f"{name}.png"
        assert f"studio/{file.name}" in page
        with Image.open(file) as image:
            assert image.size == (WIDE, PICTURES[name])
        assert file.stat().st_size < MOST_BYTES
