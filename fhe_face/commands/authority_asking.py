"""``fhe-face authority announce|ask|answer``: whoever asks holds no key that decrypts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fhe_face.commands.options import Json

if TYPE_CHECKING:
    from fhe_face.commands.authority_caller import Asked

app = typer.Typer()
_Url = Annotated[str, typer.Argument(help="Where the authority is, such as https://host:8444.")]
_TokenFile = Annotated[
    Path | None,
    typer.Option("--token-file", help="A file whose one line is the token; default: asked for."),
]
_Ca = Annotated[
    Path | None, typer.Option("--ca", help="Certificates that may sign the authority's.")
]
_Face = Annotated[
    Path | None,
    typer.Option("--face", help="The encrypted face that was sent, whose result it is."),
]
_Probe = Annotated[
    Path | None, typer.Option("--probe", help="The sealed probe that was sent, for a search.")
]
_Subject = Annotated[str | None, typer.Option("--subject", help="Who it is said to be.")]
_Gallery = Annotated[str | None, typer.Option("--gallery", help="The gallery that is searched.")]
_Enrol = Annotated[
    bool, typer.Option("--enrol", help="Not a question: compare with this face from now on.")
]
_Names = Annotated[
    bool, typer.Option("--names", help="Be told who was found; takes a token for it.")
]


@app.command(help="Tell an authority of a request, before its result comes.")
def announce(
    url: _Url,
    face: _Face = None,
    probe: _Probe = None,
    subject: _Subject = None,
    gallery: _Gallery = None,
    enrol: _Enrol = False,
    names: _Names = False,
    token_file: _TokenFile = None,
    ca: _Ca = None,
    json: Json = False,
) -> None:
    """Prints the request's id, for `answer`."""
    from fhe_face.commands import authority_caller

    asked = _asked(face, probe, subject, gallery, enrol, names)
    authority_caller.announce(authority_caller.Place(url, token_file, ca), asked, json)


@app.command(help="Hand in a result, and be told match, uncertain or unknown.")
def ask(
    url: _Url,
    result: Annotated[Path, typer.Argument(help="An encrypted score or embedding, or scores.")],
    face: _Face = None,
    probe: _Probe = None,
    subject: _Subject = None,
    gallery: _Gallery = None,
    enrol: _Enrol = False,
    names: _Names = False,
    token_file: _TokenFile = None,
    ca: _Ca = None,
    json: Json = False,
) -> None:
    """With --face or --probe the request is announced first. Ends with status 0 for a match or a
    healthy enrolment, 4 unknown, 5 uncertain, 3 refused."""
    from fhe_face.commands import authority_caller

    asked = _asked(face, probe, subject, gallery, enrol, names)
    authority_caller.ask(authority_caller.Place(url, token_file, ca), result, asked, json)


@app.command(help="Be told the answer to a request of this device.")
def answer(
    url: _Url,
    request: Annotated[str, typer.Argument(help="As `announce` printed it.")],
    token_file: _TokenFile = None,
    ca: _Ca = None,
    json: Json = False,
) -> None:
    """Statuses as of `ask`."""
    from fhe_face.commands import authority_caller

    authority_caller.answer(authority_caller.Place(url, token_file, ca), request, json)


def _asked(
    face: Path | None,
    probe: Path | None,
    subject: str | None,
    gallery: str | None,
    enrol: bool,
    names: bool,
) -> Asked:
    from fhe_face.commands.authority_caller import Asked

    return Asked(face, probe, subject, gallery, enrol, names)
