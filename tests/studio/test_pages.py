"""The pages in a browser: what a person sees, by mouse, keyboard and screen reader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fhe_face.failures import UsageError
from fhe_face.studio.drawn import ANN, BEN, CARA, group, variants
from tests.studio.browsing import Visit, axe_source, visiting
from tests.studio.kit import Running, TinyEngine, opened, running

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ANN_1, ANN_2 = variants(ANN)
BEN_1, BEN_2 = variants(BEN)
CARA_1, CARA_2 = variants(CARA)


@pytest.fixture
def run(engine: TinyEngine) -> Iterator[Running]:
    with running(engine) as found:
        yield found


@pytest.fixture
def visit(browser: Browser, run: Running) -> Iterator[Visit]:
    with visiting(browser, run) as found:
        found.enter()
        yield found


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    return axe_source(tmp_path_factory.mktemp("axe"))


# --- comparing -----------------------------------------------------------------------------------


def test_two_photos_of_one_person(visit: Visit) -> None:
    page = visit.page
    visit.choose("a", ANN_1)
    page.get_by_text("One face found").wait_for()
    first = page.locator("#photo-a")
    assert first.locator(".patches img").count() == 4
    assert first.locator("rect.box").count() == 1
    assert first.locator("circle.point").count() == 5
    visit.choose("b", ANN_2)
    visit.compare()
    assert visit.answer() == "Same person"
    assert page.locator(".noise img").evaluate("image => image.naturalWidth") == 256
    facts = page.locator(".facts").inner_text()
    for name in ("Time", "Sent to the server", "Sent back", "Precision", "Security", "Ring"):
        assert name in facts
    steps = page.locator("#server-steps").inner_text()
    for face in (1, 2):
        assert f"Computing on encrypted face {face}\n" in steps
    assert "Same person" in page.locator("#said").inner_text()


def test_two_people(visit: Visit) -> None:
    visit.choose("a", ANN_1)
    visit.choose("b", BEN_1)
    visit.compare()
    assert visit.answer() == "Different people"


def test_in_the_clear_the_answer_is_the_same_and_nothing_travels(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("button", name="Use drawn faces").click()
    page.locator("#photo-b.filled").wait_for()
    page.get_by_role("radio", name="In the clear, here").check()
    visit.compare()
    assert visit.answer() == "Same person"
    assert page.locator(".noise img").count() == 0
    assert page.get_by_role("radio", name="In the clear, here").is_checked()


def test_a_photo_can_be_dropped(visit: Visit) -> None:
    visit.drop("#photo-a label.drop", ANN_1, "dropped.png")
    visit.page.locator("#photo-a.filled").get_by_text("dropped.png").wait_for()
    visit.drop("#photo-a", BEN_1, "other.png")
    visit.page.locator("#photo-a.filled").get_by_text("other.png").wait_for()
    visit.page.get_by_role("button", name="Remove the first photo").click()
    visit.page.locator("#photo-a:not(.filled)").wait_for()


def test_a_comparison_without_photos_says_what_is_missing(visit: Visit) -> None:
    visit.expect_errors = True
    visit.compare()
    alert = visit.page.get_by_role("alert").get_by_text("Choose two photos first.")
    alert.wait_for()
    visit.page.get_by_role("button", name="Dismiss").click()
    alert.wait_for(state="detached")


def test_a_photo_without_a_face_is_told_where_it_was_dropped(visit: Visit) -> None:
    visit.choose("a", ANN_1[:60])
    visit.page.locator("#photo-a").get_by_role("alert").get_by_text("no face found").wait_for()


def test_cancelling(visit: Visit, engine: TinyEngine) -> None:
    engine.pause = 0.03
    page = visit.page
    page.get_by_role("button", name="Use drawn faces").click()
    page.locator("#photo-b.filled").wait_for()
    visit.compare()
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("heading", name="Cancelled").wait_for()
    engine.pause = 0.0
    visit.compare()
    assert visit.answer() == "Same person"


def test_one_job_at_a_time_also_in_another_tab(visit: Visit, engine: TinyEngine) -> None:
    engine.pause = 0.03
    page = visit.page
    page.get_by_role("button", name="Use drawn faces").click()
    page.locator("#photo-b.filled").wait_for()
    other = visit.another()
    visit.compare()
    page.get_by_role("button", name="Cancel").wait_for()
    other.expect_errors = True
    other.compare()
    other.page.get_by_role("alert").get_by_text("wait for it, or cancel it").wait_for()
    other.page.reload()  # shows what is under way
    other.page.get_by_role("button", name="Cancel").click()
    page.get_by_role("heading", name="Cancelled").wait_for()


def test_a_server_that_fails_gets_a_sentence(browser: Browser, engine: TinyEngine) -> None:
    engine.failure = UsageError("not enough disk space in the temporary folder")
    with running(engine) as run, visiting(browser, run) as visit:
        visit.enter()
        page = visit.page
        page.get_by_text("Keys or server failed").wait_for()
        page.get_by_role("button", name="Use drawn faces").click()
        page.locator("#photo-b.filled").wait_for()
        visit.compare()
        page.locator("#work .wrong").get_by_text("Not enough disk space").wait_for()


def test_by_keyboard_alone(visit: Visit) -> None:
    page = visit.page
    page.keyboard.press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to the content"
    visit.tab_to("Use drawn faces")
    page.keyboard.press("Enter")
    page.locator("#photo-b.filled").wait_for()
    visit.tab_to("Compare")
    page.keyboard.press("Enter")
    assert visit.answer() == "Same person"
    assert page.locator(":focus").inner_text() == "Same person"  # not lost with the button


# --- the gallery ---------------------------------------------------------------------------------


def test_enrol_identify_delete(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("link", name="Gallery").click()
    visit.enrol("Ann", ANN_1, ANN_2)
    visit.enrol("Cara", CARA_1)
    assert page.locator(".faces li").count() == 2
    visit.identify(group(ANN, BEN, CARA))
    kinds = dict(
        zip(
            page.locator(".named strong").all_inner_texts(),
            page.locator(".named .kind").all_inner_texts(),
            strict=True,
        )
    )
    assert kinds == {"Ann": "Match", "Cara": "Match", "nobody known": "Unknown"}
    assert page.locator(".found rect.box.match").count() == 2
    assert page.locator(".found rect.box.unknown").count() == 1
    visit.accept_dialogs()
    page.get_by_role("button", name="Delete Cara").click()
    page.locator(".faces li").nth(1).wait_for(state="detached")
    visit.identify(CARA_2)
    assert "Ann" not in page.locator(".named strong").inner_text()
    assert page.locator(".named .kind").inner_text() == "Unknown"


def test_enrolling_says_what_was_left_out(visit: Visit) -> None:
    page = visit.page
    page.get_by_role("link", name="Gallery").click()
    visit.enrol("Ben", BEN_1, ANN_1[:60])
    page.get_by_text("No face found").wait_for()
    visit.enrol("Ben", BEN_1, BEN_2)
    page.get_by_text("One photo known already.").wait_for()


def test_a_gallery_that_was_there_is_shown_and_kept(
    browser: Browser, engine: TinyEngine, tmp_path: Path
) -> None:
    folder = tmp_path / "family"
    engine.gallery(folder).close()
    with running(engine, opened(engine, folder)) as run, visiting(browser, run) as visit:
        visit.enter()
        visit.page.get_by_role("link", name="Gallery").click()
        visit.page.get_by_text(str(folder)).wait_for()
        visit.enrol("Ann", ANN_1)
    with running(engine, opened(engine, folder)) as run, visiting(browser, run) as visit:
        visit.enter()
        visit.page.get_by_role("link", name="Gallery").click()
        assert "Ann" in visit.page.locator(".faces li").inner_text()
        visit.identify(ANN_2)
        assert visit.page.locator(".named .kind").inner_text() == "Match"


def test_nobody_enrolled(visit: Visit) -> None:
    visit.page.get_by_role("link", name="Gallery").click()
    visit.identify(ANN_1, answered=False)
    visit.page.get_by_text("Nobody is enrolled yet: enrol somebody first.").wait_for()


# --- how it behaves ------------------------------------------------------------------------------


def test_nothing_jumps(visit: Visit) -> None:
    """Layout shifts that no click caused add up to less than 0.05 (0.1 counts as good)."""
    page = visit.page
    page.evaluate(
        """() => {
            window.shifts = 0;
            new PerformanceObserver((list) => {
                for (const entry of list.getEntries()) window.shifts += entry.value;
            }).observe({ type: "layout-shift", buffered: true });
        }"""
    )
    page.get_by_role("button", name="Use drawn faces").click()
    page.locator("#photo-b.filled").wait_for()
    visit.compare()
    visit.answer()
    page.wait_for_timeout(200)
    assert page.evaluate("window.shifts") < 0.05


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_fault(
    browser: Browser, run: Running, engine: TinyEngine, axe: str, scheme: Any
) -> None:
    engine.caution = "the bundled network is a demonstration"
    with visiting(browser, run, scheme) as visit:
        visit.enter()
        assert visit.faults(axe) == []
        visit.choose("a", ANN_1[:60])
        visit.page.locator("#photo-a").get_by_role("alert").wait_for()
        assert visit.faults(axe) == []
        visit.page.get_by_role("button", name="Use drawn faces").click()
        visit.page.locator("#photo-b.filled").wait_for()
        engine.pause = 0.05
        visit.compare()
        visit.page.locator(".noise img").wait_for()
        assert visit.faults(axe) == []
        engine.pause = 0.0
        visit.answer()
        assert visit.faults(axe) == []
        visit.page.get_by_role("link", name="Gallery").click()
        assert visit.faults(axe) == []
        visit.enrol("Ann", ANN_1)
        visit.identify(group(ANN, BEN))
        assert visit.faults(axe) == []
        visit.page.get_by_role("link", name="Who sees what").click()
        assert visit.faults(axe) == []


def test_axe_finds_faults(visit: Visit, axe: str) -> None:
    """The check can fail."""
    visit.page.evaluate("document.querySelector('.brand').remove()")
    broken = "<img src=/static/icon.svg><button></button>"
    visit.page.locator("main").evaluate("(main, text) => { main.innerHTML = text; }", broken)
    assert {"image-alt", "button-name"} <= set(visit.faults(axe))


def test_it_is_narrow_where_the_window_is(browser: Browser, run: Running) -> None:
    with visiting(browser, run, size=(380, 700)) as visit:
        visit.enter()
        for path in ("/", "/gallery"):
            visit.page.goto(run.origin + path)
            assert visit.page.evaluate("document.documentElement.scrollWidth") <= 380
