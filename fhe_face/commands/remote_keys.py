"""``fhe-face remote push-keys`` and ``remote embed``."""

from __future__ import annotations

import time
from pathlib import Path

from fhe_core.container import Kind, file_kind
from fhe_core.files import shown
from fhe_core.outputs import Outputs
from fhe_face.commands.inputs import check_own
from fhe_face.commands.remote_opening import client_of, connected
from fhe_face.commands.remote_transfer import Steps, Transfer
from fhe_face.failures import INTERRUPTED, CommandError
from fhe_face.output import Output, facts
from fhe_face.places import EMBEDDING, IMAGE
from fhe_face.remote.errors import JobLeft
from fhe_face.remote.pushing import push_keys
from fhe_face.remote.server import RemoteServer
from fhe_face.system import duration, seconds, size


def gone_on(left: JobLeft, how: str) -> CommandError:
    """What is said after Ctrl-C where a job goes on at the server."""
    text = (
        f"interrupted; job {left.job} goes on at the server: {how}; fhe-face remote jobs "
        f"{left.job} shows it, and cancels it with --cancel"
    )
    return CommandError(text, INTERRUPTED, {"job": left.job})


def push(keys: Path, replace: bool, parallel: int, profile: str, as_json: bool) -> None:
    """Send evaluation keys."""
    output = Output(as_json)
    started = time.perf_counter()
    with connected(profile) as connection, output.stages() as stage:
        told = Transfer(output, stage)
        pushed = push_keys(connection, keys, replace=replace, parallel=parallel, stage=told)
    elapsed = time.perf_counter() - started
    data = {
        "key_id": pushed.resource.key_id,
        "id": pushed.id,
        "bytes": pushed.resource.bytes,
        "sent_bytes": pushed.sent,
        "seconds": elapsed,
    }
    rows = [
        ("keys at the server", f"{pushed.id[:32]}, {size(pushed.resource.bytes)}"),
        ("sent now", size(pushed.sent) if pushed.sent else "nothing: they were there"),
        ("time", duration(elapsed)),
    ]
    output.answer(data, lambda console: console.print(facts(f"Keys {shown(keys)}", rows)))


def embed(
    faces: Path,
    key: Path,
    target: Path,
    passphrase_file: Path | None,
    threads: int | None,
    cancel: bool,
    profile: str,
    as_json: bool,
) -> None:
    """Have the server compute embeddings; their file is checked as every answer is."""
    output = Output(as_json)
    check_own(key, [faces], IMAGE)
    outputs = Outputs(key, faces)
    outputs.add(target, file_kind(Kind.CIPHERTEXT, EMBEDDING))
    started = time.perf_counter()
    client = client_of(key, passphrase_file, threads, output)
    with connected(profile) as connection, output.stages() as stage:
        steps = Steps(Transfer(output, stage))
        server = RemoteServer(connection, client, cancels=cancel, stage=steps)
        try:
            server.embed_file(faces, target)
        except JobLeft as left:
            raise gone_on(left, "the same command again fetches its result") from None
    elapsed = time.perf_counter() - started
    written = target.stat().st_size
    data = {
        "faces": str(faces),
        "embeddings": str(target),
        "embedding_bytes": written,
        "key_id": client.key_id,
        "seconds": elapsed,
    }
    rows = [("embeddings", f"{shown(target)}, {size(written)}"), ("time", seconds(elapsed))]
    output.replaced(outputs)
    output.answer(data, lambda console: console.print(facts("Embeddings", rows)))
