"""``fhe-face gallery server-only enroll|search``: the server's part, which has no secret key."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fhe_core.container import Kind, file_kind
from fhe_core.files import shown, write_whole
from fhe_core.formats.switching import findings_to_bytes
from fhe_core.matching.crossed import SUBJECT
from fhe_core.outputs import Outputs
from fhe_face.failures import USAGE, CommandError
from fhe_face.output import Output, facts
from fhe_face.server.crossing import CrossingServer
from fhe_face.system import seconds, size


@contextmanager
def _opened(folder: Path, threads: int | None, output: Output) -> Iterator[CrossingServer]:
    with output.stages() as stage:
        stage("reading keys", 0, 0)
        server = CrossingServer.load(folder, threads=threads)
        stage("reading keys", 1, 1)
    try:
        yield server
    finally:
        server.close()


def enroll(folder: Path, result: Path, subject: str, threads: int | None, as_json: bool) -> None:
    output = Output(as_json)
    if not SUBJECT.fullmatch(subject):
        raise CommandError(
            f"--subject-id is {subject[:80]!r}; it has 1 to 64 of A-Z a-z 0-9 . _ -", USAGE
        )
    with _opened(folder, threads, output) as server:
        faces = server.faces(server.read(result), subject)
        started = time.perf_counter()
        names = [server.enrol(face) for face in faces]
        took = time.perf_counter() - started
    data = {
        "gallery": str(folder),
        "result": str(result),
        "subject": subject,
        "faces": names,
        "seconds": took,
    }
    said = f"waiting for the gallery's owner, for {subject}: {len(names)}"
    lines = [said, *names]
    output.answer(data, lambda console: console.print("\n".join(lines), markup=False))


def search(folder: Path, result: Path, target: Path, threads: int | None, as_json: bool) -> None:
    output = Output(as_json)
    outputs = Outputs(result)
    outputs.add(target, file_kind(Kind.FINDINGS))
    with _opened(folder, threads, output) as server:
        started = time.perf_counter()
        faces = server.faces(server.read(result))
        if len(faces) != 1:
            raise CommandError(
                f"{shown(result)}: holds {len(faces)} faces; look them up one by one", USAGE
            )
        found = server.look_up(faces[0])
        took = time.perf_counter() - started
    content = findings_to_bytes(found)
    write_whole(target, content)
    data = {
        "gallery": str(folder),
        "result": str(result),
        "findings": str(target),
        "bytes": len(content),
        "blocks": len(found.scores.blocks),
        "waiting": len(found.waiting),
        "seconds": took,
    }
    output.replaced(outputs)
    rows: list[tuple[str, object]] = [
        ("findings, for the gallery's owner", shown(target)),
        ("size", size(len(content))),
        ("blocks searched", data["blocks"]),
        ("faces that wait", data["waiting"]),
        ("time", seconds(took)),
    ]
    output.answer(data, lambda console: console.print(facts("Looked up", rows)))
