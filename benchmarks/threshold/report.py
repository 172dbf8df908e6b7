"""The tables of docs/threshold.md, from what was measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.threshold import leakage
from benchmarks.threshold.designs import FLOODED, plain
from fhe_core.matching.answers import bits_left
from fhe_core.matching.parameters import gallery_parameters
from fhe_face.system import seconds, size

#: Of a key's life.
_ANSWERS = (0, 1024, 2048, 4096)
Found = Mapping[str, Any]


def tables(found: Found) -> dict[str, str]:
    """Markdown by the names that the page's marks have."""
    return {
        "levels": _levels(found["levels"]),
        "costs": _costs(found["designs"], found["gallery"]),
        "leaks": _leaks(found["designs"]),
        "outside": _outside(found["outside"]),
        "answers": _answers(found["answers"], found["masking"]),
        "life": _life(),
        "machine": _machine(found["machine"], found["designs"]),
    }


def written(page: str, found: Found) -> str:
    """The page with these tables between its marks.

    Raises:
        ValueError: a mark is missing.
    """
    for name, text in tables(found).items():
        begin, end = (f"<!-- threshold {name}: {edge} -->\n" for edge in ("begin", "end"))
        before, mark, rest = page.partition(begin)
        _, other, after = rest.partition(end)
        if not (mark and other):
            raise ValueError(f"the page has no marks for '{name}'")
        page = before + mark + text + other + after
    return page


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    first, *others = (f"| {' | '.join(line)} |\n" for line in (head, *rows))
    return first + "|---" * len(head) + "|\n" + "".join(others)


def _power(value: float) -> str:
    """As a power of two."""
    return "0" if not value else f"2^{math.log2(value):.1f}"


def _bits(value: float) -> str:
    return f"{value:.1f}" if value > 0.05 else _power(value)


def _levels(rows: Sequence[Found]) -> str:
    head = [
        *("design", "degrees", "levels", "products", "log2(QP)", "remainder", "noise, predicted"),
        *("bits learnt", "advantage", "flooded: one score", "a block"),
    ]
    return _table(
        head,
        [
            [
                row["design"]["name"],
                ", ".join(map(str, row["design"]["degrees"])),
                str(row["design"]["levels"]),
                str(row["products"]),
                f"{row['design']['log2_qp']:.0f}",
                _power(row["side"]["remainder_spread"] / 2),
                _power(row["noise_predicted"]["deviation"]),
                _bits(row["side"]["information_bits"]),
                "1" if row["side"]["advantage"] > 0.999 else _power(row["side"]["advantage"]),
                _distance(row["flood"]["distance_bits_one"]),
                _distance(row["flood"]["distance_bits_block"]),
            ]
            for row in rows
        ],
    )


def _distance(bits: float) -> str:
    return f"2^-{bits:.0f}" if bits >= 0.5 else "1"


def _columns(
    designs: Sequence[Found], lines: Sequence[tuple[str, Callable[[Found], str]]]
) -> list[list[str]]:
    return [[text, *(show(row) for row in designs)] for text, show in lines]


def _costs(designs: Sequence[Found], gallery: Found) -> str:
    def of(name: str, show: Callable[[float], str]) -> Callable[[Found], str]:
        return lambda row: show(row[name])

    lines: list[tuple[str, Callable[[Found], str]]] = [
        ("rescales, limbs", lambda row: f"{row['design']['rescales']}, {row['design']['limbs']}"),
        ("log2(QP), of at most 868", lambda row: f"{row['design']['log2_qp']:.0f}"),
        ("scores of a block", of("scores_seconds", seconds)),
        ("signs of a block", of("signs_seconds", seconds)),
        ("the same by the cost model", of("signs_seconds_predicted", seconds)),
        ("**10,000 templates**", of("seconds_10k", seconds)),
        ("fixed cost of a probe", of("probe_seconds", seconds)),
        ("evaluation keys, stored", of("key_bytes", size)),
        ("a probe, sent", of("probe_bytes", size)),
        ("a template, stored", of("template_disk_bytes", size)),
        ("a template, in memory", of("template_memory_bytes", size)),
        ("a result", of("result_bytes_per_template", lambda value: f"{value:.1f} B")),
        ("sealing a block", of("seal_seconds", seconds)),
    ]
    released = {
        "**10,000 templates**": seconds(gallery["seconds_10k"]),
        "fixed cost of a probe": seconds(gallery["probe_seconds"]),
        "evaluation keys, stored": size(gallery["key_bytes"]),
        "a template, in memory": size(gallery["template_memory_bytes"]),
        "log2(QP), of at most 868": "98, of at most 214",
        "a result": "6 B",
        "a template, stored": size(gallery["template_memory_bytes"] / 2),
    }
    rows = [[*row, released.get(row[0], "")] for row in _columns(designs, lines)]
    names = [row["design"]["name"] for row in designs]
    return _table(["", *names, "scores released (a gallery)"], rows)


