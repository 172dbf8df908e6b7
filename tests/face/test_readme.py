"""What the README promises: its example runs as it stands, its commands and fields exist."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fhe_face import cli
from tests.extent import only_long
from tests.face.newcomer import place_photos


def blocks(repository: Path, language: str) -> list[str]:
    text = (repository / "README.md").read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_its_commands_exist(repository: Path) -> None:
    named = {
        name
        for text in (*blocks(repository, "sh"), (repository / "docs" / "cli.md").read_text())
        for name in re.findall(r"^\$? ?fhe-face (\w+)", text, re.MULTILINE)
    }
    commands = {
        command.callback.__name__ for command in cli.app.registered_commands if command.callback
    }
    groups = {group.name for group in cli.app.registered_groups}
    assert commands <= named <= commands | groups


def test_its_links_lead_somewhere(repository: Path) -> None:
    for page in ("README.md", "docs/cli.md", "docs/architecture.md"):
        text = (repository / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert ((repository / page).parent / target).exists(), f"{page}: {target}"


def test_it_is_short_and_holds_what_a_newcomer_needs(repository: Path) -> None:
    text = (repository / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 100
    assert text.count("![") == 1
    commands = [line for block in blocks(repository, "sh")[1:] for line in block.splitlines()]
    assert [line.split()[:2] for line in commands] == [
        ["fhe-face", "weights"],
        ["fhe-face", "verify"],
        ["fhe-face", "gallery"],
        ["fhe-face", "enroll"],
        ["fhe-face", "identify"],
    ]
    (shown,) = blocks(repository, "text")
    assert shown.startswith("same person: cosine 0.")


@only_long
@pytest.mark.full
def test_its_example_runs(repository: Path, checkpoint: Path, shared: Path, tmp_path: Path) -> None:
    """As written, on two photos of one person, where the official weights were downloaded.

    tests/install/test_installed.py runs it with the bundled weights; the commands with the official
    ones are run by test_transcript.py.
    """
    (example,) = blocks(repository, "python")
    assert sum(bool(line.strip()) for line in example.splitlines()) == 5
    place_photos(shared, tmp_path)
    code = f"import sys; sys.path.insert(0, {str(repository)!r})\n{example}"
    try:
        process = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={**os.environ, "FHE_FACE_CACHE": str(checkpoint.parent)},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    finally:
        shutil.rmtree(tmp_path / "keys", ignore_errors=True)  # gigabytes
    assert process.returncode == 0, process.stderr
    said, cosine = process.stdout.split()
    assert said == "same"
    assert 0.409 < float(cosine) <= 1
