"""Tables that stay readable in narrow terminals: words wrap, numbers do not, and what is too wide
for one table becomes several under each other."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

#: A word or a path longer than this is broken rather than given its whole width.
_LONGEST_WORD = 24
#: Around a cell, and for the edge of the table.
_PADDING = 3
_EDGES = 1


class Grid(Table):
    """Plain text in columns; those from `numbers_from` on hold numbers, aligned to the right."""

    def __init__(
        self,
        title: str,
        names: Sequence[str],
        cells: Sequence[Sequence[str]],
        numbers_from: int,
    ) -> None:
        """`cells`: rows of as many texts as there are `names`."""
        super().__init__(
            title=Text(title, style="bold"),
            title_justify="left",
            show_header=any(names),
            box=SIMPLE_HEAD,
        )
        self._names, self._cells, self._numbers_from = names, cells, numbers_from
        for column in range(len(names)):
            number = self._number(column)
            self.add_column(names[column], justify="right" if number else "left", overflow="fold")
        for row in cells:
            self.add_row(*(Text(cell) for cell in row))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """One table where it fits, with words wrapped where they must be; else several."""
        available = options.max_width - _EDGES
        for number, part in enumerate(self._parts(available)):
            table = self if part == self._columns() else self._part(part, first=number == 0)
            for place, width in zip(range(len(part)), self._widths(part, available), strict=True):
                table.columns[place].width = width
            yield from Table.__rich_console__(table, console, options)

    def _columns(self) -> list[int]:
        return list(range(len(self._names)))

    def _number(self, column: int) -> bool:
        return column >= self._numbers_from

    def _texts(self, column: int) -> list[str]:
        return [row[column] for row in self._cells]

    def _wide(self, column: int) -> int:
        """The width that no text of a column needs more than."""
        return max(map(_length, (self._names[column], *self._texts(column))), default=0)

    def _narrow(self, column: int) -> int:
        """The width that a column must have: its numbers, or its longest word."""
        words = self._names[column].split()
        if self._number(column):
            return max(map(_length, (*words, *self._texts(column))), default=0)
        for text in self._texts(column):
            words += text.split()
        return min(max(map(_length, words), default=0), _LONGEST_WORD)

    def _parts(self, available: int) -> list[list[int]]:
        """The columns of each table; what names the rows stands in all of them."""
        names = [column for column in self._columns() if not self._number(column)]
        used = sum(self._narrow(column) + _PADDING for column in names)
        parts, room = [list(names)], available - used
        for column in self._columns()[len(names) :]:
            needed = self._narrow(column) + _PADDING
            if needed > room and len(parts[-1]) > len(names):
                parts.append(list(names))
                room = available - used
            parts[-1].append(column)
            room -= needed
        return parts

    def _part(self, columns: Sequence[int], *, first: bool) -> Table:
        """A table of some of the columns, with the sections of this one."""
        cells = [[row[column] for column in columns] for row in self._cells]
        names = sum(not self._number(column) for column in columns)
        title = self.title.plain if first and isinstance(self.title, Text) else ""
        part = Grid(title, [self._names[column] for column in columns], cells, names)
        if not first:
            part.title = None
        for row, own in zip(part.rows, self.rows, strict=True):
            row.end_section = own.end_section
        return part

    def _widths(self, columns: Sequence[int], available: int) -> list[int]:
        """Shares of the width: the widest that can wrap gives way first."""
        widths = [self._wide(column) for column in columns]
        least = [self._narrow(column) for column in columns]
        while sum(widths) + _PADDING * len(widths) > available:
            spare = [width - needed for width, needed in zip(widths, least, strict=True)]
            widest = max(range(len(widths)), key=lambda place: (spare[place] > 0, widths[place]))
            if spare[widest] <= 0:
                break
            widths[widest] -= 1
        return widths


def _length(text: str) -> int:
    return Text(text).cell_len
