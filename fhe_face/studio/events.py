"""A job's state to the page as it changes: server-sent events with pieces of HTML."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

from fhe_face.studio.jobs import Job

_LOOK_SECONDS: Final = 0.1
#: Times go on while nothing is reported.
_TICK: Final = 5


async def events(job: Job, render: Callable[[str], str]) -> AsyncIterator[str]:
    """Events of a job, until it has ended; render: a piece of the page by the event's name.

    ``steps`` and ``travel`` come when they change, ``said`` when another step begins, which is all
    that is read out; ``ended`` comes last.
    """
    steps, noise, said = -1, None, ""
    ticks = 0
    while job.running:
        if job.progress.version != steps or ticks % _TICK == 0:
            steps = job.progress.version
            yield event("steps", render("steps"))
        if job.noise != noise:
            noise = job.noise
            yield event("travel", render("travel"))
        if (text := render("said")) != said:
            said = text
            yield event("said", text)
        ticks += 1
        await asyncio.sleep(_LOOK_SECONDS)
    yield event("ended", render("ended"))


def event(name: str, text: str) -> str:
    """One event; text may have several lines."""
    return "".join(_lines(name, text)) + "\n"


def _lines(name: str, text: str) -> Iterator[str]:
    yield f"event: {name}\n"
    for line in text.splitlines() or [""]:
        yield f"data: {line}\n"
