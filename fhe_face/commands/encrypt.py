"""``fhe-face encrypt``"""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from fhe_core.runtime.store import save_bundle
from fhe_face.client import FaceClient
from fhe_face.engine import INPUT_SIZE
from fhe_face.images import load_unit
from fhe_face.output import Output
from fhe_face.system import require_writable, seconds, size


def run(
    image: Path, key: Path, target: Path, resize: bool, threads: int | None, as_json: bool
) -> None:
    output = Output(as_json)
    require_writable(target)
    unit = load_unit(image, INPUT_SIZE, resize)
    client = FaceClient.load(key, threads=threads)
    with output.stages() as stage:
        stage("compiling the plan", 0, 0)
        engine = client.engine
        stage("compiling the plan", 1, 1)
        stage("encrypting", 0, 0)
        started = time.perf_counter()
        bundle = client.encrypt(unit)
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
    }

    def show(console: Console) -> None:
        text = f"{target}: the encrypted face, {size(written)}, in {seconds(elapsed)}"
        console.print(text, markup=False, soft_wrap=True)

    output.answer(data, show)
