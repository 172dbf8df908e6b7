"""``fhe-face decrypt`` for values that leave the key's owner. Nothing else of a result is printed:
no score, no squared norm, and no numbers in reasons.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from fhe_face.client.client import Result
from fhe_face.client.decryption import Score
from fhe_face.client.sharing import Decision, Flooding, Release, Rounding, SharingError
from fhe_face.commands.judging import Judge
from fhe_face.failures import DIFFERENT, UNHEALTHY, USAGE, CommandError
from fhe_face.output import Output, facts, grid
from fhe_face.places import SCORE

_REASON = "the health check failed (its numbers stay with the key)"


def release_of(
    share: str | None,
    digits: int | None,
    queries: int | None,
    bits: float | None,
    decision_only: bool,
    judge: Judge,
) -> Release | None:
    """What the options ask for; None: the values stay here.

    Raises:
        CommandError: options that do not go together, or values that cannot be shared so.
    """
    if decision_only and share is not None:
        raise CommandError("--decision-only shares no value: leave out --share", USAGE)
    if share is not None and judge.asked:
        raise CommandError("--threshold and --weights decide: leave them out, or --share", USAGE)
    if share not in (None, "round", "flood"):
        raise CommandError(f"--share is '{share}'; it must be round or flood", USAGE)
    if digits is not None and share != "round":
        raise CommandError("--digits goes with --share round", USAGE)
    if (queries is not None or bits is not None) and share != "flood":
        raise CommandError("--queries and --bits go with --share flood", USAGE)
    try:
        if decision_only:
            return Decision(judge.same_from)
        if share == "round":
            return Rounding() if digits is None else Rounding(digits)
        if share == "flood":
            if queries is None or bits is None:
                raise CommandError("--share flood takes --queries and --bits", USAGE)
            return Flooding(queries, bits)
    except SharingError as error:
        raise CommandError(str(error)) from None
    return None


def require_score(file: Path, what: str, target: Path | None) -> None:
    """Only scores are shared, and only on stdout."""
    if what != SCORE:
        raise CommandError(
            f"{file}: holds an {what}, which is never shared: it is a template of the face, and "
            "its error crosses any rounding of 256 numbers",
            USAGE,
        )
    if target is not None:
        raise CommandError("-o writes exact numbers: leave out -o, or what is shared", USAGE)


def run(
    output: Output,
    found: Sequence[Result],
    called: Sequence[str],
    release: Release,
    judge: Judge,
) -> None:
    """The shared part of scores; status 4 where the only face is a different one."""
    faces: list[dict[str, Any]] = []
    for number, (name, score) in enumerate(zip(called, found, strict=True)):
        own: dict[str, Any] = {"healthy": False, "reason": _REASON}
        if isinstance(score, Score):
            own = {"healthy": True, **release.release(score)}
        faces.append({"number": number + 1, "name": name, **own})
    healthy = [face for face in faces if face["healthy"]]
    data = {"kind": SCORE, "healthy": len(healthy) == len(faces), "faces": faces}
    if len(faces) == 1:
        own = {key: value for key, value in faces[0].items() if key not in ("number", "name")}
        data = {"kind": SCORE, **own}
    if isinstance(release, Decision) and judge.thresholds is not None:
        data["weights"] = judge.facts()["weights"]
    if not healthy:
        raise CommandError(f"no result: {_REASON}", UNHEALTHY, data)
    output.answer(data, lambda console: _show(console, data, faces))
    if len(healthy) < len(faces):
        output.warn(f"no result for {len(faces) - len(healthy)} of {len(faces)} faces")
        raise SystemExit(UNHEALTHY)
    if data.get("same") is False:
        raise SystemExit(DIFFERENT)


def _shared(data: dict[str, Any]) -> str:
    if "same" in data:
        return "same" if data["same"] else "different"
    if "digits" in data:
        return f"{data['cosine']:.{data['digits']}f}"
    return f"{data['cosine']:g}"


def _show(console: Console, data: dict[str, Any], faces: Sequence[dict[str, Any]]) -> None:
    if len(faces) > 1:
        _show_many(console, faces)
        return
    if "same" in data:
        console.print(_shared(data))
        return
    rows: list[tuple[str, object]] = [("cosine", _shared(data))]
    if "digits" in data:
        rows.append(("moved by the error", f"in up to {data['crossing_probability']:.0%} of cases"))
    else:
        rows.append(("deviation of the noise", f"{data['deviation']:.3g}"))
        rows.append(("holds for", f"{data['queries']} queries, {data['bits']:g} bits"))
    console.print(facts("Shared score", rows))


def _show_many(console: Console, faces: Sequence[dict[str, Any]]) -> None:
    rows = [
        (str(f["number"]), f["name"], _shared(f) if f["healthy"] else "must not be used")
        for f in faces
    ]
    console.print(grid("Shared scores", ("", "face", "shared"), rows))
