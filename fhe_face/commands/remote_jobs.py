"""``fhe-face remote jobs``: what the server computes, and results that nobody has fetched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from fhe_core.container import Kind, file_kind
from fhe_core.files import shown
from fhe_core.outputs import Outputs
from fhe_face.commands.remote_keys import gone_on
from fhe_face.commands.remote_opening import client_of, connected
from fhe_face.commands.remote_transfer import Steps, Transfer
from fhe_face.failures import USAGE, CommandError
from fhe_face.output import Output, facts, grid
from fhe_face.remote import jobs
from fhe_face.remote.errors import JobLeft
from fhe_face.remote.server import RemoteServer
from fhe_face.system import duration


@dataclass(frozen=True)
class Request:
    """What the options ask for. CommandError: what makes no sense together."""

    job: str | None
    cancel: bool
    sent: tuple[Path, ...]
    key: Path | None
    target: Path | None
    passphrase_file: Path | None
    profile: str

    def __post_init__(self) -> None:
        fetch = (bool(self.sent), self.key is not None, self.target is not None)
        if self.job is None and (self.cancel or any(fetch)):
            raise CommandError("which job? give its id (fhe-face remote jobs lists them)", USAGE)
        if any(fetch) and not all(fetch):
            raise CommandError("a result takes --sent, --key and -o together", USAGE)
        if self.cancel and any(fetch):
            raise CommandError("choose one of --cancel and --sent", USAGE)


def run(request: Request, as_json: bool) -> None:
    """List, show, cancel or fetch."""
    output = Output(as_json)
    if request.sent:
        _fetch(request, output)
        return
    with connected(request.profile) as connection:
        if request.job is None:
            found = list(jobs.every(connection))
            data: dict[str, Any] = {"jobs": [job.to_json() for job in found]}
            output.answer(data, lambda console: _show(console, found))
            return
        job = (jobs.cancel if request.cancel else jobs.find)(connection, request.job)
    output.answer(job.to_json(), lambda console: console.print(facts("Job", _rows(job))))


def _fetch(request: Request, output: Output) -> None:
    assert request.key is not None
    assert request.target is not None
    assert request.job is not None
    outputs = Outputs(request.key, *request.sent)
    outputs.add(request.target, file_kind(Kind.CIPHERTEXT))
    client = client_of(request.key, request.passphrase_file, None, output)
    with connected(request.profile) as connection, output.stages() as stage:
        server = RemoteServer(connection, client, stage=Steps(Transfer(output, stage)))
        try:
            bundle = server.resume(request.job, list(request.sent), request.target)
        except JobLeft as left:
            raise gone_on(left, "the same command again fetches its result") from None
    data = {"job": request.job, "result": str(request.target), "what": bundle.what}
    output.replaced(outputs)
    rows = [("result", f"{shown(request.target)}, an encrypted {bundle.what}")]
    output.answer(data, lambda console: console.print(facts(f"Job {request.job}", rows)))


def _rows(job: jobs.Job) -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = [
        ("id", job.id or "none"),
        ("what", job.kind),
        ("state", job.state.value),
    ]
    if job.position is not None:
        rows.append(("place in the queue", job.position))
    if job.total:
        rows.append(("steps", _steps(job)))
    if job.eta is not None:
        rows.append(("time left", duration(job.eta)))
    if job.reason:
        rows.append(("the server says", job.reason))
    if job.result is not None:
        rows.append(("result", f"{job.result[0].value}/{job.result[1]}"))
    return rows


def _steps(job: jobs.Job) -> str:
    """How far it is; the last steps of one that is done may not have been told."""
    done = job.total if job.state is jobs.State.DONE else job.done
    return f"{done} of {job.total}"


def _show(console: Console, found: list[jobs.Job]) -> None:
    if not found:
        console.print("no jobs")
        return
    lines = [
        (
            job.id or "",
            job.kind,
            job.state.value,
            _steps(job) if job.total else "",
            "" if job.eta is None or job.state.ended else duration(job.eta),
        )
        for job in found
    ]
    console.print(grid("Jobs", ("id", "what", "state", "steps", "left"), lines))
