"""Opening galleries for commands, and what commands say about them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from fhe_core.errors import Failure
from fhe_core.files import shown
from fhe_face.client import passphrases
from fhe_face.commands.secrecy import hold_secrets
from fhe_face.failures import USAGE, CommandError
from fhe_face.gallery.errors import UnknownSubject
from fhe_face.gallery.folders import Folder
from fhe_face.gallery.gallery import Gallery
from fhe_face.gallery.subjects import SubjectInfo
from fhe_face.local.searching import search_apart
from fhe_face.output import Output

MEANS = {
    "mean": "the mean of a person's photos",
    "each": "each photo",
}


@dataclass(frozen=True)
class Opening:
    """A gallery's folder, and how its key is opened."""

    folder: Path
    passphrase_file: Path | None = None
    threads: int | None = None

    @property
    def passphrase(self) -> Callable[[], bytes]:
        """What asks for the passphrase of its key."""
        return passphrases.opener(self.passphrase_file, Folder(self.folder).key)

    @contextmanager
    def opened(
        self, output: Output, passphrase: Callable[[], bytes] | None = None
    ) -> Iterator[Gallery]:
        """The open gallery; this process keeps its memory private from then on.

        Raises: as `Gallery.open`.
        """
        hold_secrets(output, Folder(self.folder).key, self.passphrase_file)
        with kind_of(self.folder).open(
            self.folder,
            passphrase=passphrase or self.passphrase,
            threads=self.threads,
            warn=output.warn,
        ) as gallery:
            if type(gallery) is Gallery:
                search_apart(gallery)
            yield gallery


def kind_of(folder: Path) -> type[Gallery]:
    """Whether a gallery lies here, or at a server; nothing of the latter is imported for others."""
    if not Folder(folder).is_remote:
        return Gallery
    from fhe_face.remote.gallery import RemoteGallery

    return RemoteGallery


def somebody(gallery: Gallery, given: str) -> SubjectInfo:
    """A person of a gallery, by name or id.

    Raises:
        CommandError: there is nobody; the text has similar names.
    """
    try:
        return gallery.subject(given)
    except UnknownSubject as error:
        names = [one.name for one in gallery.subjects(include_deleted=True) if one.name]
        close = get_close_matches(given, names, n=3)
        if not close:
            raise
        meant = " or ".join(repr(name) for name in close)
        raise CommandError(f"{error}; did you mean {meant}?", details=_code(error)) from None


def require_thresholds(gallery: Gallery) -> None:
    """CommandError where nothing tells a match from a stranger."""
    if gallery.settings.decision is None:
        folder = shown(gallery.opened.folder.root)
        raise CommandError(
            f"{folder}: has no thresholds, so nothing tells a match from a stranger; once people "
            f"are enrolled: fhe-face gallery calibrate {folder}"
        )


def _code(error: Failure) -> dict[str, Any]:
    return {"error_type": type(error).__name__, "code": error.code}


def confirm(what: str, yes: bool, output: Output) -> None:
    """Ask whether something that cannot be undone shall be done.

    Raises:
        CommandError: it shall not, or there is nobody to ask and no --yes.
    """
    if yes:
        return
    if output.as_json or not sys.stdin.isatty():
        raise CommandError(f"{what}: give --yes", USAGE)
    print(f"{what}. Do it? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was done")


def counted(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun, such as "1 photo" or "3 photos"."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def thresholds_text(gallery: Gallery) -> str:
    """By what a gallery decides, in one line."""
    decision = gallery.settings.decision
    if decision is None:
        return "none yet: fhe-face gallery calibrate, after enrolling"
    origin = {
        "weights": "those of the network",
        "calibration": "measured on the gallery's own photos",
        "caller": "as given",
    }.get(decision.origin, decision.origin)
    return (
        f"match from {decision.same_from:.3f}, unknown below {decision.different_below:.3f}; "
        f"{origin}"
    )


def facts_of(gallery: Gallery) -> dict[str, Any]:
    """What is said about a gallery by every command, for JSON."""
    counts, facts = gallery.counts(), gallery.facts
    return {
        "gallery": str(gallery.opened.folder.root),
        "people": counts["subjects"],
        "templates": counts["templates"],
        "model": facts.model,
        "key_id": facts.key_id,
        "names": facts.names,
        "template": facts.mode.value,
    }


def network_text(weights: str | None, model: str) -> str:
    """Which network, for people: its name or file, and the digest that decides."""
    named = "not kept" if weights is None else shown(weights)
    return f"{named} (tensors {model[:12]})"
