"""Searching a gallery in a process of its own, which is given no key that decrypts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from fhe_core.formats.matching import to_bytes
from fhe_core.matching import Probe, Scores
from fhe_face.gallery.gallery import Gallery
from fhe_face.gallery.searchers import read_scores
from fhe_face.local.talking import StandingProcess
from fhe_face.progress import silent

COMMAND: Final = (sys.executable, "-m", "fhe_face.server.standing_search")


@dataclass
class SearchProcess:
    """Carries probes to a process, and its scores back, as files.

    gallery: its folder ``server/``, of which alone the process is told. command: starts it.
    """

    gallery: Path
    threads: int
    command: Sequence[str] = COMMAND
    _process: StandingProcess = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Nothing is started yet."""
        first = {"gallery": str(self.gallery.resolve()), "threads": self.threads}
        self._process = StandingProcess(self.command, first)

    def search(self, probe: Probe, /) -> Scores:
        """The sealed scores of all blocks that the process can read.

        Raises:
            ServerError: it reports an error, or ends without an answer.
            ContainerError: its scores answer another probe, or are damaged.
        """
        self._process.start()
        with TemporaryDirectory(prefix="fhe-face-") as folder:
            asked, answer = Path(folder) / "probe", Path(folder) / "scores"
            asked.write_bytes(to_bytes(probe))
            self._process.seconds({"source": str(asked), "target": str(answer)}, silent)
            return read_scores(answer, probe)

    def close(self) -> None:
        """End the process."""
        self._process.close()


def search_apart(gallery: Gallery) -> None:
    """Have a gallery of this machine searched by a process that has no key."""
    gallery.search_by(lambda opened: SearchProcess(opened.folder.server, opened.threads, COMMAND))
