"""A server process that stays, from the client's side: one request after the other."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from fhe_face.local.process import (
    NoAnswer,
    ServerError,
    answered,
    end,
    no_answer,
    parsed,
    started,
)
from fhe_face.progress import Stage, silent

#: What the last answer to a request holds.
_ENDS: Final = frozenset(("report", "cancelled", "error"))


@dataclass
class StandingProcess:
    """Started when it is first asked, and again after it has ended.

    command: starts it; first: what it is asked before everything else, such as what to load.
    """

    command: Sequence[str]
    first: Mapping[str, Any]
    _process: subprocess.Popen[str] | None = field(default=None, repr=False)

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.poll() is None

    def start(self, stage: Stage = silent) -> None:
        """Have it load what it needs, unless that was done.

        Raises:
            ServerError: the process reports an error, or ends.
        """
        if self.running:
            return
        self.close()
        # Ctrl-C is for whoever started it, who then closes it.
        self._process = started(self.command, apart=True)
        try:
            self.ask(self.first, stage)
        except BaseException:  # half loaded, it cannot be asked anything
            self.close()
            raise

    def ask(self, request: Mapping[str, Any], stage: Stage) -> Mapping[str, Any]:
        """A request's report; relays progress. An exception out of `stage` gives the request up.

        Raises:
            ServerError: the server reports an error, or ends without an answer.
        """
        process = self._process
        assert process is not None
        self._say(request)
        try:
            return answered(process, stage)
        except NoAnswer:  # what it says next would be taken for the next answer
            self.close()
            raise
        except ServerError:
            raise
        except BaseException:
            self._give_up()
            raise

    def seconds(self, request: Mapping[str, Any], stage: Stage) -> float:
        """As `ask`, of a request whose report says how long it took."""
        report = self.ask(request, stage)
        took = report.get("seconds")
        if not isinstance(took, float):
            raise no_answer(json.dumps(report))
        return took

    def close(self) -> None:
        """End the process, whatever it does."""
        process, self._process = self._process, None
        if process is not None:
            end(process)

    def _give_up(self) -> None:
        """Let the process stop at its next step, so that what it loaded stays; else end it."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        self._say({"cancel": True})
        with suppress(NoAnswer):
            for line in process.stdout:
                if not _ENDS.isdisjoint(parsed(line)):
                    return
        self.close()

    def _say(self, request: Mapping[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(OSError):  # it ended: the answer that does not come says so
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
