"""``fhe-face remote verify``: two photos, or a photo and somebody of a gallery, by a server."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from fhe_core.formats.preparation import ENTRY
from fhe_face.client.health import UnhealthyResultError
from fhe_face.client.verification import Verification, compare, told
from fhe_face.commands import verify_subject
from fhe_face.commands.face_options import FaceOptions
from fhe_face.commands.gallery_embedding import say_caution
from fhe_face.commands.remote_opening import (
    client_of,
    connected,
    embedding,
    opening,
    server_for,
)
from fhe_face.commands.verify import SAW, STATUS, TWO_VIEWS
from fhe_face.facts import require_same_preparation
from fhe_face.failures import USAGE, CommandError, describe
from fhe_face.models.checkpoint import load
from fhe_face.network import require_thresholds, weights_file
from fhe_face.output import Output, facts
from fhe_face.system import seconds


@dataclass(frozen=True)
class Request:
    """What the options ask for. CommandError: no keys, so nothing to encrypt by."""

    photos: tuple[Path, Path]
    keys: Path | None
    weights: Path | None
    twice: bool
    how: FaceOptions
    passphrase_file: Path | None
    threads: int | None
    profile: str

    def __post_init__(self) -> None:
        if self.keys is None:
            raise CommandError(
                "two photos take --keys, a folder from keygen (fhe-face remote push-keys sends its "
                "evaluation keys)",
                USAGE,
            )


def somebody(
    photo: Path,
    gallery: Path | None,
    subject: str | None,
    match: str,
    keys: Path | None,
    weights: Path | None,
    passphrase_file: Path | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Whether a photo shows somebody of a gallery at a server."""
    if gallery is None or subject is None:
        raise CommandError("give a second photo, or --gallery and --subject", USAGE)
    opened = opening(gallery, passphrase_file, threads)
    how = embedding(keys, weights, gallery)
    verify_subject.run(opened, photo, subject, how, match, as_json)


def pair(request: Request, as_json: bool) -> None:
    """Print the answer; ends with the status of the verdict, or 3 where a face was refused."""
    output = Output(as_json)
    checkpoint = load(weights_file(request.weights))
    thresholds = require_thresholds(checkpoint)
    say_caution(checkpoint, output)
    started = time.perf_counter()
    pixels = checkpoint.input_size
    aligner = request.how.aligner(pixels)
    faces = [request.how.prepared(photo, pixels, output, aligner) for photo in request.photos]
    require_same_preparation(*({ENTRY: face.preparation.describe()} for face in faces))
    assert request.keys is not None
    client = client_of(request.keys, request.passphrase_file, request.threads, output)
    if client.circuit.views > 1:
        output.warn(TWO_VIEWS)
    with connected(request.profile) as connection, output.stages() as stage:
        server = server_for(connection, client, checkpoint, output, stage)
        found = client.embed(faces, server, twice=request.twice)
    data: dict[str, Any] = {
        "weights": str(checkpoint.path),
        "photos": [
            {"photo": str(photo), **face.facts()}
            for photo, face in zip(request.photos, faces, strict=True)
        ],
        "server": connection.url,
        "server_saw": SAW,
        "server_seconds": found.seconds,
        "seconds": time.perf_counter() - started,
    }
    names = str(request.photos[0]), str(request.photos[1])
    try:
        answer = compare(found.results[0], found.results[1], thresholds, names)
    except UnhealthyResultError as error:
        described = describe(error)
        details = described.details() | {"verdict": None} | data
        raise CommandError(f"no answer: {error}", described.status, details) from None
    data = {**told(answer.cosine, answer.thresholds), "cosine": answer.cosine} | data
    output.answer(data, lambda console: _show(console, answer, data))
    raise SystemExit(STATUS[answer.verdict])


def _show(console: Console, answer: Verification, data: dict[str, Any]) -> None:
    console.print(str(answer), markup=False, soft_wrap=True)
    rows = [
        ("network", data["weights"]),
        ("server", data["server"]),
        ("the server saw", SAW),
        ("time", f"{seconds(data['seconds'])}, of it {seconds(data['server_seconds'])} there"),
    ]
    console.print(facts("", rows))
