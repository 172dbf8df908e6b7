"""What ``fhe-face weights card`` measured, as a page of Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

#: How a card begins.
HEAD: Final = "# What these weights do"


def page(data: Mapping[str, Any]) -> str:
    """What was measured as a page of Markdown tables."""
    lines = [
        HEAD,
        "",
        f"Tensors `{data['tensors_sha256']}`, file `{data['weights_sha256']}`.",
        "",
    ]
    for found in data["sets"]:
        lines += _set(found)
    if data["development"] is not None:
        lines += ["Choices were made by the following set, so it is no result:", ""]
        lines += _set(data["development"])
    if data["bounds"] is not None:
        lines += _extremes(data["bounds"])
    return "\n".join(lines)


def _set(found: Mapping[str, Any]) -> list[str]:
    plain = found["as_it_is"]
    rows = [
        ("**these weights**", *_cells(plain)),
        ("these weights, `--flip`", *_cells(found["flip"])),
    ]
    if (pixels := plain["pixels_alone"]) is not None:
        told = f"{pixels['eer']:.4f}", "-", f"{pixels['gallery_probe_rank1']:.3f}", "-", "-"
        rows.append(("raw pixels", "-", "-", *told))
    rows += [
        (name, *_cells({**teacher, "refused": "-"}))
        for name, teacher in (found["teacher"] or {}).items()
    ]
    columns = ("", "same", "different", "EER", "TAR at FAR 1 %", "rank-1", "ten splits", "refused")
    looked = plain["lookup"]
    counts = f"{plain['people']} people, {plain['evaluated']} photos"
    return [
        f"**{found['name']}: {counts}, {looked['single']['probes']} probes**",
        "",
        *_table(columns, rows),
        "",
        *_table(
            ("half enrolled", "EER", "95 % of draws", "ten splits", "rank-1"),
            [
                (
                    name,
                    f"{one['eer']:.4f}",
                    _ends(one),
                    f"{one['eer_splits_mean']:.4f}",
                    f"{one['rank1']:.3f}",
                )
                for name, one in looked.items()
            ],
        ),
        "",
    ]


def _cells(facts: Mapping[str, Any]) -> tuple[str, ...]:
    tar = facts["tar_at_far_1pct"]
    ends = f" ({_ends(facts)})" if "eer_interval" in facts else ""
    return (
        f"{facts['same_mean']:.3f}",
        f"{facts['different_mean']:.3f}",
        f"{facts['eer']:.4f}{ends}",
        "too few" if tar is None else f"{tar:.3f}",
        f"{facts['gallery_probe_rank1']:.3f}",
        f"{facts['gallery_probe_rank1_mean']:.3f}",
        str(facts["refused"]),
    )


def _ends(facts: Mapping[str, Any]) -> str:
    ends = facts["eer_interval"]
    return f"{ends['low']:.4f} to {ends['high']:.4f}"


def _extremes(bounds: Mapping[str, Any]) -> list[str]:
    names = list(next(iter(bounds.values())))
    rows = [(kind, *(_number(one[name]) for name in names)) for kind, one in bounds.items()]
    return [*_table(("pictures", *names), rows), ""]


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(columns)} |",
        f"|{'---|' * len(columns)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]
