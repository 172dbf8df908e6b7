"""The cost model of many machines: its figures, its simulation against arithmetic, its command."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks import cluster_figures
from benchmarks.measured import MEASURED
from fhe_core.files import FileError
from fhe_face.bench.cluster_figures import FILE, Figure, Figures, load_figures
from fhe_face.bench.cluster_model import Assumed, Enrolment, Station, search
from fhe_face.bench.commands.cluster import parse_nodes, simulate
from fhe_face.cli import app
from fhe_face.failures import UsageError

FAST = Assumed(1, 1000, 1000, 1e15, 1e15, 1e15, scatter=0.0)


@pytest.fixture(scope="module")
def figures() -> Figures:
    return load_figures()


def test_every_figure_has_a_source(figures: Figures) -> None:
    for name, figure in figures.items():
        measured = figure.source.startswith(("benchmarks/measured.json", "docs/"))
        assert measured or figure.source.startswith(("arithmetic", "parameters")), name
    assert set(json.loads(FILE.read_text())["machines"]) == {"demo, targets", "gallery", "cluster"}


def test_sources_are_there() -> None:
    rows = cluster_figures.figures(json.loads(MEASURED.read_text(encoding="utf-8")))
    assert rows["figures"].keys() == {name for name, _ in load_figures().items()}


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{}",
        "no JSON",
        '{"figures": {"batch_faces": {"value": 64, "source": "x"}}}',
        '{"figures": {"batch_faces": 64}}',
    ],
)
def test_other_figures_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "figures.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=r"figures\.json.*batch_seconds"):
        load_figures(path)


@pytest.mark.parametrize(
    "figure",
    [Figure(0.0, "x"), Figure(float("nan"), "x"), Figure(float("inf"), "x"), Figure(1.0, "")],
)
def test_a_figure_is_a_number_with_a_source(figures: Figures, figure: Figure) -> None:
    with pytest.raises(UsageError, match="batch_seconds"):
        replace(figures, batch_seconds=figure)


def test_there_is_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(FileError):
        load_figures(tmp_path / "nothing")


def test_a_station_does_one_thing_after_the_other() -> None:
    station = Station(2)
    assert [station.serve(0.0, 3.0), station.serve(0.0, 1.0), station.serve(0.0, 1.0)] == [3, 1, 2]
    assert station.serve(10.0, 1.0) == 11.0
    assert station.used(12.0) == 6.0 / 24.0


def test_one_node_takes_the_time_of_its_batches(figures: Figures) -> None:
    found = Enrolment(figures, FAST, 1, 1).run(64 * 100)
    alone = 100 * figures.batch_seconds.value + figures.key_load_seconds.value
    assert found.seconds == pytest.approx(alone, rel=0.01)
    assert found.binds == "nodes"
    assert found.used["nodes"] > 0.99


def test_ten_nodes_take_a_tenth(figures: Figures) -> None:
    one, ten = (Enrolment(figures, FAST, nodes, 1).run(64 * 200).seconds for nodes in (1, 10))
    assert one / ten == pytest.approx(10, rel=0.05)


def test_what_binds_takes_the_time_of_what_goes_through_it(figures: Figures) -> None:
    slow = replace(FAST, apis=1)
    found = Enrolment(figures, slow, 1000, 1).run(64 * 1000)
    alone = 1000 * figures.batch_bytes.value / figures.upload_bytes_per_second.value
    assert found.binds == "api"
    assert found.seconds == pytest.approx(alone, rel=0.05)


def test_keys_are_read_once_by_every_node(figures: Figures) -> None:
    """All that goes through the folder: every batch twice, every result, keys once for a node."""
    rate, nodes, batches = 1e12, 7, 100
    model = Enrolment(figures, replace(FAST, folder=rate), nodes, 1)
    found = model.run(64 * batches)
    carried = found.used["folder"] * found.seconds * rate
    each = 2 * figures.batch_bytes.value + figures.batch_result_bytes.value
    assert carried == pytest.approx(batches * each + nodes * figures.key_bytes.value)


def test_short_turns_cost_loading_keys(figures: Figures) -> None:
    many = replace(FAST, tenants=10)
    short, long = (
        Enrolment(figures, replace(many, turn_seconds=turn), 10, 1).run(64 * 500)
        for turn in (60.0, 3600.0)
    )
    assert short.used["nodes"] < 0.9 < 0.95 < long.used["nodes"]


def test_equal_seeds_give_equal_numbers(figures: Figures) -> None:
    assumed = Assumed()
    first, again, other = (
        simulate(figures, assumed, [3], 64 * 50, 10**6, seed) for seed in (1, 1, 2)
    )
    assert first == again
    assert first[0].enrolment.seconds != other[0].enrolment.seconds


def test_a_search_has_the_parts_of_its_blocks(figures: Figures) -> None:
    found = search(figures, replace(Assumed(), scatter=0.0), 10, 8192 * 100, 1)
    assert found.alone["nodes"] == pytest.approx(
        figures.probe_seconds.value + 10 * figures.block_seconds.value
    )
    assert found.alone["client"] == pytest.approx(
        figures.probe_seal_seconds.value + 100 * figures.block_open_seconds.value
    )
    assert found.memory_bytes == 10 * figures.block_memory_bytes.value
    slowest = max(found.alone["nodes"], found.alone["worker"])
    assert found.a_second <= 1.01 / slowest


def test_more_nodes_than_blocks_are_not_asked(figures: Figures) -> None:
    few, many = (search(figures, Assumed(), nodes, 8192 * 4, 1) for nodes in (4, 4000))
    assert few.alone == many.alone


@pytest.mark.parametrize("text", ["", "0", "x", "1,,2", "10,-1", "1000000"])
def test_numbers_of_nodes_that_cannot_be(text: str) -> None:
    with pytest.raises(UsageError, match="--nodes"):
        parse_nodes(text)


def test_the_command_prints_tables_and_json(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "cluster.png"
    options = [
        "bench",
        "cluster",
        "--nodes",
        "2,4",
        "--enrolments",
        "640",
        "--templates",
        "1000000",
    ]
    shown = CliRunner().invoke(app, options)
    assert shown.exit_code == 0
    assert "640 enrolments" in shown.output
    found = CliRunner().invoke(app, [*options, "--json", "--plot", str(picture)])
    data = json.loads(found.output)
    assert [row["nodes"] for row in data["nodes"]] == [2, 4]
    assert set(data["figures"]) == {field.name for field in fields(Figures)}
    assert data["plot"] == str(picture)
    assert picture.stat().st_size > 10_000


def test_the_page_has_the_models_numbers(repository: Path, figures: Figures) -> None:
    text = (repository / "docs" / "cluster.md").read_text(encoding="utf-8")
    assert cluster_figures.page(text, figures) == text
