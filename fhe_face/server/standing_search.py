"""Searching one gallery, as a process that stays: ``python -m fhe_face.server.standing_search``.

It is given a gallery's folder ``server/`` and probes, and nothing else. Requests are JSON objects,
one a line on stdin: first what to load, then one probe after another; answers as in
`fhe_face.server.talking`::

    {"gallery": "friends/server", "threads": 2}
    {"source": "probe", "target": "scores"}
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TextIO

from fhe_core.files import write_whole
from fhe_core.formats.matching import probe_from_bytes, to_bytes
from fhe_core.matching import MatchParameters
from fhe_face.server.searching import SearchServer
from fhe_face.server.talking import Request, Standing, Talk, be_process


class StandingSearch:
    """One gallery. parameters: of the ring; None: those of every gallery."""

    def __init__(
        self, source: TextIO, target: TextIO, parameters: MatchParameters | None = None
    ) -> None:
        self._talk = Talk(source, target)
        self._parameters = parameters
        self._server: SearchServer | None = None

    def run(self) -> None:
        """Answer until there is nobody left who asks."""
        try:
            Standing(self._talk, self._answer).run()
        finally:
            if self._server is not None:
                self._server.close()

    def _answer(self, request: Request) -> None:
        server = self._server
        if server is None:
            self._server = SearchServer.load(
                request["gallery"], threads=request["threads"], parameters=self._parameters
            )
            return
        content = Path(request["source"]).read_bytes()
        probe = probe_from_bytes(content, server.parameters, server.key_id, "the probe")
        write_whole(Path(request["target"]), to_bytes(server.search(probe)))


def main(parameters: MatchParameters | None = None) -> None:
    """Until stdin ends; a signal or an interruption ends it quietly."""
    be_process(StandingSearch(sys.stdin, sys.stdout, parameters).run)


if __name__ == "__main__":
    main()
