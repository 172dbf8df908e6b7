"""Which gallery of which server a folder belongs to: remote.json in it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fhe_core.errors import Failure
from fhe_core.files import FileError, read_bounded, shown, write_whole
from fhe_face.gallery.errors import GalleryError
from fhe_face.gallery.facts import Facts
from fhe_face.remote import login
from fhe_face.remote.address import checked_url
from fhe_face.remote.answers import ID
from fhe_face.remote.connection import Connection
from fhe_face.remote.errors import LoginError

NAME: Final = "remote.json"
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

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write it. FileError: it cannot be."""
        content = {
            "version": _VERSION,
            "url": self.url,
            "profile": self.profile,
            "gallery": self.gallery,
            "facts": self.facts.to_json(),
        }
        data = (json.dumps(content, indent=1) + "\n").encode()
        write_whole(Path(folder) / NAME, data, private=True)

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Place:
        """Of a gallery's folder.

        Raises:
            GalleryError: it holds no gallery at a server, or is damaged.
        """
        path = Path(folder) / NAME
        try:
            content: Any = json.loads(read_bounded(path, _MOST_BYTES))
            if content["version"] == _VERSION and ID.fullmatch(content["gallery"]):
                url, profile = checked_url(content["url"]), str(content["profile"])
                return cls(url, profile, content["gallery"], Facts.from_json(content["facts"]))
        except FileError:
            raise GalleryError(
                f"{shown(folder)}: holds no gallery at a server ({NAME} is missing): fhe-face "
                "remote gallery create"
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, Failure):
            pass
        raise GalleryError(f"{shown(path)}: is damaged")

    def connect(self) -> Connection:
        """By the profile. LoginError: there is none, or it is of another server."""
        profile = login.load(self.profile)
        if profile.url != self.url:
            raise LoginError(
                f"the gallery is at {self.url}, profile {self.profile!r} is of {profile.url}: log "
                "in there with another --profile name"
            )
        return profile.connect()
