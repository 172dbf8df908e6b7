"""``fhe-face keygen``"""

from __future__ import annotations

import time
from pathlib import Path

from rich.console import Console

from fhe_core.files import keeps_modes_private, shown
from fhe_face.circuit import root_of
from fhe_face.client.keymaking import CLIENT_KEY, EVALUATION_KEY, check_target, make_keys
from fhe_face.engine import choose_engine
from fhe_face.output import Output, facts
from fhe_face.system import default_threads, seconds, size


def run(
    folder: Path,
    face_size: int,
    flip: bool,
    batch: bool,
    coefficients: Path | None,
    passphrase: bytes | None,
    force: bool,
    threads: int | None,
    as_json: bool,
) -> None:
    output = Output(as_json)
    check_target(folder, overwrite=force)
    if passphrase is not None and folder.is_dir() and not keeps_modes_private(folder):
        output.warn(
            f"{shown(folder)}: the file system keeps no private modes; only the passphrase "
            "protects the secret key"
        )
    with output.stages() as stage:
        stage("compiling the plan", 0, 0)
        engine = choose_engine(root_of(coefficients), face_size, 2 if flip else 1, batch)
        stage("compiling the plan", 1, 1)
        started = time.perf_counter()
        count = threads or default_threads()
        key = make_keys(
            folder, engine, threads=count, passphrase=passphrase, overwrite=force, stage=stage
        )
        elapsed = time.perf_counter() - started
    client, evaluation = folder / CLIENT_KEY, folder / EVALUATION_KEY
    keys = len(engine.keys())
    data = {
        "client_key": str(client),
        "evaluation_key": str(evaluation),
        "key_id": key.key_id,
        "protected": passphrase is not None,
        "client_key_bytes": client.stat().st_size,
        "evaluation_key_bytes": evaluation.stat().st_size,
        "evaluation_keys": keys,
        "keygen_seconds": elapsed,
        "threads": count,
        "circuit": engine.circuit.describe(),
        "parameters": engine.parameters.describe(),
    }

    def show(console: Console) -> None:
        rows = [
            ("secret key, never give it away", client),
            ("its passphrase", "none" if passphrase is None else "needed to use it"),
            ("evaluation keys, for the server", evaluation),
            ("their size", f"{size(evaluation.stat().st_size)}, {keys} keys"),
            ("for", engine.circuit.summary()),
            ("parameters", f"'{engine.parameters.name}'"),
            ("key id", key.key_id),
            ("time", seconds(elapsed)),
        ]
        console.print(facts("New keys", rows))

    output.answer(data, show)
