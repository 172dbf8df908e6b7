"""Options of the commands on galleries, here and at a server, each with one name and one text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

ENCRYPTED = "encrypted"
_EMBED_HELP = "how faces are embedded: by a server that cannot decrypt, or in the clear."
_MATCH_HELP = "how faces are compared: sealed, as a server does it, or opened, in the clear."


def _how(name: str, help: str) -> Any:
    return typer.Option(name, metavar="encrypted|local", help=help)


Gallery = Annotated[Path, typer.Argument(help="The folder of the gallery.")]
GalleryOption = Annotated[Path, typer.Option("--gallery", help="The folder of the gallery.")]

# Making a gallery.
NewPassphrase = Annotated[
    bool, typer.Option("--passphrase", help="Ask for a passphrase that protects gallery.key.")
]
NewPassphraseFile = Annotated[
    Path | None,
    typer.Option("--new-passphrase-file", help="A file whose one line is the new passphrase."),
]
Database = Annotated[
    str | None,
    typer.Option(
        "--database", metavar="URL", help="A PostgreSQL database; default: a SQLite file inside."
    ),
]
KeepNames = Annotated[
    bool, typer.Option("--names", help="Keep people's names, sealed; default: ids only.")
]
Searched = Annotated[
    str,
    typer.Option(
        "--template",
        metavar="mean|each",
        help="What is searched: the mean of a person's photos, or each photo.",
    ),
]
OfCrops = Annotated[
    bool, typer.Option("--aligned", help="For pictures that are aligned crops already.")
]

# Keeping a gallery, and giving it another network.
BackupTarget = Annotated[Path, typer.Argument(help="A new folder for the copy.")]
BackupSource = Annotated[Path, typer.Argument(help="The folder of the backup.")]
EnrolledPhotos = Annotated[list[Path], typer.Argument(help="Folders with the photos enrolled.")]
MaybeFlip = Annotated[
    bool | None,
    typer.Option("--flip/--no-flip", help="Average with mirror images; default: as before."),
]
Drop = Annotated[bool, typer.Option("--drop", help="Delete templates whose photo is not found.")]

# How faces are embedded and compared.
Embed = Annotated[str, _how("--embed", _EMBED_HELP.capitalize())]
Match = Annotated[str, _how("--match", _MATCH_HELP.capitalize())]
MaybeEmbed = Annotated[str | None, _how("--embed", f"With --gallery, {_EMBED_HELP}")]
MaybeMatch = Annotated[str | None, _how("--match", f"With --gallery, {_MATCH_HELP}")]
EngineKeys = Annotated[
    Path | None,
    typer.Option("--keys", help="A folder from keygen; default: fresh keys, not kept."),
]
MaybeWeights = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        metavar="official|bundled|FILE",
        help="The network; default: what the gallery was made for.",
    ),
]

# People and photos.
Subject = Annotated[str, typer.Argument(help="A person, by name or id.")]
SubjectOrAll = Annotated[
    str | None, typer.Argument(help="A person, by name or id; default: everybody.")
]
Subjects = Annotated[list[str] | None, typer.Argument(help="People, by name or id.")]
Deleted = Annotated[bool, typer.Option("--deleted", help="Deleted people and photos too.")]
Templates = Annotated[
    list[str] | None,
    typer.Option(
        "--template",
        metavar="ID|PHOTO",
        help="A template: its id, the start of it, or the photo it is of; repeatable.",
    ),
]
Again = Annotated[bool, typer.Option("--again", help="Try photos again that were refused before.")]
PeopleFolders = Annotated[
    list[Path],
    typer.Argument(
        metavar="FOLDER...",
        help="Folders of people; of other photos every face becomes a person.",
    ),
]
Photos = Annotated[list[Path], typer.Argument(help="Photos, or folders of them.")]

# Identifying.
Top = Annotated[int, typer.Option("--top", min=1, help="Candidates that are told.")]
Largest = Annotated[bool, typer.Option("--largest", help="Only the largest face of each photo.")]
Picture = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", help="Write the photo with boxes and answers; a folder for several."
    ),
]
TellScores = Annotated[
    bool, typer.Option("--scores", help="Cosines too, in JSON. Do not share them.")
]

# Verifying: two photos, or one and somebody of a gallery.
FirstPhoto = Annotated[Path, typer.Argument(help="A photo, or an aligned face.")]
SecondPhoto = Annotated[
    Path | None, typer.Argument(help="Another one; or give --gallery and --subject.")
]
MaybeGallery = Annotated[
    Path | None, typer.Option("--gallery", help="Compare with somebody of this gallery.")
]
MaybeSubject = Annotated[
    str | None, typer.Option("--subject", help="Who of the gallery, by name or id.")
]
Twice = Annotated[
    bool, typer.Option("--twice", help="Compute every face twice: crafted images differ.")
]
