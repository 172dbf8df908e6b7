"""``fhe-face decrypt``"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from fhe_core.container import Kind, WrongKind, read_header, require_match
from fhe_core.outputs import Outputs
from fhe_core.secret.files import Passphrase
from fhe_face.client.client import FaceClient
from fhe_face.client.health import HealthReport, UnhealthyResultError
from fhe_face.client.ledger import DEFAULT_LIMIT
from fhe_face.client.numbers import NUMBERS, save_numbers
from fhe_face.client.sharing import Release
from fhe_face.commands import decrypt_batch, decrypt_shared
from fhe_face.failures import USAGE, CommandError, describe, unhealthy
from fhe_face.output import Output, facts
from fhe_face.places import MANY, ONE


@dataclass(frozen=True)
class Opening:
    """With what a result is opened. sent: what it must be the answer to, in order."""

    key: Path
    passphrase: Passphrase
    answer_limit: int | None
    sent: tuple[Path, ...]


def run(
    file: Path,
    opening: Opening,
    target: Path | None,
    names: Path | None,
    release: Release | None,
    as_json: bool,
) -> None:
    output = Output(as_json)
    outputs = Outputs(file, opening.key, names, *opening.sent)
    outputs.add(target, NUMBERS)
    what = _what(file)
    many = what in (MANY.embedding, MANY.score)
    if names is not None and not many:
        raise CommandError(f"{file}: --names is for batches, it holds one {what}", USAGE)
    if release is not None:
        decrypt_shared.require_score(file, what, target)
    client = FaceClient.load(
        opening.key,
        passphrase=opening.passphrase,
        answer_limit=opening.answer_limit or DEFAULT_LIMIT,
        warn=output.warn,
    )
    require_match(read_header(file), key_id=client.key_id)
    bundle = client.read(file, opening.sent)
    if release is not None:
        decrypt_shared.run(output, client, bundle, release, names)
        return
    if many:
        decrypt_batch.run(output, client, bundle, target, names, outputs)
        return
    values: NDArray[np.float64]
    try:
        if what == "score":
            score = client.decrypt_score(bundle)
            values, report = np.asarray(score.value), score.health
            data: dict[str, Any] = {"score": score.value, "cosine": score.cosine}
        else:
            embedding = client.decrypt_embedding(bundle)
            values, report = embedding.values, embedding.health
            data = {"embedding": values.tolist(), "length": values.size}
    except UnhealthyResultError as error:
        failure = describe(error)
        details = {"kind": what, **unhealthy(error)}
        raise CommandError(str(failure), failure.status, details) from None
    if target is not None:
        save_numbers(target, values)
        output.replaced(outputs)
    data = {"kind": what, "healthy": True, **data, **_health(report)}
    data |= {"output": None if target is None else str(target)}
    output.answer(data, lambda console: _show(console, what, data, target))


def _what(file: Path) -> str:
    """What the file holds, refused early and by name when it is no result."""
    header = read_header(file, expect_kind=Kind.CIPHERTEXT)
    what = header.text("what")
    if what in (ONE.image, MANY.image):
        raise WrongKind(
            f"{header.source}: holds an encrypted {what}, which is what goes to the server; "
            "decrypt takes what comes back (an embedding or a score)"
        )
    if what not in (ONE.embedding, ONE.score, MANY.embedding, MANY.score):
        raise WrongKind(f"{header.source}: holds an encrypted {what}, which nothing decrypts")
    return what


def _health(report: HealthReport) -> dict[str, Any]:
    return {"squared_norms": list(report.squared_norms), "interval": list(report.interval)}


def _show(console: Console, what: str, data: dict[str, Any], target: Path | None) -> None:
    norms = ", ".join(f"{norm:.1f}" for norm in data["squared_norms"])
    low, high = data["interval"]
    rows: list[tuple[str, object]] = []
    if what == "score":
        rows += [("score", f"{data['score']:.6f}"), ("cosine", f"{data['cosine']:.6f}")]
    else:
        rows += [("length", data["length"])]
        first = ", ".join(f"{value:.4f}" for value in data["embedding"][:4])
        rows += [("first values", f"{first}, ... (all of them: -o FILE.npy or --json)")]
    rows += [("squared norm", f"{norms} (healthy in [{low:g}, {high:g}])")]
    if target is not None:
        rows += [("written to", target)]
    console.print(facts(f"Decrypted {what}", rows))
    console.print(decrypt_batch.KEEP)
