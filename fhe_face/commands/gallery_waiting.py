"""``fhe-face gallery server-only answer|waiting|confirm|drop``: what the owner sees and decides."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from fhe_core.container import Kind, read_header
from fhe_core.files import read_bounded, shown
from fhe_core.formats.ciphertexts import known_facts
from fhe_face.commands.gallery_opening import Opening, counted, facts_of, require_thresholds
from fhe_face.commands.identify import sentence, status_of
from fhe_face.failures import UNHEALTHY, USAGE, CommandError
from fhe_face.gallery.crossing import Waiting
from fhe_face.gallery.findings import Answered
from fhe_face.output import Output, grid
from fhe_face.tokens import tokens_of

_SHOWN = 12
_LARGEST = 1 << 28


def answer(
    opening: Opening, findings: Path, sent: Path | None, scores: bool, as_json: bool
) -> None:
    """Ends as `identify` does, by what the answer is."""
    output = Output(as_json)
    request = None if sent is None else _request(sent)
    data = _content(findings)
    with opening.opened(output) as gallery:
        require_thresholds(gallery)
        found = gallery.server_only.answer(data, request)
        told = facts_of(gallery) | {"findings": str(findings), **found.to_json()}
    if not scores:
        for one in (*told["candidates"], *told["waiting"]):
            del one["score"]
    if found.unsearched:
        output.warn(f"{counted(found.unsearched, 'entry', 'entries')} had no place in the search")
    output.answer(told, lambda console: _show_answer(console, found, scores))
    raise SystemExit(status_of([found.identified]))


def _content(path: Path) -> bytes:
    """Of a file of findings, which is small.

    Raises:
        ContainerError: it is something else. FileError: it is larger than any findings.
    """
    read_header(path, expect_kind=Kind.FINDINGS)
    return read_bounded(path, _LARGEST)


def _request(path: Path) -> str:
    header = read_header(path, expect_kind=Kind.CIPHERTEXT)
    tokens = tokens_of(header.source, known_facts(header))
    if len(tokens) != 1:
        raise CommandError(f"{shown(path)}: holds {len(tokens)} faces, findings are of one", USAGE)
    return tokens[0]


def _show_answer(console: Console, found: Answered, scores: bool) -> None:
    console.print(sentence(found.identified), markup=False, soft_wrap=True)
    if scores:
        rows = [(one.label, f"{one.score:.4f}") for one in found.identified.candidates]
        rows += [(f"waiting: {one.subject}", f"{one.score:.4f}") for one in found.waiting]
        console.print(grid("Scores", ("who", "cosine"), rows, 1))


def waiting(opening: Opening, as_json: bool) -> None:
    output = Output(as_json)
    with opening.opened(output) as gallery:
        faces = gallery.server_only.waiting()
        data = facts_of(gallery) | {"waiting": [one.to_json() for one in faces]}
    output.answer(data, lambda console: _show_waiting(console, faces))


def _show_waiting(console: Console, faces: Sequence[Waiting]) -> None:
    if not faces:
        console.print("no face waits")
        return
    rows = [(one.digest[:_SHOWN], one.subject, _state(one)) for one in faces]
    console.print(grid("Waiting", ("face", "for", ""), rows))


def _state(face: Waiting) -> str:
    return "healthy" if face.healthy else f"must not be used: {face.to_json()['reason']}"


def confirm(
    opening: Opening, given: Sequence[str], every: bool, subject: str | None, as_json: bool
) -> None:
    """Ends with status 3 where a face must not be used; the others are templates then."""
    output = Output(as_json)
    _require_some(given, every)
    with opening.opened(output) as gallery, output.stages() as stage:
        chosen = None if every else given
        confirmed, refused = gallery.server_only.confirm(chosen, subject, stage)
        data = facts_of(gallery) | {
            "confirmed": confirmed,
            "refused": [one.to_json() for one in refused],
        }
    if refused:
        text = f"{counted(len(refused), 'face')} must not be used, {len(confirmed)} confirmed"
        raise CommandError(f"{text}: {_state(refused[0])}", UNHEALTHY, data)
    said = f"{counted(len(confirmed), 'face')} confirmed"
    output.answer(data, lambda console: console.print(said, markup=False))


def drop(opening: Opening, given: Sequence[str], every: bool, as_json: bool) -> None:
    output = Output(as_json)
    _require_some(given, every)
    with opening.opened(output) as gallery:
        count = gallery.server_only.drop(None if every else given)
        data: dict[str, Any] = facts_of(gallery) | {"dropped": count}
    said = f"{counted(count, 'face')} dropped"
    output.answer(data, lambda console: console.print(said, markup=False))


def _require_some(given: Sequence[str], every: bool) -> None:
    if bool(given) == every:
        raise CommandError("name faces that wait, or give --all", USAGE)
