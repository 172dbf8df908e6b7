"""Tables in narrow terminals: nothing is cut off, numbers stay whole, and rows keep their names."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from fhe_face.output import facts, grid
from fhe_face.tables import Grid
from tests.face.kit import Run

NAMES = ("step", "level", *(f"number {i}" for i in range(8)))
ROWS = [
    ("block 0 conv 2 + shortcut pre-rotation", "12>11", *("1234567 ms" for _ in range(8))),
    ("multiply_scalar_add_and_more", "3", *(f"{i}.5 GB" for i in range(8))),
]


def shown(table: Grid, width: int) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width).print(table)
    return stream.getvalue()


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_nothing_is_cut_off(width: int) -> None:
    text = shown(Grid("Title", NAMES, ROWS, 1), width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    assert text.count("Title") == 1
    for cell in (cell for row in ROWS for cell in row[1:]):
        assert cell in text
    parts = text.count("multiply_scalar")
    assert (parts == 1) == (width == 200)
    for name in NAMES[2:]:
        assert len(re.findall(rf"{name.split()[1]}\b", text)) >= 1


def test_one_table_where_it_fits() -> None:
    table = Grid("", ("name", "x"), [("a", "1"), ("b", "2")], 1)
    table.rows[0].end_section = True
    lines = [line.split() for line in shown(table, 80).splitlines() if line.strip()]
    assert lines[0] == ["name", "x"]
    assert [line for line in lines if line[0] in "ab"] == [["a", "1"], ["b", "2"]]


def test_sections_and_names_in_every_part() -> None:
    table = Grid("", NAMES, ROWS, 1)
    table.rows[0].end_section = True
    text = shown(table, 60)
    assert text.count("shortcut") == text.count("multiply_scalar") > 1


def test_long_paths_are_folded() -> None:
    path = "/tmp/" + "x" * 100
    text = shown(facts("Files", [("file", path), ("n", 3)]), 60)
    assert path in "".join(line.strip().removeprefix("file").strip() for line in text.splitlines())


def test_an_empty_table() -> None:
    assert "name" in shown(grid("", ("name", "x"), [], 1), 80)


@pytest.mark.parametrize("arguments", [("security",), ("plan",), ("plan", "--steps")])
def test_commands_at_eighty_columns(
    fhe_face: Run, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = fhe_face(*arguments).out
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80
    for name in {"security": ("primal-usvp", "primal-bdd")}.get(arguments[0], ("embed-64-one",)):
        assert name in text
