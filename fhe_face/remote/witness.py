"""What a client last knew of a gallery at a server, in a file beside the key, mode 0600.

With one client everything that the server changes by itself is found. Where others change the
gallery as well, their changes cannot be told from the server's: they are named, and accepted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fhe_core.files import FileError, read_bounded, shown, write_whole
from fhe_face.remote.listing import Listing, TamperedError, digest
from fhe_face.store import State

NAME: Final = "gallery.witness"
_VERSION: Final = 1
_MOST_BYTES: Final = 4 << 30
_ACCEPT: Final = "fhe-face remote gallery accept takes it as it is"


_NOTHING: Final = State(0, 0)


@dataclass
class Witness:
    """gallery: its random id; state: the latest that this client saw; settings: digest of the
    sealed ones, as of `settings_version`; listing: as of `listing_changes`, None before everything
    was read once."""

    gallery: str
    state: State = _NOTHING
    settings: str = ""
    settings_version: int = 0
    listing: Listing | None = field(default=None, repr=False)
    listing_changes: int = 0

    @property
    def is_current(self) -> bool:
        """Whether the listing is of the latest state that was seen."""
        return self.listing is not None and self.state.changes == self.listing_changes

    @classmethod
    def load(cls, folder: Path, gallery: str) -> Witness:
        """Of a gallery's folder ``client/``; a new one where there is none.

        Raises:
            TamperedError: the file is damaged, or another gallery's. FileError: it is unreadable.
        """
        path = folder / NAME
        try:
            data = read_bounded(path, _MOST_BYTES)
        except FileError:
            if path.exists():
                raise
            return cls(gallery)
        try:
            content = json.loads(data)
            listing = content["listing"]
            found = cls(
                content["gallery"],
                State(*map(int, content["state"])),
                str(content["settings"]),
                int(content["settings_version"]),
                None if listing is None else Listing.from_json(listing),
                int(content["listing_changes"]),
            )
            fits = content["version"] == _VERSION and found.gallery == gallery
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            fits = False
        if not fits:
            raise TamperedError(
                f"{shown(path)}: is damaged, or of another gallery: put back the one that belongs "
                "to it; without it, nothing tells what the server has changed"
            )
        return found

    def save(self, folder: Path) -> None:
        """Write it, atomically. FileError: it cannot be."""
        content = {
            "version": _VERSION,
            "gallery": self.gallery,
            "state": list(self.state),
            "settings": self.settings,
            "settings_version": self.settings_version,
            "listing": None if self.listing is None else self.listing.to_json(),
            "listing_changes": self.listing_changes,
        }
        write_whole(folder / NAME, json.dumps(content).encode(), private=True)

    def see(self, state: State) -> None:
        """Remember a state. TamperedError: it is older than one that was seen."""
        if state.version < self.state.version or state.changes < self.state.changes:
            raise TamperedError(
                f"the server's gallery is older than what this client saw last (change "
                f"{state.changes}, seen {self.state.changes}): a backup was put back, or changes "
                f"are withheld; {_ACCEPT}"
            )
        self.state = state

    def see_settings(self, settings: bytes, version: int) -> str | None:
        """Remember sealed settings; that others have changed them, for people, or None.

        Raises:
            TamperedError: this version had others, or the version is older than one that was seen.
        """
        before, seen = self.settings, self.settings_version
        found = digest(settings)
        if before and version < seen:
            raise TamperedError(
                f"the server's settings of the gallery are older (version {version}) than what "
                f"this client saw last ({seen}); {_ACCEPT}"
            )
        if before and version == seen and found != before:
            raise TamperedError(
                "the server's gallery has other settings than this client left there, and says "
                f"that nothing was changed; {_ACCEPT}"
            )
        self.settings, self.settings_version = found, version
        if before in ("", found):
            return None
        return (
            "since this client saw the gallery last, other clients (or the server) have changed "
            "its settings"
        )

    def see_listing(self, found: Listing, changes: int) -> str | None:
        """Remember all rows; what others have changed, for people, or None.

        Raises:
            TamperedError: something is otherwise, although nobody has changed anything.
        """
        before, self.listing = self.listing, found
        seen, self.listing_changes = self.listing_changes, changes
        if before is None:
            return None
        self.listing = before.updated(found)
        differences = before.differences(found)
        if not differences:
            return None
        if changes == seen:
            self.listing, self.listing_changes = before, seen
            raise tampered(differences.summary())
        return (
            "since this client saw the gallery last, other clients (or the server) have changed "
            f"it: {differences.summary()}"
        )

    def carried(self, changes: int, transactions: int) -> None:
        """The listing has the client's own changes, which took so many transactions."""
        if changes <= self.listing_changes + transactions:
            self.listing_changes = changes


def tampered(what: str) -> TamperedError:
    """The error for what is otherwise, although nobody has changed anything."""
    return TamperedError(
        f"the server's gallery is not what this client left there: {what}; and the server says "
        f"that nothing was changed; {_ACCEPT}"
    )
