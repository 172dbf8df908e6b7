"""``fhe-face encrypt`` with keys for batches: many images, one file."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from fhe_core.formats.ciphertexts import save_bundle
from fhe_face.client.client import FaceClient
from fhe_face.client.names import save_names
from fhe_face.client.preparation import PreparedFace
from fhe_face.commands.face_options import FaceOptions
from fhe_face.failures import USAGE, CommandError
from fhe_face.output import Output
from fhe_face.system import seconds, size


def run(
    output: Output,
    client: FaceClient,
    images: Sequence[Path],
    target: Path,
    how: FaceOptions,
    names: Path | None,
) -> None:
    """Encrypt images in the given order. CommandError where they are too many, or unlike."""
    if how.face is not None and len(images) > 1:
        raise CommandError("--face is for one image", USAGE)
    with output.stages() as stage:
        stage("compiling the plan", 0, 0)
        capacity = client.capacity
        stage("compiling the plan", 1, 1)
        if len(images) > capacity:
            raise CommandError(f"{len(images)} images; a batch holds at most {capacity}", USAGE)
        side = client.circuit.input_size
        aligner = how.aligner(side)
        prepared: list[PreparedFace] = []
        for number, image in enumerate(images):
            stage("preparing faces", number, len(images))
            one = how.prepared(image, side, output, aligner)
            if one.preparation != (prepared or [one])[0].preparation:
                raise CommandError(
                    f"{image}: prepared differently from {images[0]}: faces of one batch must all "
                    "be photos, or all be crops made in the same way"
                )
            prepared.append(one)
        stage("preparing faces", len(images), len(images))
        stage("encrypting", 0, 0)
        started = time.perf_counter()
        bundle = client.encrypt_many(prepared)
        elapsed = time.perf_counter() - started
        written = save_bundle(target, bundle).total_bytes
        if names is not None:
            save_names(names, [str(image) for image in images])
        stage("encrypting", 1, 1)
    data = {
        "images": [str(image) for image in images],
        "ciphertext": str(target),
        "ciphertext_bytes": written,
        "names": None if names is None else str(names),
        "capacity": capacity,
        "key_id": client.key_id,
        "encrypt_seconds": elapsed,
        "parameters": client.engine.parameters.name,
        "faces": [one.facts() for one in prepared],
        "preparation": bundle.facts["preparation"],
    }

    def show(console: Console) -> None:
        many = f"{len(images)} of at most {capacity} encrypted faces"
        text = f"{target}: {many}, {size(written)}, in {seconds(elapsed)}"
        console.print(text, markup=False, soft_wrap=True)

    output.answer(data, show)
