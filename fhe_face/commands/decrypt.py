"""``fhe-face decrypt``: every face has its own health, and the others still count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from fhe_core.container import Kind, WrongKind, read_header, require_match
from fhe_core.outputs import Outputs
from fhe_core.secret.files import Passphrase
from fhe_face.client.client import FaceClient, Result
from fhe_face.client.decryption import Embedding, Score
from fhe_face.client.health import HealthReport
from fhe_face.client.ledger import DEFAULT_LIMIT
from fhe_face.client.names import face_names
from fhe_face.client.numbers import NUMBERS, save_numbers
from fhe_face.client.sharing import Flooding, Release, Rounding
from fhe_face.client.verification import SAID
from fhe_face.commands import decrypt_shared
from fhe_face.commands.judging import Judge
from fhe_face.failures import UNHEALTHY, USAGE, CommandError
from fhe_face.models.thresholds import Verdict
from fhe_face.output import Output, facts, grid
from fhe_face.places import EMBEDDING, IMAGE, SCORE
from fhe_face.senders import ENTRY as SENDERS

KEEP = (
    "Do not share decrypted values: they carry noise that depends on the secret key "
    "(--decision-only, --share)."
)


@dataclass(frozen=True)
class Opening:
    """With what a result is opened. sent: what it must be the answer to, in order."""

    key: Path
    passphrase: Passphrase = field(repr=False)
    answer_limit: int | None
    sent: tuple[Path, ...]


def run(
    file: Path,
    opening: Opening,
    target: Path | None,
    names: Path | None,
    release: Release | None,
    judge: Judge,
    as_json: bool,
) -> None:
    """Every face's numbers. Ends with status 3 where a face must not be used.

    The array in ``target`` is NaN for such a face; without any other there is no result at all.
    """
    output = Output(as_json)
    outputs = Outputs(file, opening.key, names, judge.weights, *opening.sent)
    outputs.add(target, NUMBERS)
    what = _what(file)
    if release is not None:
        decrypt_shared.require_score(file, what, target)
    if judge.asked and what != SCORE:
        raise CommandError(
            f"{file}: holds an {what}; --threshold and --weights judge scores", USAGE
        )
    if what == SCORE and not isinstance(release, Rounding | Flooding):
        judge.announce(output)
    client = FaceClient.load(
        opening.key,
        passphrase=opening.passphrase,
        answer_limit=opening.answer_limit or DEFAULT_LIMIT,
        warn=output.warn,
    )
    require_match(read_header(file), key_id=client.key_id)
    bundle = client.read(file, opening.sent)
    found = client.decrypt(bundle, opening.sent)
    called = face_names(names, len(found))
    if release is not None:
        decrypt_shared.run(output, found, called, release, judge)
        return
    data = _data(what, found, called, client, target)
    data |= senders(bundle.facts, client)
    if what == SCORE:
        _add_verdicts(data, judge)
    if not any(face["healthy"] for face in data["faces"]):
        raise CommandError(_no_result(data["faces"]), UNHEALTHY, data | {"output": None})
    if target is not None:
        save_numbers(target, _array(found))
        output.replaced(outputs)
    output.answer(data, lambda console: _show(console, what, data, target, judge))
    refused = [str(face["name"]) for face in data["faces"] if not face["healthy"]]
    if refused:
        output.warn(f"no result for {len(refused)} of {len(found)} faces: {', '.join(refused)}")
        raise SystemExit(UNHEALTHY)


def _what(file: Path) -> str:
    """What the file holds, refused early and by name when it is no result."""
    header = read_header(file, expect_kind=Kind.CIPHERTEXT)
    what = header.text("what")
    if what == IMAGE:
        raise WrongKind(
            f"{header.source}: holds an encrypted {what}, which is what goes to the server; "
            "decrypt takes what comes back (an embedding or a score)"
        )
    if what not in (EMBEDDING, SCORE):
        raise WrongKind(f"{header.source}: holds an encrypted {what}, which nothing decrypts")
    return what


def senders(known: Mapping[str, Any], client: FaceClient) -> dict[str, Any]:
    """The devices that sent the faces, one for each side, and what their owner calls them; nothing
    where the owner sent them. Both are checked: the tokens are those of these devices."""
    if SENDERS not in known:
        return {}
    devices = list(known[SENDERS])
    labels = {} if client.devices is None else {d.id: d.label for d in client.devices.all()}
    return {"devices": devices, "device_labels": [labels.get(one) for one in devices]}


def _data(
    what: str,
    found: Sequence[Result],
    called: Sequence[str],
    client: FaceClient,
    target: Path | None,
) -> dict[str, Any]:
    """For JSON; of a single face its own fields stand outside the list as well."""
    faces = [
        {"number": number + 1, "name": name} | _face(result)
        for number, (name, result) in enumerate(zip(called, found, strict=True))
    ]
    data: dict[str, Any] = {
        "kind": what,
        "healthy": all(face["healthy"] for face in faces),
        "faces": faces,
        "interval": list(client.circuit.normalisation.interval),
        "output": None if target is None else str(target),
    }
    return {**_face(found[0]), **data} if len(found) == 1 else data


def _add_verdicts(data: dict[str, Any], judge: Judge) -> None:
    """What the thresholds say, face by face, and which they are."""
    for face in data["faces"]:
        if face["healthy"]:
            face["verdict"] = judge.verdict(face["cosine"]).value
    if "cosine" in data:
        data["verdict"] = judge.verdict(data["cosine"]).value
    data.update(judge.facts())


def _face(result: Result) -> dict[str, Any]:
    if isinstance(result, HealthReport):
        return {
            "healthy": False,
            "reason": result.message,
            "cause": None if result.cause is None else result.cause.value,
            "squared_norms": list(result.squared_norms),
        }
    numbers: dict[str, Any] = (
        {"score": result.value, "cosine": result.cosine}
        if isinstance(result, Score)
        else {"embedding": result.values.tolist(), "length": result.values.size}
    )
    return {"healthy": True, **numbers, "squared_norms": list(result.health.squared_norms)}


def _no_result(faces: Sequence[dict[str, Any]]) -> str:
    if len(faces) == 1:
        return f"no result: {faces[0]['reason']}"
    return f"no result: none of the {len(faces)} faces is healthy; {faces[0]['reason']}"


def _array(found: Sequence[Result]) -> Any:
    """Scores [faces] or embeddings [faces, length], NaN where there is none; one as it is."""
    if len(found) == 1:
        return _numbers(found[0])
    shape = next(np.shape(_numbers(r)) for r in found if not isinstance(r, HealthReport))
    return np.stack(
        [np.full(shape, np.nan) if isinstance(r, HealthReport) else _numbers(r) for r in found]
    )


def _numbers(result: Result) -> Any:
    assert not isinstance(result, HealthReport)
    return result.values if isinstance(result, Embedding) else np.asarray(result.value)


def _show(
    console: Console, what: str, data: dict[str, Any], target: Path | None, judge: Judge
) -> None:
    low, high = data["interval"]
    if "cosine" in data:
        console.print(judge.sentence(data["cosine"]), markup=False, soft_wrap=True)
    if len(data["faces"]) == 1:
        console.print(facts(f"Decrypted {what}", _rows(what, data, target)))
    else:
        many = [_row(face) for face in data["faces"]]
        first = "first values (all of them: -o FILE.npy or --json)"
        columns = ("", "face", "squared norm", "answer" if what == SCORE else first)
        console.print(grid(f"Decrypted {what}s", columns, many))
        if what == SCORE:
            console.print(f"{judge.rule()}.", markup=False)
        console.print(f"Squared norms are healthy in [{low:g}, {high:g}].")
        if "devices" in data:
            console.print(f"sent by {_sent_by(data)}", markup=False)
        if target is not None:
            console.print(f"written to {target}", markup=False)
    console.print(KEEP)


def _rows(what: str, data: dict[str, Any], target: Path | None) -> list[tuple[str, object]]:
    low, high = data["interval"]
    rows: list[tuple[str, object]] = []
    if what == SCORE:
        rows += [("cosine", f"{data['cosine']:.6f}")]
    else:
        all_of_them = "(all of them: -o FILE.npy or --json)"
        rows += [("length", data["length"])]
        rows += [("first values", f"{_first(data)} {all_of_them}")]
    rows += [("squared norm", f"{_norms(data)} (healthy in [{low:g}, {high:g}])")]
    if "devices" in data:
        rows.append(("sent by", _sent_by(data)))
    if target is not None:
        rows += [("written to", target)]
    return rows


def _sent_by(data: dict[str, Any]) -> str:
    """The devices of all sides."""
    named = zip(data["devices"], data["device_labels"], strict=True)
    return ", ".join(
        "you" if device is None else f"device {label or 'without a label'} ({device[:8]})"
        for device, label in named
    )


def _row(face: dict[str, Any]) -> tuple[str, str, str, str]:
    if not face["healthy"]:
        shown = f"must not be used: {face['reason']}"
    elif "score" in face:
        shown = f"{SAID[Verdict(face['verdict'])]}, cosine {face['cosine']:.6f}"
    else:
        shown = _first(face)
    return str(face["number"]), face["name"], _norms(face), shown


def _first(face: dict[str, Any]) -> str:
    return ", ".join(f"{value:.4f}" for value in face["embedding"][:4]) + ", ..."


def _norms(face: dict[str, Any]) -> str:
    return ", ".join(f"{norm:.1f}" for norm in face["squared_norms"])
