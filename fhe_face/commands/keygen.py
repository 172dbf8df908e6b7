"""``fhe-face keygen``"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from fhe_core.container import Kind, file_kind, read_header
from fhe_core.files import keeps_modes_private, require_replaceable, shown
from fhe_core.secret.files import PROTECTION, Passphrase, load_secret_key
from fhe_face.circuit import INPUT_SIZE, circuit_of, normalisation_of, packings_for
from fhe_face.client.keymaking import (
    CLIENT_KEY,
    EVALUATION_KEY,
    check_target,
    make_keys,
    make_more_keys,
)
from fhe_face.engine import DEFAULT_PACKINGS, Engine, choose_engine, compile_engine
from fhe_face.failures import USAGE, CommandError
from fhe_face.output import Output, facts
from fhe_face.places import Packing
from fhe_face.system import default_threads, seconds, size


@dataclass(frozen=True)
class Request:
    """What the command line says.

    key: of a client that gets further evaluation keys, instead of new ones; the circuit is its own.
    """

    folder: Path
    key: Path | None
    face_size: int | None
    flip: bool
    batch: bool
    coefficients: Path | None
    client_normalises: bool
    force: bool
    threads: int | None


def run(request: Request, passphrase: Passphrase, as_json: bool) -> None:
    output = Output(as_json)
    folder = request.folder
    count = request.threads or default_threads()
    if request.key is None:
        check_target(folder, overwrite=request.force)
    elif request.face_size or request.flip or request.coefficients or request.client_normalises:
        text = (
            "--key has a circuit already: leave out --size, --flip, --coefficients and "
            "--client-normalises"
        )
        raise CommandError(text, USAGE)
    elif request.force:
        require_replaceable(folder / EVALUATION_KEY, file_kind(Kind.EVALUATION_KEYS))
    given = _passphrase(request, passphrase)
    if given is not None and folder.is_dir() and not keeps_modes_private(folder):
        output.warn(
            f"{shown(folder)}: the file system keeps no private modes; only the passphrase "
            "protects the secret key"
        )
    with output.stages() as stage:
        stage("compiling the plan", 0, 0)
        engine = _engine(request)
        engine.plans()
        stage("compiling the plan", 1, 1)
        started = time.perf_counter()
        if request.key is None:
            key = make_keys(
                folder,
                engine,
                threads=count,
                passphrase=given,
                overwrite=request.force,
                stage=stage,
            )
        else:
            key = load_secret_key(request.key, threads=count, passphrase=given)
            make_more_keys(
                request.key,
                key,
                folder,
                engine,
                passphrase=given,
                overwrite=request.force,
                stage=stage,
            )
        elapsed = time.perf_counter() - started
    client = request.key or folder / CLIENT_KEY
    evaluation = folder / EVALUATION_KEY
    keys = len(engine.keys())
    data = {
        "client_key": str(client),
        "evaluation_key": str(evaluation),
        "key_id": key.key_id,
        "protected": given is not None,
        "client_key_bytes": client.stat().st_size,
        "evaluation_key_bytes": evaluation.stat().st_size,
        "evaluation_keys": keys,
        "keygen_seconds": elapsed,
        "threads": count,
        "packings": [packing.value for packing in engine.packings],
        "circuit": engine.circuit.describe(),
        "parameters": engine.parameters.describe(),
    }

    def show(console: Console) -> None:
        rows = [
            ("secret key, never give it away", client),
            ("its passphrase", "none" if given is None else "needed to use it"),
            ("evaluation keys, for the server", evaluation),
            ("their size", f"{size(evaluation.stat().st_size)}, {keys} keys"),
            ("for", engine.circuit.summary()),
            ("computed", ", ".join(packing.value for packing in engine.packings)),
            ("parameters", f"'{engine.parameters.name}'"),
            ("key id", key.key_id),
            ("time", seconds(elapsed)),
        ]
        console.print(facts("New keys", rows))

    output.answer(data, show)


def _passphrase(request: Request, passphrase: Passphrase) -> bytes | None:
    """Of new keys the one that was given; an existing key is asked for only where it needs one."""
    if request.key is not None:
        header = read_header(request.key, expect_kind=Kind.SECRET_KEY)
        if PROTECTION not in header.metadata:
            return None
    return passphrase() if callable(passphrase) else passphrase


def _engine(request: Request) -> Engine:
    """Of the keys: those that a client has are made again, with the others that are asked for."""
    batch = (Packing.BATCH,) if request.batch else ()
    if request.key is None:
        views, side = 2 if request.flip else 1, request.face_size or INPUT_SIZE
        normalisation = normalisation_of(request.coefficients)
        packings, raw = (*DEFAULT_PACKINGS, *batch), request.client_normalises
        return choose_engine(normalisation, side, views, packings, client_normalises=raw)
    header = read_header(request.key, expect_kind=Kind.SECRET_KEY)
    return compile_engine(circuit_of(header), (*packings_for(header), *batch))
