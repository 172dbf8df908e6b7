"""``fhe-face verify``: do two photos show one person? Both sides run on this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from fhe_core.container import Kind, read_header, require_match
from fhe_core.formats.preparation import ENTRY
from fhe_core.secret.files import Passphrase
from fhe_face.circuit import normalisation_of
from fhe_face.client.client import FaceClient
from fhe_face.client.embedding import Embedded
from fhe_face.client.health import UnhealthyResultError
from fhe_face.client.keymaking import CLIENT_KEY, EVALUATION_KEY
from fhe_face.client.verification import Verification, compare, told
from fhe_face.commands.face_options import FaceOptions
from fhe_face.commands.inputs import warn_of_little_memory
from fhe_face.engine import choose_engine
from fhe_face.facts import require_same_preparation
from fhe_face.failures import DIFFERENT, NOT_SURE, USAGE, CommandError, describe
from fhe_face.local.sides import LocalServer, fresh_client
from fhe_face.models.checkpoint import Checkpoint, load
from fhe_face.models.thresholds import Thresholds, Verdict
from fhe_face.network import caution, recommended_normalisation, require_thresholds, weights_file
from fhe_face.output import Output, facts
from fhe_face.photos.preparation import PreparedFace
from fhe_face.progress import Stage
from fhe_face.system import seconds, size, temporary_folder

STATUS = {Verdict.SAME: 0, Verdict.DIFFERENT: DIFFERENT, Verdict.NOT_SURE: NOT_SURE}
SAW = "evaluation keys, weights and encrypted faces; no photo, no embedding, no answer"
TWO_VIEWS = "the thresholds were measured without mirror images"


@dataclass(frozen=True)
class Request:
    """What the options ask for. keys: a folder from keygen; None: fresh keys for this answer."""

    photos: tuple[Path, Path]
    weights: Path
    keys: Path | None
    passphrase: Passphrase
    flip: bool
    coefficients: Path | None
    twice: bool
    how: FaceOptions
    threads: int

    def __post_init__(self) -> None:
        if self.keys is not None and (self.flip or self.coefficients is not None):
            raise CommandError(
                "--flip and --coefficients belong to keys, and those of --keys have theirs: give "
                "them to keygen, or leave out --keys",
                USAGE,
            )


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
    with _both_sides(request, checkpoint, output) as (client, server):
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
        "keys": None if request.keys is None else str(request.keys),
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


@contextmanager
def _both_sides(
    request: Request, checkpoint: Checkpoint, output: Output
) -> Iterator[tuple[FaceClient, LocalServer]]:
    """The client and what carries bundles to its server; nothing of both is left behind."""
    with temporary_folder("fhe-face-verify-") as new, output.stages() as stage:
        folder = new.resolve()
        if request.keys is None:
            client = _fresh(request, checkpoint, folder, stage)
            keys = folder
        else:
            client = _kept(request, checkpoint, output)
            keys = request.keys.resolve()
        weights = checkpoint.path.resolve()
        warn_of_little_memory(output, client.engine.keys(), client.engine.parameters)
        yield (
            client,
            LocalServer(client, keys / EVALUATION_KEY, weights, folder, request.threads, stage),
        )


def _fresh(request: Request, checkpoint: Checkpoint, folder: Path, stage: Stage) -> FaceClient:
    given = None if request.coefficients is None else normalisation_of(request.coefficients)
    stage("compiling the plan", 0, 0)
    normalisation = given or recommended_normalisation(checkpoint)
    engine = choose_engine(normalisation, checkpoint.input_size, 2 if request.flip else 1)
    stage("compiling the plan", 1, 1)
    remedy = "; set TMPDIR to a folder elsewhere"
    return fresh_client(engine, folder, request.threads, remedy, stage)


def _kept(request: Request, checkpoint: Checkpoint, output: Output) -> FaceClient:
    """The client of a folder from keygen, after checking that the folder's files fit."""
    assert request.keys is not None
    client = FaceClient.load(
        request.keys / CLIENT_KEY,
        threads=request.threads,
        passphrase=request.passphrase,
        warn=output.warn,
    )
    header = read_header(request.keys / EVALUATION_KEY, expect_kind=Kind.EVALUATION_KEYS)
    require_match(header, key_id=client.key_id)
    pixels = client.circuit.input_size
    if pixels != checkpoint.input_size:
        raise CommandError(
            f"{checkpoint.path}: a network for faces of {checkpoint.input_size} pixels; the keys "
            f"in {request.keys} were made for {pixels}"
        )
    return client


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