def _leaks(designs: Sequence[Found]) -> str:
    lines: list[tuple[str, Callable[[Found], str]]] = [
        ("error of a score, deviation", lambda row: _power(row["score_error_deviation"])),
        ("remainder, largest", lambda row: _power(row["side"]["remainder_spread"] / 2)),
        ("noise, measured", lambda row: _power(row["noise"])),
        ("noise, predicted", lambda row: _power(row["noise_predicted"]["deviation"])),
        ("its largest of all slots, measured", lambda row: _power(row["noise_largest"])),
        ("predicted", lambda row: _power(row["noise_predicted"]["largest"])),
        (
            "noise by score: least, most",
            lambda row: ", ".join(_power(value) for value in row["noise_by_score"]),
        ),
        ("bits learnt from the remainder", lambda row: _bits(row["side"]["information_bits"])),
        ("from the size of the noise", lambda row: _bits(row["noise_information_bits"])),
        ("of a score inside the band", lambda row: _bits(row["band"]["information_bits"])),
        ("inside, flooded", lambda row: _bits(row["band_flooded"]["information_bits"])),
        (
            "distance that the flood leaves, one score",
            lambda row: _distance(row["flood"]["distance_bits_one"]),
        ),
        ("a block", lambda row: _distance(row["flood"]["distance_bits_block"])),
        (
            "log2 of the flood in a coefficient; of the modulus",
            lambda row: (
                f"{row['flooded']['coefficient_bits']:.0f}; {row['design']['result_modulus_bits']}"
            ),
        ),
        ("flood, measured in a slot (1/8)", lambda row: f"{row['flooded']['deviation']:.4f}"),
        (
            "signs read wrong through it",
            lambda row: f"{row['flooded']['wrong']} of {row['flooded']['of']:,}",
        ),
    ]
    names = [row["design"]["name"] for row in designs]
    return _table(["", *names], _columns(designs, lines))


def _outside(found: Mapping[str, Sequence[Found]]) -> str:
    scores = [row["score"] for row in next(iter(found.values()))]
    rows = [
        [name, *(f"{row['wrong']} of {row['of']:,}" for row in rows)]
        for name, rows in found.items()
    ]
    return _table(["one score of", *map(str, scores)], rows)


def _answers(answers: Found, masking: Mapping[str, float]) -> str:
    rows = [
        ["the score itself, to 2^-15 as records are", f"{answers['score_bits']:.1f}", "1"],
        ["the bare answer", f"{answers['answer_bits']:.3f}", "0"],
        *(
            [
                f"r (s - t), r over {bits} powers of two, beyond the answer",
                f"{told:.2f}",
                f"1/{bits}",
            ]
            for bits, told in masking.items()
        ),
    ]
    head = ("what is opened, of a stranger's score", "bits learnt", "advantage")
    return _table(head, rows)


def _life() -> str:
    """Of a key; computed here, as it takes no measurement."""
    gallery = gallery_parameters()
    rows = [
        [
            f"{answers:,}",
            *(f"{leakage.bits_left(design, answers):.0f}" for design in (plain(11), FLOODED)),
            f"{bits_left(gallery, answers):.0f}",
        ]
        for answers in _ANSWERS
    ]
    return _table(["answers that reached an adversary", "plain-11", "flooded", "a gallery"], rows)


def _machine(facts: Found, designs: Sequence[Found]) -> str:
    design = designs[0]
    commit, changes, _ = (facts["commit"] or "unknown").partition("+")
    return (
        f"{facts['cpu']}, {facts['instruction_set']}, one thread, processor time; N = "
        f"{design['design']['ring_dimension']:,}, a full block of {design['templates']:,} "
        f"templates, all of it encrypted and searched; commit {commit[:7]}"
        f"{' and changes' if changes else ''}.\n"
    )
