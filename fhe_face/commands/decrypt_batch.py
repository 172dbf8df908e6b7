"""``fhe-face decrypt`` for batches: every face has its own health, and the others still count."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from fhe_core.formats.ciphertexts import Bundle
from fhe_core.outputs import Outputs
from fhe_face.client.client import FaceClient
from fhe_face.client.decryption import Embedding, Score
from fhe_face.client.health import HealthReport
from fhe_face.client.names import face_names
from fhe_face.client.numbers import save_numbers
from fhe_face.failures import UNHEALTHY, CommandError
from fhe_face.output import Output, grid
from fhe_face.places import MANY

KEEP = (
    "Do not share decrypted values: they carry noise that depends on the secret key "
    "(--decision-only, --share)."
)
Result = Embedding | Score | HealthReport


def run(
    output: Output,
    client: FaceClient,
    bundle: Bundle,
    target: Path | None,
    names: Path | None,
    outputs: Outputs,
) -> None:
    """Every face's numbers. Ends with status 3 where a face must not be used.

    The array in ``target`` is NaN for such a face; without any other there is no result at all.
    """
    found: Sequence[Result]
    if bundle.what == MANY.score:
        found = client.decrypt_scores(bundle)
    else:
        found = client.decrypt_embeddings(bundle)
    called = face_names(names, len(found))
    low, high = client.circuit.root.interval
    faces = [
        {"number": number + 1, "name": name} | _face(result)
        for number, (name, result) in enumerate(zip(called, found, strict=True))
    ]
    data: dict[str, Any] = {
        "kind": bundle.what,
        "healthy": all(face["healthy"] for face in faces),
        "faces": faces,
        "interval": [low, high],
        "output": None if target is None else str(target),
    }
    if not any(face["healthy"] for face in faces):
        text = f"no result: none of the {len(faces)} faces is healthy; {faces[0]['reason']}"
        raise CommandError(text, UNHEALTHY, data | {"output": None})
    if target is not None:
        save_numbers(target, _array(found))
        output.replaced(outputs)
    output.answer(data, lambda console: _show(console, bundle.what, data, target))
    refused = [str(face["name"]) for face in faces if not face["healthy"]]
    if refused:
        output.warn(f"no result for {len(refused)} of {len(faces)} faces: {', '.join(refused)}")
        raise SystemExit(UNHEALTHY)


def _face(result: Result) -> dict[str, Any]:
    if isinstance(result, HealthReport):
        norms = list(result.squared_norms)
        return {"healthy": False, "reason": result.message, "squared_norms": norms}
    numbers: dict[str, Any] = (
        {"score": result.value, "cosine": result.cosine}
        if isinstance(result, Score)
        else {"embedding": result.values.tolist()}
    )
    return {"healthy": True, **numbers, "squared_norms": list(result.health.squared_norms)}


def _array(found: Sequence[Result]) -> Any:
    """Scores [faces] or embeddings [faces, length]; NaN where there is none."""
    shape = next(np.shape(_numbers(r)) for r in found if not isinstance(r, HealthReport))
    return np.stack(
        [np.full(shape, np.nan) if isinstance(r, HealthReport) else _numbers(r) for r in found]
    )


def _numbers(result: Embedding | Score) -> Any:
    return np.asarray(result.value) if isinstance(result, Score) else result.values


def _show(console: Console, what: str, data: dict[str, Any], target: Path | None) -> None:
    low, high = data["interval"]
    rows = []
    for face in data["faces"]:
        if not face["healthy"]:
            shown = f"must not be used: {face['reason']}"
        elif "score" in face:
            shown = f"{face['score']:.6f}, cosine {face['cosine']:.6f}"
        else:
            shown = ", ".join(f"{value:.4f}" for value in face["embedding"][:4]) + ", ..."
        norms = ", ".join(f"{norm:.1f}" for norm in face["squared_norms"])
        rows.append((str(face["number"]), face["name"], norms, shown))
    column = "score" if what == MANY.score else "first values (all of them: -o FILE.npy or --json)"
    columns = ("", "face", "squared norm", column)
    console.print(grid(f"Decrypted {what}", columns, rows))
    console.print(f"Squared norms are healthy in [{low:g}, {high:g}].")
    if target is not None:
        console.print(f"written to {target}", markup=False)
    console.print(KEEP)
