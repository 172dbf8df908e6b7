"""``fhe-face encrypt``: one image or many, in one file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from fhe_core.container import Kind, file_kind, read_header
from fhe_core.formats.ciphertexts import save_bundle
from fhe_core.formats.purpose import is_for_device
from fhe_core.outputs import Outputs
from fhe_core.secret.files import Passphrase
from fhe_face.client.client import FaceClient
from fhe_face.client.device_client import DeviceClient
from fhe_face.client.names import NAMES, save_names
from fhe_face.client.receipts import RECEIPT, save_receipt
from fhe_face.commands.face_options import FaceOptions
from fhe_face.failures import USAGE, CommandError
from fhe_face.output import Output
from fhe_face.photos.picture_files import picture_files
from fhe_face.photos.preparation import PreparedFace
from fhe_face.places import IMAGE, MAX_FACES, Packing, Run
from fhe_face.progress import Stage
from fhe_face.system import seconds, size


@dataclass(frozen=True)
class Request:
    """What the command line says; memory: of the server, in bytes; contrast: as for
    `FaceClient.encrypt`."""

    images: Sequence[Path]
    key: Path
    target: Path
    how: FaceOptions
    names: Path | None
    alone: bool
    memory: int | None
    threads: int | None
    contrast: float = 1.0
    receipt: Path | None = None


#: Who encrypts: the owner of a key, or one of its devices.
Sender = FaceClient | DeviceClient


def run(request: Request, passphrase: Passphrase, as_json: bool) -> None:
    target, names = request.target, request.names
    output = Output(as_json)
    files, others = picture_files(request.images)
    images = [file.path for file in files]
    if others:
        output.note(f"{others} files in the folders are no pictures and are left out")
    if request.how.face is not None and len(images) > 1:
        raise CommandError("--face is for one image", USAGE)
    if len(images) > MAX_FACES:
        raise CommandError(f"{len(images)} images; a file holds at most {MAX_FACES}", USAGE)
    outputs = Outputs(request.key, *images)
    outputs.add(target, file_kind(Kind.CIPHERTEXT, IMAGE))
    outputs.add(names, NAMES)
    outputs.add(request.receipt, RECEIPT)
    client = _sender(request, passphrase)
    packings = [Packing.ALONE] if request.alone else None
    runs = client.plan(len(images), packings=packings, memory=request.memory)
    with output.stages() as stage:
        prepared = _prepared(images, request.how, client, output, stage)
        stage("compiling the plan", 0, 0)
        for packing in {one.packing for one in runs}:
            client.engine.of(packing)
        stage("compiling the plan", 1, 1)
        stage("encrypting", 0, 0)
        started = time.perf_counter()
        bundle = client.encrypt(prepared, runs=runs, contrast=request.contrast)
        elapsed = time.perf_counter() - started
        written = save_bundle(target, bundle).total_bytes
        if names is not None:
            save_names(names, [str(image) for image in images])
        if request.receipt is not None:
            save_receipt(request.receipt, bundle)
        stage("encrypting", 1, 1)
    data = {
        "images": [str(image) for image in images],
        "ciphertext": str(target),
        "ciphertext_bytes": written,
        "runs": bundle.facts["runs"],
        "names": None if names is None else str(names),
        "receipt": None if request.receipt is None else str(request.receipt),
        **senders(client),
        "encrypt_seconds": elapsed,
        "parameters": client.engine.parameters.name,
        "faces": [one.facts() for one in prepared],
        "preparation": bundle.facts["preparation"],
    }

    def show(console: Console) -> None:
        many = "the encrypted face" if len(images) == 1 else f"{len(images)} encrypted faces"
        text = f"{target}: {many}, {size(written)}, in {seconds(elapsed)}"
        text += f"\nto be computed {in_words(runs)}" if len(images) > 1 else ""
        text += f"\n{described(prepared[0])}" if len(images) == 1 else ""
        console.print(text, markup=False, soft_wrap=True)

    output.replaced(outputs)
    output.answer(data, show)


def _sender(request: Request, passphrase: Passphrase) -> Sender:
    """The owner of a key, or a device, whichever the key file is of."""
    if is_for_device(read_header(request.key, expect_kind=Kind.SECRET_KEY)):
        return DeviceClient.load(request.key, threads=request.threads)
    return FaceClient.load(request.key, threads=request.threads, passphrase=passphrase)


def senders(client: Sender) -> dict[str, str | None]:
    """For JSON: whose the results will be, and which device sends."""
    if isinstance(client, DeviceClient):
        return {"key_id": client.owner, "device": client.key_id}
    return {"key_id": client.key_id, "device": None}


def _prepared(
    images: Sequence[Path], how: FaceOptions, client: Sender, output: Output, stage: Stage
) -> list[PreparedFace]:
    """All faces. CommandError where they are unlike, which names the image."""
    side = client.circuit.input_size
    aligner = None if len(images) == 1 else how.aligner(side)
    prepared: list[PreparedFace] = []
    for number, image in enumerate(images):
        stage("preparing faces", number, len(images))
        one = how.prepared(image, side, output, aligner)
        if one.preparation != (prepared or [one])[0].preparation:
            raise CommandError(
                f"{image}: prepared differently from {images[0]}: faces of one file must all be "
                "photos, or all be crops made in the same way"
            )
        prepared.append(one)
    stage("preparing faces", len(images), len(images))
    return prepared


def in_words(runs: Sequence[Run]) -> str:
    """How runs are computed, for people: "in a batch of 64, 3 alone"."""
    parts = [f"in a batch of {run.faces}" for run in runs if run.packing is Packing.BATCH]
    single = len(runs) - len(parts)
    parts += [f"{single} alone"] if single else []
    return ", ".join(parts)


def described(face: PreparedFace) -> str:
    """How a face was prepared, for people."""
    side = face.preparation.size
    if face.prepared == "aligned":
        return f"aligned: face {face.chosen} of {face.faces} in the picture, {side}x{side}"
    if face.prepared == "fallback":
        return "NOT aligned: the whole picture, scaled"
    return f"taken as it is: a crop of {side}x{side}"
