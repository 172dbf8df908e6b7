"""The API reference builds without a warning, and the pages are all in the index."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import fhe_face


def test_the_reference_builds_without_a_warning(repository: Path, tmp_path: Path) -> None:
    pytest.importorskip("pdoc")
    command = [sys.executable, str(repository / "docs" / "make_api.py"), str(tmp_path / "api")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    page = (tmp_path / "api" / "fhe_face.html").read_text(encoding="utf-8")
    for name in fhe_face.__all__:
        assert f'id="{name}"' in page, name
    assert "Raises" in page


def test_the_index_names_every_page(repository: Path) -> None:
    docs = repository / "docs"
    index = (docs / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", index))
    pages = {path.name for path in docs.glob("*.md")} - {"README.md"}
    assert pages <= named
    for target in named:
        assert (docs / target).exists(), target


def test_links_of_new_pages_lead_somewhere(repository: Path) -> None:
    for page in ("CONTRIBUTING.md", "examples/README.md"):
        text = (repository / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text):
            assert ((repository / page).parent / target).exists(), f"{page}: {target}"


def test_versions_agree(repository: Path) -> None:
    citation = (repository / "CITATION.cff").read_text(encoding="utf-8")
    (cited,) = re.findall(r"^version: (.+)$", citation, re.MULTILINE)
    assert cited == fhe_face.__version__
