"""docs/security.md: its table is what the code says, its tests exist, its numbers are computed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from fhe_core.formats.preparation import ENTRY as PREPARATION
from fhe_core.matching import gallery_parameters
from fhe_core.matching.answers import ANSWER_LIMIT, answers_of, bits_left
from fhe_core.parameters import Specification, presets
from fhe_core.parameters import attacks as lattice
from fhe_core.secret.protection import Scheme
from fhe_face.client.ledger import DEFAULT_LIMIT, WARNING_SHARE
from fhe_face.client.sharing import COSINE_BOUND, Rounding, flooding_deviation
from fhe_face.commands.security import device_facts, preset_facts
from fhe_face.places import ENTRY as BATCH
from fhe_face.senders import ENTRY as SENDERS
from fhe_face.shapes import RESULT_FACTS
from fhe_face.tokens import ENTRY as REQUESTS

COLUMNS = ("matzov", "laamospol14", "core-svp", "core-svp-quantum")


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "security.md").read_text(encoding="utf-8")


RINGS = {
    **{spec.name: presets.load(spec.name) for spec in presets.SHIPPED},
    **{f"{spec.name}, half ring": presets.load(spec.name).half for spec in presets.SHIPPED},
    "gallery": gallery_parameters().parameters,
}


@pytest.mark.parametrize("name", [name for name, ring in RINGS.items() if ring is not None])
def test_the_table_of_parameters(page: str, name: str) -> None:
    ring = RINGS[name]
    assert ring is not None
    assert row_of(name, preset_facts(ring)) in page.splitlines()


@pytest.mark.parametrize("spec", presets.SHIPPED)
def test_the_table_has_the_keys_of_devices(page: str, spec: Specification) -> None:
    name = f"{spec.name}, device key"
    assert row_of(name, device_facts(presets.load(spec.name))) in page.splitlines()


def row_of(name: str, facts: dict[str, Any]) -> str:
    cheapest = {
        model: min(e["bits"] for e in facts["estimates"] if e["model"] == model)
        for model in COLUMNS
    }
    cells = [
        name,
        facts["ring_dimension"],
        f"{facts['log2_qp']:.0f}",
        facts["log2_qp_bound"],
        f"{facts['margin_bits']:.0f}",
        facts["log2_qp_bound_quantum"],
        f"{facts['margin_bits_quantum']:.0f}",
        *(f"{cheapest[model]:.1f}" for model in COLUMNS),
    ]
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def test_the_table_has_no_other_presets(page: str) -> None:
    rows = re.findall(r"^\| ([\w, -]+) \| (?:65536|32768) \|", page, re.MULTILINE)
    rings = [name for name, ring in RINGS.items() if ring is not None and name != "gallery"]
    assert sorted(rows) == sorted([*rings, *(f"{one.name}, device key" for one in presets.SHIPPED)])


def test_every_cost_model_is_explained(page: str) -> None:
    for model in lattice.MODELS:
        assert model.name in page


@pytest.mark.parametrize(("queries", "bits"), [(1, 0), (1, 4), (1, 30), (1000, 30)])
def test_the_table_of_flooding(page: str, queries: int, bits: int) -> None:
    deviation = flooding_deviation(COSINE_BOUND, queries, bits)
    shown = f"{deviation:,.0f}" if deviation > 10 else f"{deviation:.2f}"
    assert f"| {queries} | {bits} | {shown} |" in page.splitlines()


def test_rounding_and_scrypt(page: str) -> None:
    one, two = (Rounding(digits).crossing_probability for digits in (1, 2))
    assert f"{one:.0%} ({two:.0%})".replace("%", " %") in page
    assert f"N = 2^{Scheme().log_cost}" in page


ANSWERS = (0, 1024, DEFAULT_LIMIT, 8192, 32768)


@pytest.mark.parametrize("answers", ANSWERS)
def test_the_table_of_answers(page: str, answers: int) -> None:
    """An answer is worth at most one known coefficient of the secret."""
    bits = [after(name, answers) for name in ("lean", "raw", "safe", "deep")]
    cells = [f"{answers:,}", *(f"{cost:.0f}" for cost in bits)]
    assert "| " + " | ".join(cells) + " |" in page.splitlines()


def after(name: str, answers: int) -> float:
    parameters = presets.load(name)
    log2_qp = preset_facts(parameters)["log2_qp"]
    n = parameters.ring_dimension - answers
    return lattice.primal_usvp(lattice.Instance(n, log2_qp, 3.24), lattice.MATZOV).bits


def test_what_answers_would_cost_the_smaller_ring(page: str) -> None:
    """Why nothing is decrypted there."""
    half = presets.load("lean").half
    assert half is not None
    instance = lattice.Instance(half.ring_dimension - DEFAULT_LIMIT, half.log2_qp, 3.24)
    bits = lattice.primal_usvp(instance, lattice.MATZOV).bits
    left = after("lean", DEFAULT_LIMIT)
    assert f"leave {left:.0f} bits of `lean`'s larger ring, and would leave {bits:.0f} of" in page


def test_the_limit_of_answers(page: str) -> None:
    assert f"limit of **{DEFAULT_LIMIT:,} answers**" in page
    assert f"From {WARNING_SHARE:.0%} on".replace("%", " %") in page
    assert min(after(spec.name, DEFAULT_LIMIT) for spec in presets.SHIPPED) > 120


@pytest.mark.parametrize("answers", [0, 1024, 2048, ANSWER_LIMIT, 6144])
def test_the_table_of_a_gallerys_answers(page: str, answers: int) -> None:
    left = bits_left(gallery_parameters(), answers)
    assert f"| {answers:,} | {left:.0f} |" in page.splitlines()


def test_what_the_answers_of_a_gallery_are_worth(page: str) -> None:
    assert f"**{ANSWER_LIMIT:,} three-way answers**" in page
    for people, worth in ((1000, answers_of(2001)), (1_000_000, answers_of(2_000_001))):
        assert f"| {people:,} | {worth} | {ANSWER_LIMIT // worth:,} |" in page.splitlines()


def test_every_fact_of_a_result_is_in_the_table(page: str) -> None:
    section = page.split("## What a result decides")[1].split("\n## ")[0]
    for name in (*RESULT_FACTS, PREPARATION, BATCH, REQUESTS, SENDERS, "weights"):
        assert f"| facts: `{name}`" in section
    for field in ("parameter_hash", "key_id", "what", "items"):
        assert f"`{field}`" in section


def named_tests(repository: Path) -> list[tuple[str, str, str]]:
    """(page, file, function or nothing) of every test that a page names in backticks."""
    pages = [*sorted(repository.glob("*.md")), *sorted((repository / "docs").glob("*.md"))]
    return [
        (page.name, file, function)
        for page in pages
        for file, function in re.findall(
            r"`(tests/[\w/.-]+)(?:::(\w+))?`", page.read_text(encoding="utf-8")
        )
    ]


def test_every_test_that_is_named_exists(repository: Path) -> None:
    named = named_tests(repository)
    assert len([n for n in named if n[0] == "security.md"]) > 20
    for page, file, function in named:
        path = repository / file
        assert path.exists(), f"{page} names {file}"
        if function:
            text = path.read_text(encoding="utf-8")
            assert re.search(rf"^def {function}\(", text, re.MULTILINE), f"{page}: {function}"


def test_every_promise_names_a_test(page: str) -> None:
    promises = page.split("## Promises")[1].split("\n## ")[0]
    rows = [line for line in promises.splitlines() if line.startswith("| ")][1:]
    assert len(rows) > 12
    for row in rows:
        assert "`tests/" in row.split("|")[-2], row


def test_links_lead_somewhere(repository: Path) -> None:
    for page in ("SECURITY.md", "docs/security.md"):
        text = (repository / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert ((repository / page).parent / target).exists(), f"{page}: {target}"
