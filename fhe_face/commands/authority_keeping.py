"""What an authority's operator does beside serving: thresholds, galleries, limits, alarms, log."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rich.console import Console

from fhe_core.container import Kind, read_header
from fhe_core.files import shown
from fhe_face.authority import log
from fhe_face.authority.alarms import Alarm, all_alarms, close_alarm
from fhe_face.authority.galleries import keep_gallery
from fhe_face.authority.opening import create_authority, opened
from fhe_face.authority.policy import FILE, load_policy
from fhe_face.authority.standing import Use, uses
from fhe_face.authority.thresholds import MATCHES, Standard, keep
from fhe_face.authority.words import checked_name
from fhe_face.commands.authority_gallery import read_gallery, unsealed
from fhe_face.commands.gallery_opening import Opening
from fhe_face.engine import engine_for
from fhe_face.failures import ERROR, CommandError, UsageError
from fhe_face.gallery.decisions import Decision
from fhe_face.models.checkpoint import load
from fhe_face.network import load_network, require_thresholds, weights_file
from fhe_face.output import Output, grid
from fhe_face.plaintexts import digest_of
from fhe_face.service.rows import now


def create(folder: Path, weights: Path | None, given: str | None, key: Path | None) -> None:
    """A new authority; without thresholds it answers no matches yet."""
    standard = _standard(weights, given, key)
    create_authority(folder)
    if standard is not None:
        _keep(folder, standard)
    print(f"made an authority in {shown(folder)}; its limits: {shown(folder / FILE)}")


def change_thresholds(
    folder: Path, weights: Path | None, given: str | None, key: Path | None
) -> None:
    """From weights, or given."""
    standard = _standard(weights, given, key)
    if standard is None:
        raise UsageError("give --weights, or --thresholds MATCH,UNKNOWN")
    _keep(folder, standard)
    decision = standard.decision
    print(f"a match from {decision.same_from:.3f}, unknown below {decision.different_below:.3f}")


def _keep(folder: Path, standard: Standard) -> None:
    with opened(folder) as database, database.locked() as connection:
        keep(connection, MATCHES, standard)
        log.write(connection, log.Line("thresholds", word=standard.decision.origin), now())


def _standard(weights: Path | None, given: str | None, key: Path | None) -> Standard | None:
    """UsageError: both ways, or numbers that are none."""
    if weights is not None and given is not None:
        raise UsageError("choose one of --weights and --thresholds")
    if key is not None and weights is None:
        raise UsageError("--key is for --weights: it says which circuit computes with them")
    if given is not None:
        try:
            same, different = (float(part) for part in given.split(","))
        except ValueError:
            raise UsageError(f"--thresholds {given!r}: two cosines, such as 0.45,0.3") from None
        return Standard(Decision(same, different))
    if weights is None:
        return None
    file = weights_file(weights)
    digest = None
    if key is not None:
        engine = engine_for(read_header(key, expect_kind=Kind.SECRET_KEY))
        file = weights_file(weights, engine.circuit.input_size)
        digest = digest_of(engine, load_network(file))
    return Standard(Decision.of(require_thresholds(load(file))), digest)


def tell_gallery(folder: Path, place: Path, name: str | None, passphrase_file: Path | None) -> None:
    """Read a gallery of this machine, and keep what the authority must know of it."""
    output = Output(False)
    called = checked_name(place.resolve().name if name is None else name, "gallery")
    with Opening(place, passphrase_file).opened(output) as gallery:
        known, pending = read_gallery(gallery, called), unsealed(gallery)
    with opened(folder) as database:
        keep_gallery(database, known, now())
    if pending:
        output.warn(f"{pending} people are not sealed yet, and not found: fhe-face gallery seal")
    print(f"gallery {called}: {known.people} people in {len(known.places)} blocks")


# --- watching -------------------------------------------------------------------------------------


def status(folder: Path, as_json: bool) -> None:
    """Two tables."""
    with opened(folder) as database:
        found = uses(database, load_policy(folder), now())
        alarms = all_alarms(database)
    data = {"uses": [use.to_json() for use in found], "alarms": [asdict(one) for one in alarms]}
    Output(as_json).answer(data, lambda console: _show(console, found, alarms))


def _show(console: Console, found: list[Use], alarms: list[Alarm]) -> None:
    columns = ("", "who", "this hour", "this day", "close", "waiting")
    rows = [
        (
            use.what,
            use.who,
            _of(use.hour, use.hour_limit),
            _of(use.day, use.day_limit),
            str(use.near),
            str(use.waiting),
        )
        for use in found
    ]
    console.print(grid("Answers, of as many as there may be", columns, rows))
    if not alarms:
        console.print("No alarm is open.")
        return
    console.print(
        grid(
            "Alarms",
            ("", "since", "what", "who"),
            [(str(one.number), _time(one.at), one.what, one.who) for one in alarms],
        )
    )


def _of(count: int, limit: int | None) -> str:
    if limit is None:
        return str(count)
    filled = min(10, 10 * count // max(limit, 1))
    return f"{'█' * filled}{'░' * (10 - filled)} {count} of {limit}"


def check(folder: Path, close: list[int], as_json: bool) -> None:
    """CommandError (status 1): an alarm is open, or the log was changed."""
    with opened(folder) as database:
        for number in close:
            close_alarm(database, number, now())
        alarms = all_alarms(database)
        verified = log.verify(database)
    data = {"alarms": [asdict(one) for one in alarms], **asdict(verified)}
    if alarms:
        first = alarms[0]
        raise CommandError(
            f"{len(alarms)} alarms are open, the first: {first.what}, {first.who}, since "
            f"{_time(first.at)} (authority status shows all, check --close {first.number} ends it)",
            ERROR,
            data,
        )
    said = f"no alarm is open; {verified.lines} lines of the log follow from each other"
    Output(as_json).answer(data, lambda console: console.print(said))


def verify_log(folder: Path, head: str | None, as_json: bool) -> None:
    """BrokenLog: a line was changed."""
    with opened(folder) as database:
        verified = log.verify(database, head)
    said = f"{verified.lines} lines follow from each other; keep the last hash elsewhere:"
    Output(as_json).answer(
        asdict(verified), lambda console: console.print(f"{said}\n{verified.head}")
    )


def show_log(folder: Path, last: int, as_json: bool) -> None:
    """The newest lines."""
    with opened(folder) as database:
        lines = log.read(database, last)
    data = {
        "lines": [
            {"number": one.number, "at": one.at, **asdict(one.line), "hash": one.hash}
            for one in lines
        ]
    }
    Output(as_json).answer(data, lambda console: _show_lines(console, lines))


def _show_lines(console: Console, lines: list[log.Written]) -> None:
    for one in lines:
        parts: list[Any] = [_time(one.at), one.line.event, one.line.device or "-"]
        parts += [one.line.subject or "-", one.line.request or "-", one.line.word]
        console.print(" ".join(map(str, parts)).rstrip(), markup=False, soft_wrap=True)


def _time(at: int) -> str:
    return datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="seconds")
