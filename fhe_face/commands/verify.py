"""``fhe-face verify``: do two photos show one person? Both sides run on this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from fhe_core.formats.preparation import ENTRY
from fhe_face.client.embedding import Embedded
from fhe_face.client.health import UnhealthyResultError
from fhe_face.client.verification import Verification, compare, told
from fhe_face.commands.both_sides import KeyOptions, both_sides
from fhe_face.commands.face_options import FaceOptions
from fhe_face.facts import require_same_preparation
from fhe_face.failures import DIFFERENT, NOT_SURE, CommandError, describe
from fhe_face.local.sides import LocalServer
from fhe_face.models.checkpoint import load
from fhe_face.models.thresholds import Thresholds, Verdict
from fhe_face.network import caution, require_thresholds, weights_file
from fhe_face.output import Output, facts
from fhe_face.photos.preparation import PreparedFace
from fhe_face.system import seconds, size

STATUS = {Verdict.SAME: 0, Verdict.DIFFERENT: DIFFERENT, Verdict.NOT_SURE: NOT_SURE}
SAW = "evaluation keys, weights and encrypted faces; no photo, no embedding, no answer"
TWO_VIEWS = "the thresholds were measured without mirror images"


@dataclass(frozen=True)
class Request:
    """What the options ask for."""

    photos: tuple[Path, Path]
    weights: Path
    keys: KeyOptions
    twice: bool
    how: FaceOptions


def run(request: Request, as_json: bool) -> None:
    """Print the answer; ends with the status of the verdict, or 3 where a face was refused."""
    output = Output(as_json)
    file = weights_file(request.weights)
    checkpoint = load(file)
    thresholds = require_thresholds(checkpoint)
    demonstration = caution(checkpoint)
    if demonstration is not None:
        output.warn(demonstration)
    started = time.perf_counter()
    faces = _faces(request, checkpoint.input_size, output)
    with output.stages() as stage, both_sides(request.keys, checkpoint, output, stage) as sides:
        client, server = sides
        if client.circuit.views > 1:
            output.warn(TWO_VIEWS)
        found = client.embed(faces, server, twice=request.twice)
    data = {
        "weights": str(file),
        "bundled_weights": demonstration is not None,
        "photos": [
            {"photo": str(photo), **face.facts()}
            for photo, face in zip(request.photos, faces, strict=True)
        ],
        "keys": None if request.keys.folder is None else str(request.keys.folder),
        **_measured(found, server, time.perf_counter() - started),
    }
    answer = _answer(found, request.photos, thresholds, data)
    data = _said(answer) | data
    output.answer(data, lambda console: _show(console, answer, data))
    raise SystemExit(STATUS[answer.verdict])


def _faces(request: Request, pixels: int, output: Output) -> list[PreparedFace]:
    """Before any key is made: most photos that cannot be used are known here."""
    aligner = request.how.aligner(pixels)
    faces = [request.how.prepared(photo, pixels, output, aligner) for photo in request.photos]
    require_same_preparation(*({ENTRY: face.preparation.describe()} for face in faces))
    return faces


def _answer(
    found: Embedded, photos: tuple[Path, Path], thresholds: Thresholds, data: dict[str, Any]
) -> Verification:
    names = str(photos[0]), str(photos[1])
    try:
        return compare(found.results[0], found.results[1], thresholds, names)
    except UnhealthyResultError as error:
        described = describe(error)
        details = described.details() | {"verdict": None} | data
        raise CommandError(f"no answer: {error}", described.status, details) from None


def _said(answer: Verification) -> dict[str, Any]:
    """The answer itself, for JSON."""
    return {
        **told(answer.cosine, answer.thresholds),
        "cosine": answer.cosine,
        "healthy": True,
        "squared_norms": [report.squared_norms[0] for report in answer.health],
    }


def _measured(found: Embedded, server: LocalServer, elapsed: float) -> dict[str, Any]:
    reports = server.reports
    return {
        "seconds": elapsed,
        "server_load_seconds": sum(report["load_seconds"] for report in reports),
        "embed_seconds": sum(sum(report["embed_seconds"]) for report in reports),
        "rounds": [one.faces for one in found.rounds],
        "contrasts": [one.contrast for one in found.rounds],
        "requests": len(reports),
        "ciphertext_bytes": server.ciphertext_bytes,
        "server_saw": SAW,
        "threads": server.threads,
    }


def _show(console: Console, answer: Verification, data: dict[str, Any]) -> None:
    console.print(str(answer), markup=False, soft_wrap=True)
    rows: Sequence[tuple[str, object]] = [
        ("network", data["weights"]),
        ("time", _times(data)),
        ("the server saw", SAW),
        ("sent to it", f"{size(data['ciphertext_bytes'])} in {_requests(data['requests'])}"),
    ]
    console.print(facts("", rows))


def _times(data: dict[str, Any]) -> str:
    return f"{seconds(data['seconds'])}, of it {seconds(data['embed_seconds'])} on encrypted faces"


def _requests(count: int) -> str:
    return "one request" if count == 1 else f"{count} requests"
