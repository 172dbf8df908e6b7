"""``fhe-face encrypt``"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from fhe_core.container import Kind, file_kind
from fhe_core.formats.ciphertexts import save_bundle
from fhe_core.outputs import Outputs
from fhe_core.secret.files import Passphrase
from fhe_face.client.client import FaceClient
from fhe_face.client.names import NAMES
from fhe_face.client.picture_files import picture_files
from fhe_face.client.preparation import PreparedFace
from fhe_face.commands import encrypt_batch
from fhe_face.commands.face_options import FaceOptions
from fhe_face.commands.inputs import kinds_for
from fhe_face.failures import USAGE, CommandError
from fhe_face.output import Output
from fhe_face.system import seconds, size


def run(
    images: Sequence[Path],
    key: Path,
    target: Path,
    how: FaceOptions,
    names: Path | None,
    passphrase: Passphrase,
    threads: int | None,
    as_json: bool,
) -> None:
    output = Output(as_json)
    outputs = Outputs(key, *images)
    outputs.add(target, file_kind(Kind.CIPHERTEXT, kinds_for(key, Kind.SECRET_KEY).image))
    outputs.add(names, NAMES)
    client = FaceClient.load(key, threads=threads, passphrase=passphrase)
    files, others = picture_files(images)
    images = [file.path for file in files]
    if others:
        output.note(f"{others} files in the folders are no pictures and are left out")
    if client.circuit.batch:
        encrypt_batch.run(output, client, images, target, how, names)
        output.replaced(outputs)
        return
    if len(images) > 1:
        raise CommandError(
            f"{key}: encrypts one image at a time; for many at once, make keys for batches "
            "(fhe-face keygen --batch)",
            USAGE,
        )
    if names is not None:
        raise CommandError(f"{key}: --names is for batches (fhe-face keygen --batch)", USAGE)
    image = images[0]
    prepared = how.prepared(image, client.circuit.input_size, output)
    with output.stages() as stage:
        stage("compiling the plan", 0, 0)
        engine = client.engine
        stage("compiling the plan", 1, 1)
        stage("encrypting", 0, 0)
        started = time.perf_counter()
        bundle = client.encrypt(prepared)
        elapsed = time.perf_counter() - started
        written = save_bundle(target, bundle).total_bytes
        stage("encrypting", 1, 1)
    data = {
        "image": str(image),
        "ciphertext": str(target),
        "ciphertext_bytes": written,
        "key_id": client.key_id,
        "encrypt_seconds": elapsed,
        "parameters": engine.parameters.name,
        **prepared.facts(),
    }
    data["preparation"] = bundle.facts["preparation"]

    def show(console: Console) -> None:
        text = f"{target}: the encrypted face, {size(written)}, in {seconds(elapsed)}"
        console.print(f"{text}\n{described(prepared)}", markup=False, soft_wrap=True)

    output.replaced(outputs)
    output.answer(data, show)


def described(face: PreparedFace) -> str:
    """How a face was prepared, for people."""
    side = face.preparation.size
    if face.prepared == "aligned":
        return f"aligned: face {face.chosen} of {face.faces} in the picture, {side}x{side}"
    if face.prepared == "fallback":
        return "NOT aligned: the whole picture, scaled"
    return f"taken as it is: a crop of {side}x{side}"
