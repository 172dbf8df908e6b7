"""Long lists: one JSON value a line, and a last line that says how many there were."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import httpx

from fhe_face.remote.answers import Fields, parse
from fhe_face.remote.connection import Connection
from fhe_face.remote.errors import BadAnswer, Unreachable

#: Of one line: a sealed record and what belongs to it, or all templates of one subject.
LINE_BYTES: Final = 16 << 20
#: Of a list: more than anybody has.
_MOST_LINES: Final = 1 << 28
_END: Final = "end"


def lines(
    connection: Connection,
    method: str,
    path: str,
    query: Mapping[str, str | int] | None = None,
    document: Mapping[str, Any] | None = None,
) -> Iterator[Any]:
    """The values of a list, as they come; the connection is held until the last one was taken.

    Raises:
        BadAnswer: a line is too long or no JSON, or there are others than the last one says.
        Unreachable: the list was cut off: what came of it is not all.
    """
    body = b"" if document is None else json.dumps(document, allow_nan=False).encode()
    headers = {} if document is None else {"Content-Type": "application/json"}
    where = f"{method} /{path}"
    with connection.stream(method, path, body, query=query, headers=headers, again=True) as answer:
        count = 0
        for line in _split(answer, where):
            value = parse(line, where)
            if isinstance(value, dict) and value.keys() == {_END}:
                if Fields(value, where).integer(_END) != count:
                    raise BadAnswer(f"{where}: the list has {count} lines, and says otherwise")
                return
            count += 1
            if count > _MOST_LINES:
                raise BadAnswer(f"{where}: the server's list does not end")
            yield value
    raise Unreachable(f"{where}: the server's list was cut off after {count} lines")


def _split(answer: httpx.Response, where: str) -> Iterator[bytes]:
    """Lines without their ends; what follows the last end is none."""
    left: list[bytes] = []
    size = 0
    for part in answer.iter_raw():
        *whole, rest = part.split(b"\n")
        for piece in whole:
            yield b"".join((*left, piece))
            left, size = [], 0
        left.append(rest)
        size += len(rest)
        if size > LINE_BYTES:
            raise BadAnswer(f"{where}: a line of the list has more than {LINE_BYTES} bytes")
