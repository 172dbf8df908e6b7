"""One job from its claim to its end, whatever happens in between."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fhe_core.errors import Failure
from fhe_core.files import one_line, reason_of
from fhe_face.service.blobs import Blobs
from fhe_face.service.errors import NotComplete, NotHere, ServiceError
from fhe_face.service.jobs import naming
from fhe_face.service.jobs.claims import Claims, Lost
from fhe_face.service.jobs.engines import Work
from fhe_face.service.jobs.keeping import MADE_BY, PARTS, scratch_name
from fhe_face.service.jobs.records import ROOMS, Claim, JobFailed, NodeFailed
from fhe_face.service.jobs.residents import Keys
from fhe_face.service.jobs.stopping import Cancelled, Died, HandedBack, Stopping, TimeUp
from fhe_face.store.errors import StoreError

#: Progress is written so often, and asked then whether to go on.
TELL_SECONDS: Final = 0.5
#: A database that is away is waited for so long before a finished job is given up.
_PATIENCE_SECONDS: Final = 60.0
_PATH: Final = re.compile(r"(?<![\w/])/[^\s:,;'\"]+")


@dataclass
class Runner:
    """Computes claims. log: called with what happened, for the operator.

    tell_seconds: between two reports of a job to the database, where many compute at once.
    """

    claims: Claims
    blobs: Blobs
    residents: Keys
    folder: Path
    stopping: Stopping
    log: Callable[[str, Mapping[str, Any]], None] = field(default=lambda _what, _facts: None)
    tell_seconds: float = TELL_SECONDS

    def run(self, claim: Claim) -> None:
        """Compute a job and say how it ended; raises only what ends the worker."""
        started = time.monotonic()
        watch = _Watch(self.claims, claim, self.stopping, started, self.tell_seconds)
        places: dict[str, str] = {str(self.folder): "the server"}
        try:
            end = self._compute(claim, watch, places)
        except Lost:
            end = "lost"
        except Cancelled:
            end = self._settle(claim, "cancelled", self.claims.cancelled)
        except HandedBack:
            end = self._settle(claim, "handed back", self.claims.hand_back)
        except Died as error:
            why = str(error)
            end = self._settle(claim, "died", lambda own: self.claims.died_alone(own, why))
        except Exception as error:
            end = self._failed(claim, error, places)
        if end not in ("lost", "handed back", "again", "died"):
            shutil.rmtree(self._parts(claim), ignore_errors=True)
        took = {"seconds": time.monotonic() - started, "computing": watch.computing}
        rounded = {what: round(seconds, 3) for what, seconds in took.items()}
        self.log(end, {"job": claim.id, "kind": claim.kind.value, **rounded})

    def _compute(self, claim: Claim, watch: _Watch, places: dict[str, str]) -> str:
        name = naming.output_name(claim.work, self.residents.identity())
        inputs = self._inputs(claim, places)
        done = self._found(claim, name)
        if done is None:
            watch.stage("loading keys", 0, 0)
            key = inputs.pop("key")
            files = [inputs[what] for what in claim.kind.files(claim.inputs)]
            before = list(self.residents.loaded)
            resident = self.residents.get(claim.key, key, watch.stage, expanded_bytes(files))
            if claim.key not in before:
                left = [one[:12] for one in before if one not in self.residents.loaded]
                self.log("keys loaded", {"key": claim.key[:12], "left": left})
            work = resident.open(claim.kind, files)
            done = self._scratch(claim)
            self._all_parts(claim, work, watch, done)
        digest = self._publish(claim, name, done)
        self._settle(claim, "done", lambda own: self.claims.finish(own, name, digest))
        return "done"

    def _inputs(self, claim: Claim, places: dict[str, str]) -> dict[str, Path]:
        """Files by what they are; `places` gets what paths are called in messages."""
        found = {}
        for what in (*claim.kind.files(claim.inputs), "key"):
            path = self.blobs.path(claim.tenant, ROOMS[what], claim.inputs[what])
            digest = self.blobs.find(claim.tenant, ROOMS[what], claim.inputs[what]).digest
            if what == "key" and digest != claim.key:
                raise NotHere("the evaluation keys were replaced after the job was submitted")
            found[what] = path
            places[str(path)] = f"{what} {claim.inputs[what]}"
        return found

    def _found(self, claim: Claim, name: str) -> Path | None:
        """A copy of the output, if it was computed for this tenant already and is still there."""
        place = self.claims.output(claim.tenant, name)
        if place is None:
            return None
        room, resource, digest = place
        try:
            path = self.blobs.path(claim.tenant, room, resource)
            if self.blobs.find(claim.tenant, room, resource).digest != digest:
                return None
        except ServiceError:
            return None
        copy = self._scratch(claim)
        with suppress(FileNotFoundError):
            copy.unlink()
        _twin(path, copy)
        return copy

    def _all_parts(self, claim: Claim, work: Work, watch: _Watch, target: Path) -> None:
        """Compute the parts that are not there yet, and join them."""
        folder = self._parts(claim)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        paths = [folder / f"{part:04}" for part in range(work.parts)]
        missing = [part for part, path in enumerate(paths) if not path.is_file()]
        for part in missing:
            watch.part(part, work.parts, first=part == missing[0])
            began = time.monotonic()
            work.compute(part, paths[part], watch.stage)
            watch.computing += time.monotonic() - began
        with suppress(FileNotFoundError):
            target.unlink()
        if work.parts == 1:
            _twin(paths[0], target)
        else:
            work.join(paths, target)

    def _publish(self, claim: Claim, name: str, file: Path) -> str:
        facts = {MADE_BY: claim.id, "output": name}
        made = self.blobs.publish(claim.tenant, claim.target_room, claim.target, file, facts)
        with suppress(OSError):  # it stays where its place already had this very file
            file.unlink()
        return made.digest

    def _failed(self, claim: Claim, error: Exception, places: Mapping[str, str]) -> str:
        if isinstance(error, MemoryError):
            self.residents.clear()
        failure, passing = explained(error, places)
        if isinstance(error, TimeUp) or not passing:
            return self._settle(claim, "failed", lambda own: self.claims.fail(own, failure))
        return self._settle(claim, "again", lambda own: self.claims.try_again(own, failure))

    def _settle(self, claim: Claim, end: str, write: Callable[[Claim], None]) -> str:
        """Write how it ended, also if the database is away for a moment."""
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                write(claim)
                return end
            except Lost:
                return "lost"
            except StoreError:
                if time.monotonic() > until:
                    raise
                time.sleep(1.0)

    def _scratch(self, claim: Claim) -> Path:
        return self.blobs.scratch() / scratch_name(claim)

    def _parts(self, claim: Claim) -> Path:
        return self.folder / PARTS / claim.id


@dataclass
class _Watch:
    """Tells how a job goes on, and stops it by raising where it must not.

    computing: seconds in the engine, without keys, files and the database.
    """

    claims: Claims
    claim: Claim
    stopping: Stopping
    started: float
    tell_seconds: float
    computing: float = 0.0
    _told: float = 0.0
    _prefix: str = ""

    def part(self, part: int, parts: int, *, first: bool) -> None:
        """A part begins; the time that a part may take begins anew."""
        self._prefix = f"{part + 1} of {parts}: " if parts > 1 else ""
        self._told, self.started = 0.0, time.monotonic()
        if not first:
            with suppress(StoreError):
                self.claims.next_part(self.claim)
        self.stage("computing", 0, 0)

    def stage(self, what: str, done: int, total: int) -> None:
        """As `fhe_face.progress.Stage`. Raises Cancelled, TimeUp, HandedBack or Lost."""
        now = time.monotonic()
        self.stopping.check()
        limit = self.claims.limits.job_seconds
        if now - self.started > limit:
            raise TimeUp(f"it was ended after {limit:.0f} s")
        if now - self._told < self.tell_seconds:
            return
        self._told = now
        with suppress(StoreError):  # the database is away: computing goes on
            if self.claims.progress(self.claim, self._prefix + what, done, total):
                raise Cancelled


def _twin(path: Path, twin: Path) -> None:
    """A second name of a file that is never written again; a copy where there are no links.

    The first one stays until the job has ended: a worker that is killed before that has it.
    """
    try:
        os.link(path, twin)
    except OSError:
        shutil.copyfile(path, twin)


def expanded_bytes(files: Iterable[Path]) -> int:
    """What ciphertexts of files take in memory at most: of a fresh one a file has one half."""
    return 2 * sum(file.stat().st_size for file in files)


def explained(error: Exception, places: Mapping[str, str]) -> tuple[JobFailed, bool]:
    """The error as a tenant may see it, and whether it may pass by itself."""
    if isinstance(error, JobFailed):
        return error, False
    if isinstance(error, NodeFailed):
        return JobFailed(without_paths(str(error), places), reason=error.reason), False
    if isinstance(error, TimeUp):
        return JobFailed(str(error), reason="time-limit"), False
    if isinstance(error, MemoryError):
        return JobFailed("the server has not enough memory", reason="memory"), True
    if isinstance(error, NotHere | NotComplete):
        return JobFailed(without_paths(str(error), places), reason="not-here"), False
    if isinstance(error, StoreError):
        return JobFailed("the server's database cannot be used", reason=error.code), True
    if isinstance(error, OSError):  # also where a container cannot be read
        return JobFailed(without_paths(reason_of(error), places), reason="file"), True
    if isinstance(error, Failure):
        return JobFailed(without_paths(str(error), places), reason=error.code), False
    return JobFailed(f"internal error ({type(error).__name__})", reason="internal"), True


def without_paths(text: str, places: Mapping[str, str]) -> str:
    """A message without names of the server's files, which are no business of a client's."""
    for path in sorted(places, key=len, reverse=True):
        text = text.replace(path, places[path])
    return one_line(_PATH.sub("a file", text), 500)
