"""``fhe-face verify``: two photos, or one and somebody of a gallery? What fits which."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fhe_face import process
from fhe_face.failures import USAGE, CommandError


@dataclass(frozen=True)
class Given:
    """All options as they were typed. CommandError: some that do not go together."""

    first: Path
    second: Path | None
    gallery: Path | None
    subject: str | None
    match: str | None
    embed: str | None
    weights: Path | None
    keys: Path | None
    flip: bool
    coefficients: Path | None
    twice: bool
    whole: bool
    resize: bool
    aligned: bool
    passphrase_file: Path | None
    threads: int | None

    def __post_init__(self) -> None:
        if self.second is not None:
            self._none_of(
                "two photos are compared with each other",
                ("--gallery", self.gallery),
                ("--subject", self.subject),
                ("--match", self.match),
                ("--embed", self.embed),
            )
        elif self.gallery is None and self.subject is None:
            raise CommandError(
                "verify takes two photos, or one with --gallery and --subject", USAGE
            )
        elif self.gallery is None:
            raise CommandError("--subject is somebody of a gallery: give --gallery too", USAGE)
        elif self.subject is None:
            raise CommandError(
                "--gallery: give --subject too, whom the photo may show (fhe-face identify looks "
                "through all)",
                USAGE,
            )
        else:
            self._none_of(
                "a gallery says how its faces are prepared and embedded",
                ("--flip", self.flip),
                ("--coefficients", self.coefficients),
                ("--twice", self.twice),
                ("--whole", self.whole),
                ("--resize", self.resize),
                ("--aligned", self.aligned),
            )

    def _none_of(self, why: str, *options: tuple[str, Any]) -> None:
        for name, value in options:
            if value:
                raise CommandError(f"{why}: leave out {name}", USAGE)


def run(given: Given, as_json: bool) -> None:
    """Import and run what was asked for."""
    if given.second is None:
        process.calm_threads()
        _with_gallery(given, as_json)
    else:
        _two_photos(given, given.second, as_json)


def _two_photos(given: Given, second: Path, as_json: bool) -> None:
    from fhe_face.client import passphrases
    from fhe_face.commands import verify as command
    from fhe_face.commands.both_sides import KeyOptions
    from fhe_face.commands.face_options import FaceOptions
    from fhe_face.commands.options import DEFAULT_WEIGHTS
    from fhe_face.commands.secrecy import hold_secrets
    from fhe_face.output import Output
    from fhe_face.system import default_threads

    secret = None if given.keys is None else given.keys / "client.key"
    hold_secrets(Output(as_json), secret, given.passphrase_file)
    ask = None if secret is None else passphrases.opener(given.passphrase_file, secret)
    threads = given.threads or default_threads()
    keys = KeyOptions(given.keys, ask, given.flip, given.coefficients, threads)
    how = FaceOptions(whole=given.whole, resize=given.resize, aligned=given.aligned)
    weights = given.weights or DEFAULT_WEIGHTS
    command.run(command.Request((given.first, second), weights, keys, given.twice, how), as_json)


def _with_gallery(given: Given, as_json: bool) -> None:
    from fhe_face.commands import verify_subject as command
    from fhe_face.commands.gallery_embedding import EmbedOptions
    from fhe_face.commands.gallery_opening import Opening
    from fhe_face.commands.gallery_options import ENCRYPTED

    assert given.gallery is not None
    assert given.subject is not None
    opening = Opening(given.gallery, given.passphrase_file, given.threads)
    how = EmbedOptions(given.embed or ENCRYPTED, given.keys, given.weights)
    match = given.match or ENCRYPTED
    command.run(opening, given.first, given.subject, how, match, as_json)
