"""What the help says: groups, lines to copy that are commands, and options in full sentences."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from fhe_face import cli, guide

COMMAND: Any = typer.main.get_command(cli.app)


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """All commands and groups by their words, but for the program itself."""
    for name, child in getattr(command, "commands", {}).items():
        yield " ".join((*path, name)), child
        yield from walk(child, (*path, name))


ALL = dict(walk(COMMAND))


@pytest.mark.parametrize("path", ALL)
def test_every_command_has_lines_to_copy(path: str) -> None:
    examples = [line for line in (ALL[path].epilog or "").split("\n\n")[1:] if line]
    assert examples, f"{path} has no example in fhe_face/guide.py"
    for example in examples:
        program, *words = shlex.split(example)
        assert program == "fhe-face"
        assert " ".join(words).startswith(path)
        command: Any = COMMAND
        while getattr(command, "commands", None):
            if command.invoke_without_command and words[0].startswith("-"):
                break  # the group is a command itself
            command = command.commands[words.pop(0)]
        options = {name for parameter in command.params for name in parameter.opts}
        used = {word for word in words if word.startswith("-")}
        assert used <= options, example


def test_every_command_stands_in_a_group() -> None:
    groups = {guide.START, guide.GALLERIES, guide.CLIENT, guide.SERVER}
    groups |= {guide.MODELS, guide.INSIDE}
    for path, command in ALL.items():
        if " " not in path:
            assert command.rich_help_panel in groups, path
    first = next(iter(COMMAND.commands))
    assert first == "demo"


@pytest.mark.parametrize("path", ALL)
def test_texts_are_sentences(path: str) -> None:
    command = ALL[path]
    texts = {path: command.help or ""}
    texts |= {f"{path} {p.name}": getattr(p, "help", "") or "" for p in command.params}
    for where, text in texts.items():
        if where.endswith(" help") and text.startswith("Show this message"):
            continue
        assert text[:1].isupper(), (where, text)
        assert text.endswith("."), (where, text)
        assert not text.startswith("Of "), (where, text)


@pytest.mark.parametrize("path", ALL)
def test_every_command_completes(path: str) -> None:
    assert "--install-completion" in {name for p in COMMAND.params for name in p.opts}
    assert path.split(" ")[0] in COMMAND.commands
