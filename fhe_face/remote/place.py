"""Which gallery of which server a folder belongs to: remote.json in it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from fhe_core.errors import Failure
from fhe_core.files import FileError, read_bounded, shown, write_whole
from fhe_face.gallery.errors import GalleryError
from fhe_face.gallery.facts import Facts
from fhe_face.gallery.folders import REMOTE, Folder
from fhe_face.keyfile import NEXT
from fhe_face.remote import login
from fhe_face.remote.address import checked_url
from fhe_face.remote.answers import ID
from fhe_face.remote.connection import Connection
from fhe_face.remote.errors import LoginError

_VERSION: Final = 1
_MOST_BYTES: Final = 64 << 10


@dataclass(frozen=True)
class Place:
    """url: of the server; profile: with whose token it is asked; gallery: its name there; facts:
    what it was made as, so that the server cannot say otherwise."""

    url: str
    profile: str
    gallery: str
    facts: Facts

    def save(self, folder: str | os.PathLike[str], suffix: str = "") -> None:
        """Write it; suffix: of the file's name. FileError: it cannot be."""
        content = {
            "version": _VERSION,
            "url": self.url,
            "profile": self.profile,
            "gallery": self.gallery,
            "facts": self.facts.to_json(),
        }
        data = (json.dumps(content, indent=1) + "\n").encode()
        write_whole(Path(folder) / f"{REMOTE}{suffix}", data, private=True)

    @classmethod
    def load(cls, folder: str | os.PathLike[str], suffix: str = "") -> Place:
        """Of a gallery's folder.

        Raises:
            GalleryError: it holds no gallery at a server, or is damaged.
            FileError: it cannot be read.
        """
        path = Path(folder) / f"{REMOTE}{suffix}"
        try:
            content: Any = json.loads(read_bounded(path, _MOST_BYTES))
            if content["version"] == _VERSION and ID.fullmatch(content["gallery"]):
                url, profile = checked_url(content["url"]), str(content["profile"])
                return cls(url, profile, content["gallery"], Facts.from_json(content["facts"]))
        except FileError as error:
            if path.is_file():
                raise
            raise _nothing(Folder(Path(folder))) from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, Failure):
            pass
        raise GalleryError(f"{shown(path)}: is damaged")

    @contextmanager
    def moving(self, folder: str | os.PathLike[str], facts: Facts) -> Iterator[None]:
        """The gallery gets other facts in this block; whichever counts, one of two files has it."""
        after = replace(self, facts=facts)
        after.save(folder, NEXT)
        yield
        os.replace(Path(folder) / f"{REMOTE}{NEXT}", Path(folder) / REMOTE)

    def settled(self, folder: str | os.PathLike[str], said: Facts) -> Place:
        """After a change of the facts that was interrupted: the one that the server has.

        Raises:
            GalleryError: the server describes neither.
        """
        waiting = Path(folder) / f"{REMOTE}{NEXT}"
        if waiting.is_file():
            after = self.load(folder, NEXT)
            if after.facts == said:
                os.replace(waiting, Path(folder) / REMOTE)
                return after
        if said != self.facts:
            raise GalleryError(
                f"gallery {self.gallery}: the server describes another gallery than was made: its "
                "mode, model, key or preparation differ"
            )
        waiting.unlink(missing_ok=True)
        return self

    def connect(self) -> Connection:
        """By the profile. LoginError: there is none, or it is of another server."""
        profile = login.load(self.profile)
        if profile.url != self.url:
            raise LoginError(
                f"the gallery is at {self.url}, profile {self.profile!r} is of {profile.url}: log "
                "in there with another --profile name"
            )
        return profile.connect()


def _nothing(folder: Folder) -> GalleryError:
    if folder.evaluation_key.is_file():  # in server/, a name that other folders have as well
        return GalleryError(
            f"{shown(folder.root)}: is a gallery on this machine, at no server: fhe-face gallery "
            "backup and fhe-face remote gallery restore bring it to one"
        )
    return GalleryError(
        f"{shown(folder.root)}: holds no gallery at a server ({REMOTE} is missing): fhe-face "
        "remote gallery create"
    )
