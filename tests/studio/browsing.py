"""A person at the page, for tests: every visit holds the page to what a page must never do."""

from __future__ import annotations

import base64
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from numpy.typing import NDArray

from tests.studio.kit import Running, png

if TYPE_CHECKING:
    from playwright.sync_api import (
        Browser,
        BrowserContext,
        ConsoleMessage,
        FilePayload,
        Page,
        Request,
    )

#: Checked with this version; fetched at test time, as its licence (MPL-2.0) is not ours.
AXE = "axe-core@4.14.1"
#: A loaded machine draws, finds and computes within this, in milliseconds.
PATIENCE = 30_000
WIDE, HIGH = 1180, 900

Pixels = NDArray[Any]


def axe_source(folder: Path) -> str:
    """The accessibility checker, from the npm registry; skips where that cannot be had."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed: no axe-core")
    command = [npm, "pack", AXE, "--silent", "--pack-destination", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    packed = list(folder.glob("axe-core-*.tgz"))
    if done.returncode or not packed:
        pytest.skip(f"npm cannot fetch {AXE}: {done.stderr.strip()[-200:]}")
    with tarfile.open(packed[0]) as archive:
        source = archive.extractfile("package/axe.min.js")
        assert source is not None
        return source.read().decode()


def file_of(pixels: Pixels, name: str) -> FilePayload:
    """A file for an input."""
    return {"name": name, "mimeType": "image/png", "buffer": png(pixels)}


@dataclass
class Visit:
    """A page of a studio. expect_errors: refused requests are what is looked at."""

    run: Running
    context: BrowserContext
    page: Page
    expect_errors: bool = False
    complaints: list[str] = field(default_factory=list)
    others: list[Visit] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._asked)

    def _heard(self, message: ConsoleMessage) -> None:
        told = ("status of 4", "Response Status Error Code 4")
        refused = self.expect_errors and any(text in message.text for text in told)
        if message.type in ("error", "warning") and not refused:
            self.complaints.append(f"{message.text} {message.location}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.run.origin, "blob:", "data:")):
            self.complaints.append(f"asks another host: {request.url}")

    def enter(self) -> None:
        """With the token of the terminal."""
        self.page.goto(self.run.entrance)
        self.page.wait_for_url(f"{self.run.origin}/")

    def another(self) -> Visit:
        """Another tab."""
        other = Visit(self.run, self.context, self.context.new_page())
        other.page.goto(f"{self.run.origin}/")
        self.others.append(other)
        return other

    def choose(self, side: str, pixels: Pixels) -> None:
        """A photo for a side, until it is shown or refused."""
        photo = self.page.locator(f"#photo-{side}")
        photo.locator("input[type=file]").set_input_files(file_of(pixels, f"{side}.png"))
        photo.locator("svg[role=img], .wrong").first.wait_for()

    def drop(self, where: str, pixels: Pixels, name: str) -> None:
        """Drop a file with the mouse."""
        content = base64.b64encode(png(pixels)).decode()
        transfer = self.page.evaluate_handle(
            """([content, name]) => {
                const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
                const transfer = new DataTransfer();
                transfer.items.add(new File([bytes], name, { type: "image/png" }));
                return transfer;
            }""",
            [content, name],
        )
        for kind in ("dragover", "drop"):
            self.page.dispatch_event(where, kind, {"dataTransfer": transfer})

    def compare(self) -> None:
        """Press the button."""
        self.page.get_by_role("button", name="Compare", exact=True).click()

    def answer(self) -> str:
        """The words of the answer, when it is there."""
        words = self.page.locator(".same, .different, .not-sure").locator(".verdict h2")
        words.wait_for()
        return words.inner_text()

    def enrol(self, name: str, *photos: Pixels) -> None:
        """Somebody's photos, until they are enrolled."""
        self.page.get_by_label("Name").fill(name)
        files = [file_of(one, f"{name}-{number}.png") for number, one in enumerate(photos)]
        self.page.locator("input[name=photos]").set_input_files(files)
        self.page.get_by_role("button", name="Enrol", exact=True).click()
        self.page.get_by_role("heading", name=f"{name}:").wait_for()

    def identify(self, photo: Pixels, answered: bool = True) -> None:
        """A photo, until its faces are named."""
        self.page.locator(".named").evaluate_all("old => old.forEach((one) => one.remove())")
        self.page.locator("input[name=photo]").set_input_files(file_of(photo, "group.png"))
        self.page.get_by_role("button", name="Identify", exact=True).click()
        if answered:
            self.page.locator("#work:not([sse-connect]) .named").wait_for()

    def accept_dialogs(self) -> None:
        """Say yes to whatever is asked."""
        self.page.on("dialog", lambda dialog: dialog.accept())

    def tab_to(self, name: str) -> None:
        """Press Tab until an element with that text has the focus."""
        for _ in range(40):
            if self.page.evaluate("document.activeElement.innerText") == name:
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"{name} is not reached with Tab")

    def faults(self, axe: str) -> list[str]:
        """What axe calls serious or critical."""
        self.page.evaluate(axe)  # not a script of the page: its policy stays as it is
        found = self.page.evaluate("axe.run()")
        return [
            one["id"] for one in found["violations"] if one["impact"] in ("serious", "critical")
        ]


@contextmanager
def visiting(
    browser: Browser,
    run: Running,
    scheme: Literal["light", "dark"] = "light",
    size: tuple[int, int] = (WIDE, HIGH),
) -> Iterator[Visit]:
    """A visit in a browser of its own, which must end without complaints in the console."""
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": size[0], "height": size[1]}
    )
    try:
        visit = Visit(run, context, context.new_page())
        yield visit
        for one in (visit, *visit.others):
            assert one.complaints == []
    finally:
        context.close()
