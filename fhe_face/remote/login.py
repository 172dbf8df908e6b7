"""Where a server is and what it is asked with, kept in a file that only its owner reads.

The token never stands in an argument or in the environment, which other processes can read.
"""

from __future__ import annotations

import getpass
import json
import os
import re
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fhe_core.files import FileError, one_line, read_bounded, reason_of, shown, write_whole
from fhe_face.circuit import Circuit, CircuitError
from fhe_face.remote.address import checked_token, checked_url
from fhe_face.remote.answers import Fields
from fhe_face.remote.connection import Connection
from fhe_face.remote.errors import BadAnswer, LoginError

DEFAULT: Final = "default"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VERSION: Final = 1
_MOST_BYTES: Final = 16 << 10
_API: Final = "v1"
_MOST_CIRCUITS: Final = 256


@dataclass(frozen=True)
class Profile:
    """A server's address, the token, and who signs its certificate where that is no public
    authority."""

    url: str
    token: str = field(repr=False)
    ca: str | None = None

    def connect(self) -> Connection:
        """Sends nothing yet. LoginError: the file of certificates cannot be used."""
        return Connection(self.url, self.token, ca=self.ca)

    def to_bytes(self) -> bytes:
        """For the file."""
        content = {"version": _VERSION, "url": self.url, "token": self.token, "ca": self.ca}
        return (json.dumps(content, indent=1) + "\n").encode()

    @classmethod
    def from_bytes(cls, data: bytes, source: str) -> Profile:
        """Inverse of `to_bytes`. LoginError: anything else."""
        try:
            content = json.loads(data)
            if content["version"] != _VERSION:
                raise LoginError(f"{source}: was written by another version; log in again")
            ca = content["ca"]
            if ca is None or isinstance(ca, str):
                return cls(checked_url(content["url"]), checked_token(content["token"]), ca)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            pass
        raise LoginError(f"{source}: is no profile; log in again (fhe-face remote login URL)")


@dataclass(frozen=True)
class About:
    """What a server says of itself and of the token.

    circuits: what it computes, for people. gallery: digest of its small ring.
    """

    version: str
    tenant: str
    scopes: tuple[str, ...]
    circuits: tuple[str, ...]
    gallery: str
    quota_bytes: int | None
    used_bytes: int | None

    def to_json(self) -> dict[str, Any]:
        """Plain values by name."""
        return {**vars(self), "scopes": list(self.scopes), "circuits": list(self.circuits)}


def about(connection: Connection) -> About:
    """Ask a server who it is.

    Raises:
        Refused: the token is not valid (status 401). BadAnswer: it speaks another interface.
    """
    fields = connection.get(f"{_API}/about").fields()
    if fields.text("api", 16) != _API:
        raise BadAnswer(f"the server speaks {fields.shown('api')!r}, this program {_API}")
    scopes = tuple(
        str(one) for one in fields.list("scopes", 32) if isinstance(one, str) and one.isidentifier()
    )
    gallery, quota = fields.inner("gallery"), fields.inner("quota")
    return About(
        fields.shown("version"),
        fields.shown("tenant"),
        scopes,
        tuple(map(_summary, fields.list("circuits", _MOST_CIRCUITS))),
        gallery.digest("parameters"),
        _maybe_bytes(quota, "bytes"),
        _maybe_bytes(quota, "bytes_used"),
    )


def _summary(circuit: Any) -> str:
    try:
        return Circuit.from_description(circuit).summary()
    except CircuitError as error:
        raise BadAnswer(f"the server computes what there is not: {one_line(str(error))}") from None


def _maybe_bytes(fields: Fields, name: str) -> int | None:
    return None if fields.values.get(name) is None else fields.integer(name, 0, 1 << 60)


def profile_path(name: str = DEFAULT) -> Path:
    """Where a profile is kept. LoginError: that cannot be its name."""
    if not _NAME.fullmatch(name):
        raise LoginError(f"{name[:80]!r}: a profile's name has 1 to 64 of A-Z a-z 0-9 . _ -")
    base = os.environ.get("XDG_CONFIG_HOME", "")
    root = Path(base) if os.path.isabs(base) else Path.home() / ".config"
    return root / "fhe-face" / "servers" / f"{name}.json"


def save(profile: Profile, name: str = DEFAULT) -> Path:
    """Write a profile, mode 0600, in a folder of mode 0700; the file. FileError: it cannot be."""
    path = profile_path(name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise FileError(f"cannot create {shown(path.parent)}: {reason_of(error)}") from error
    write_whole(path, profile.to_bytes(), private=True)
    return path


def load(name: str = DEFAULT) -> Profile:
    """The profile of that name.

    Raises:
        LoginError: there is none, it is damaged, or others can read the token in it.
    """
    path = profile_path(name)
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        chosen = "" if name == DEFAULT else f" --profile {name}"
        raise LoginError(f"not logged in: fhe-face remote login URL{chosen}") from None
    except OSError as error:
        raise LoginError(f"{shown(path)}: {reason_of(error)}") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise LoginError(
            f"{shown(path)}: others can read the token in it (mode {mode:04o}): revoke the token, "
            "or chmod 600 the file if nobody has"
        )
    return Profile.from_bytes(read_bounded(path, _MOST_BYTES), shown(path))


def forget(name: str = DEFAULT) -> bool:
    """Remove a profile; whether there was one. LoginError: it cannot be removed."""
    path = profile_path(name)
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise LoginError(f"{shown(path)}: {reason_of(error)}") from error
    return True


def read_token(file: Path | None) -> str:
    """The token from a file of one line, or asked for without an echo.

    Raises:
        LoginError: there is no terminal to ask on, or it is no token. FileError: as `read_bounded`.
    """
    if file is not None:
        text = read_bounded(file, 1024).decode("ascii", "replace")
        return checked_token(text.strip(), f"what stands in {shown(file)}")
    if not sys.stdin.isatty():
        raise LoginError("the token is asked for on a terminal; without one, give --token-file")
    try:
        return checked_token(getpass.getpass("token: ").strip())
    except EOFError:
        raise LoginError("no token was given") from None
