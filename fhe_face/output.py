"""What a command says: its answer on stdout (text or one JSON object), all else on stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from fhe_core.files import one_line
from fhe_core.outputs import Outputs
from fhe_face.failures import plain
from fhe_face.progress import Stage
from fhe_face.system import duration
from fhe_face.tables import Grid

_FILE_WIDTH = 110
#: Seconds of the past that the time left is estimated from: steps may take a minute each.
_ESTIMATED_FROM = 900.0
#: Fewer steps need no counting.
_COUNTED_FROM = 2


class Output:
    """The two streams of one command."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.console = Console(highlight=False, width=_width())
        self._errors = Console(stderr=True, highlight=False)

    def answer(self, data: Mapping[str, Any], show: Callable[[Console], None]) -> None:
        """The result: `data` as JSON, or what `show` prints."""
        if self.as_json:
            print_json(data)
        else:
            show(self.console)

    @property
    def interactive(self) -> bool:
        """Whether somebody sees the progress display of `stages`."""
        return self._errors.is_terminal

    def note(self, text: str) -> None:
        """A remark for people, on stderr."""
        self._errors.print(Text(text), soft_wrap=True)

    def replaced(self, outputs: Outputs) -> None:
        """A remark on every file that was replaced."""
        for line in outputs.replaced:
            self.note(line)

    def warn(self, text: str) -> None:
        """A warning for people, one line on stderr."""
        print(f"warning: {one_line(text)}", file=sys.stderr)

    @contextmanager
    def stages(self) -> Iterator[Stage]:
        """A progress display on stderr while the block runs; nothing where it is no terminal."""
        columns = (
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TimeElapsedColumn(),
            _Left(),
        )
        with Progress(
            *columns,
            console=self._errors,
            disable=not self.interactive,
            speed_estimate_period=_ESTIMATED_FROM,
        ) as progress:
            tasks: dict[str, Any] = {}

            def stage(what: str, done: int, total: int) -> None:
                if what not in tasks:
                    tasks[what] = progress.add_task(what, total=None)
                progress.update(tasks[what], completed=done, total=total or None)

            yield stage


class _Left(ProgressColumn):
    """How many of how many, and the time left."""

    def render(self, task: Task) -> Text:
        if not task.total or task.total < _COUNTED_FROM:
            return Text()
        said = f"{task.completed:.0f} of {task.total:.0f}"
        if not task.finished and task.time_remaining is not None:
            said += f", {duration(task.time_remaining)} left"
        return Text(said)


def _width() -> int | None:
    """The terminal's own width; tables that go to a file need not be narrow."""
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        return None
    return _FILE_WIDTH


def print_json(data: Mapping[str, Any]) -> None:
    """Exactly one JSON object on stdout."""
    print(json_text(plain(data), sys.stdout.encoding or "ascii"))


def json_text(value: Any, encoding: str, indent: int | None = None) -> str:
    """JSON that an encoding has letters for; where it has not, everything but ASCII is escaped.

    So names of any bytes can be written: a byte that is no UTF-8 becomes an escaped surrogate,
    which Python reads back as the same name.
    """
    text = json.dumps(value, allow_nan=False, ensure_ascii=False, indent=indent)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(value, allow_nan=False, indent=indent)
    return text


def facts(title: str, rows: Iterable[tuple[str, object]]) -> Grid:
    """A table of names and values."""
    return grid(title, ("", ""), [(name, str(value)) for name, value in rows])


def grid(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], numbers_from: int = 99
) -> Grid:
    """A table of plain text; columns from `numbers_from` on are aligned to the right.

    Texts may come from a file that somebody else wrote: no control character reaches the terminal.
    """
    cells = [[_printable(cell) for cell in row] for row in rows]
    return Grid(_printable(title), columns, cells, numbers_from)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def ring(described: Mapping[str, Any]) -> str:
    """A ring's dimension and log2(QP) with its bound, from what parameters say of it."""
    limit, margin = described["log2_qp_bound"], described["margin_bits"]
    bound = "no 128-bit bound is known"
    if limit is not None:
        bound = f"of at most {limit} for 128 bits, margin {margin:.0f}"
    return (
        f"ring dimension {described['ring_dimension']}, log2(QP) {described['log2_qp']:.0f} {bound}"
    )


def rings(described: Mapping[str, Any]) -> str:
    """The same of all rings of parameters, the largest first."""
    both = [described, described["half"]] if described["half"] else [described]
    return "; then ".join(map(ring, both))
