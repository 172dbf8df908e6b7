"""Pages name files, folders and modules of the repository: every one of them is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.test_layering import REPOSITORY, module_path

PAGES = sorted(
    [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md"), *REPOSITORY.glob("benchmarks/*.md")]
)
TOPS = "fhe_core|fhe_face|models|coeffs|cpp|tests|benchmarks|docs|examples|fuzz|sanitize"
PATH = re.compile(rf"`((?:{TOPS})/[\w./*<>-]*)")
MODULE = re.compile(r"`((?:fhe_core|fhe_face)(?:\.\w+)+)")


def missing(text: str) -> list[str]:
    """What a text names and the repository does not have."""
    found = []
    for name in PATH.findall(text):
        if "<" not in name and not list(REPOSITORY.glob(name.rstrip("./") or name)):
            found.append(name)
    for name in MODULE.findall(text):
        parts = name.split(".")
        heads = [".".join(parts[:end]) for end in range(2, len(parts) + 1)]
        if not any(module_path(head, REPOSITORY) for head in heads) and not public(name):
            found.append(name)
    return found


def public(name: str) -> bool:
    package, _, member = name.rpartition(".")
    return package == "fhe_face" and member in __import__("fhe_face").__all__


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_pages_name_is_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    if page.name == "CHANGELOG.md":
        text = text.partition("## 0.1.0")[0]
    assert missing(text) == []


def test_what_is_not_there_is_found() -> None:
    assert missing("`fhe_core/plan.py` and `fhe_face.nothing.at_all`, but `fhe_core/plan/`") == [
        "fhe_core/plan.py",
        "fhe_face.nothing.at_all",
    ]
