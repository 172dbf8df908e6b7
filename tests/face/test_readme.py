"""What the README promises: its example runs as it stands, its commands and fields exist."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from fhe_face import cli
from fhe_face.demo_faces import demo_faces


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


@pytest.mark.full
def test_its_example_runs(repository: Path, tmp_path: Path) -> None:
    (example,) = blocks(repository, "python")
    assert sum(bool(line.strip()) for line in example.splitlines()) == 5
    for name, face in zip("ab", demo_faces(), strict=True):
        Image.fromarray(face).save(tmp_path / f"{name}.png")
    code = f"import sys; sys.path.insert(0, {str(repository)!r})\n{example}"
    try:
        process = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
    finally:
        shutil.rmtree(tmp_path / "keys", ignore_errors=True)  # gigabytes
    assert process.returncode == 0, process.stderr
    assert -1 <= float(process.stdout) <= 1
