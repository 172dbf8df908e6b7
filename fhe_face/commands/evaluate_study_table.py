"""What ``fhe-face evaluate`` shows of enrolled people, small probes, people and two networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console

from fhe_core.files import shown
from fhe_face.output import grid

_METHODS = {
    "single": "single photos",
    "template": "mean templates",
    "centred": "mean templates, centred",
}


def interval(ends: Mapping[str, Any]) -> str:
    """Both ends; with few people they are a hint only."""
    hint = f" ({ends['people']} people: a hint)" if ends["few_people"] else ""
    return f"{ends['low']:.4f} to {ends['high']:.4f}{hint}"


def show_study(console: Console, data: Mapping[str, Any], people: bool) -> None:
    """What was asked for; the lookup always."""
    _lookup(console, data)
    if data["overlap"] is not None:
        _overlap(console, data["overlap"])
    if data["probe_sizes"] is not None:
        _sizes(console, data["probe_sizes"])
    if people:
        _people(console, data["per_person"])
    if data["fusion"] is not None:
        _fusion(console, data["fusion"])
    if "worst_sheet" in data:
        console.print(f"the worst pairs: {shown(data['worst_sheet'])}", markup=False)


def _lookup(console: Console, data: Mapping[str, Any]) -> None:
    rows = []
    for mode, facts in data["modes"].items():
        for method, found in facts["lookup"].items():
            name = _METHODS[method] if len(data["modes"]) == 1 else f"{mode}, {_METHODS[method]}"
            rows.append((name, *_cells(found)))
    first = next(iter(data["lookup"].values()))
    console.print(grid("Probes against enrolled people", _columns(first), rows, 1))
    console.print(
        f"{data['enrolled']}: {first['enrolled']} people, {first['probes']} probes, "
        f"{first['probes_of_strangers']} probes of people who are not enrolled"
    )


def _columns(found: Mapping[str, Any]) -> tuple[str, ...]:
    ranks = [f"rank-{k}" for k in found["ranks"]]
    at = found.get("at_threshold")
    points = () if at is None else (f"TAR at {at['threshold']:g}", "FAR")
    return ("", "EER", "95 % of draws", "rank-1", *ranks, *points)


def _cells(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"{found['eer']:.4f}"
    ends = found["eer_interval"]
    yield f"{ends['low']:.4f} to {ends['high']:.4f}"
    yield f"{found['rank1']:.4f}"
    yield from (f"{share:.4f}" for share in found["ranks"].values())
    if "at_threshold" in found:
        yield from (f"{found['at_threshold'][name]:.4f}" for name in ("tar", "far"))


def _overlap(console: Console, found: Mapping[str, Any]) -> None:
    console.print(
        f"in both folders: {len(found['people'])} people and {len(found['pictures'])} pictures; "
        f"{len(found['only_enrolled'])} people are enrolled only, {len(found['only_probes'])} "
        "looked up only"
    )


def _sizes(console: Console, sizes: list[dict[str, Any]]) -> None:
    methods = [name for name in _METHODS if name in sizes[0]]
    rows = []
    for row in sizes:
        for method in methods:
            name = f"{row['size']} pixels" + ("" if len(methods) == 1 else f", {_METHODS[method]}")
            cells = ("no probe is left",) if row[method] is None else tuple(_cells(row[method]))
            rows.append((name, str(row["refused"]), *cells))
    _, *columns = _columns(sizes[0][methods[0]])
    padded = [(*row, *("",) * (len(columns) + 2 - len(row))) for row in rows]
    console.print(grid("Smaller probes", ("", "refused", *columns), padded, 1))
    console.print("reduced after alignment; a detector on photos as small would do worse")


def _people(console: Console, people: list[dict[str, Any]]) -> None:
    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.3f}"

    rows = [
        (
            shown(one["person"]),
            str(one["images"]),
            number(one["same_mean"]),
            number(one["same_min"]),
            number(one["different_max"]),
            "-" if one["nearest"] is None else shown(one["nearest"]),
            str(one["taken_for"]),
        )
        for one in people
    ]
    columns = (
        *("person", "images", "own mean", "own lowest", "others highest", "with"),
        "closer to others",
    )
    console.print(grid("People, hardest first", columns, rows, 1))


def _fusion(console: Console, found: Mapping[str, Any]) -> None:
    rows = [
        (
            shown(one["weights"]),
            f"{one['share']:g}",
            f"{one['threshold']:.3f} {one['threshold_from']}",
            f"{one['eer']:.4f}",
            str(one["refused"]),
        )
        for one in found["networks"]
    ]
    rows.append(("both, fused", "", "", f"{found['eer']:.4f}", ""))
    columns = ("network", "weight", "threshold", "EER", "refused")
    console.print(grid("Two networks, all pairs", columns, rows, 1))
    apart = found["disagreements"]
    first, second = apart["right"]
    console.print(
        f"they disagree on {apart['pairs']} of {apart['of']} pairs; there the first is right "
        f"{first} times, the second {second} times"
    )
    if found["one_network_only"]:
        console.print(
            f"{found['one_network_only']} pairs were judged by one network, as the other refused "
            "a face"
        )
    for one in apart["examples"][:3]:
        truth = "one person" if one["one_person"] else "two people"
        cosines = " and ".join(f"{value:.3f}" for value in one["cosines"])
        console.print(
            f"disagreement: {one['images'][0]} and {one['images'][1]} ({truth}): {cosines}",
            markup=False,
        )
    _fused_lookup(console, found["lookup"])


def _fused_lookup(console: Console, found: Mapping[str, Any]) -> None:
    rows = []
    for method, both in found.items():
        first, second = both["networks"]
        rates = (f"{one['eer']:.4f} / {one['rank1']:.4f}" for one in (first, second, both))
        rows.append((_METHODS[method], *rates))
    columns = ("EER / rank-1", "first", "second", "both, fused")
    console.print(grid("Two networks, probes against enrolled people", columns, rows, 1))
    for method, both in found.items():
        apart = both["disagreements"]
        first, second = apart["right"]
        console.print(
            f"{_METHODS[method]}: they name different people for {apart['probes']} of "
            f"{apart['of']} probes; there the first is right {first} times, the second {second}"
        )
        for one in apart["examples"][:3]:
            said = " and ".join(one["named"])
            line = f"disagreement: {one['image']} shows {one['person']}; they say {said}"
            console.print(line, markup=False)
