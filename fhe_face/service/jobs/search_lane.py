"""The lane of searches: a process that answers over a Unix socket, so that none waits for a job.

``python -m fhe_face.service.jobs.search_lane``, started by the worker, settings on stdin.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing.connection import Client, Connection
from pathlib import Path
from typing import Any, Final

from fhe_core.errors import Failure
from fhe_face.service.folders import within
from fhe_face.service.jobs.calling import BUSY, LARGEST_FRAME, SOCKET, short_name, sockets
from fhe_face.service.jobs.galleries import Galleries
from fhe_face.service.jobs.keeping import RUN, host
from fhe_face.service.jobs.lane import LaneSettings, cannot_start, log, read_settings
from fhe_face.service.jobs.steps import explained
from fhe_face.service.jobs.stopping import Stopping
from fhe_face.service.queueing import Answer

#: Searches at once; of one gallery, one after the other.
_THREADS: Final = 4
#: Searches that wait; more are told to come again.
_WAITING: Final = 32
_LARGEST_PROBE: Final = 64 << 20
_PATIENCE_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.2

#: A gallery's folder and a probe in, an answer out.
Search = Callable[[Path, bytes], Answer]


def serve(folder: Path, search: Search, stopping: Stopping) -> None:
    """Answer searches until asked to end; those that are being computed are answered."""
    room = threading.Semaphore(_THREADS + _WAITING)
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="search")
    with _listening(folder / RUN) as listener, pool:
        log("ready", {"lane": "searches"})
        while not stopping.asked:
            with suppress(TimeoutError):
                accepted, _ = listener.accept()
                connection: Connection[Any, Any] = Connection(accepted.detach())
                if not room.acquire(blocking=False):
                    _refuse(connection)
                    continue
                pool.submit(_serve_one, folder, connection, search, room)


@contextmanager
def _listening(run: Path) -> Iterator[socket.socket]:
    """A socket of our own in the run folder; those that killed lanes left are removed."""
    run.mkdir(mode=0o700, exist_ok=True)
    name = f"{host()}.{os.getpid()}.{secrets.token_hex(4)}{SOCKET}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        with short_name(run) as short:
            _remove_dead(run, short)
            new = short / f".{name}"
            listener.bind(str(new))
            new.chmod(0o600)
            listener.listen(_WAITING)
            os.replace(new, short / name)  # nobody sees it before it listens
        listener.settimeout(_LOOK_SECONDS)
        try:
            yield listener
        finally:
            (run / name).unlink(missing_ok=True)


def _remove_dead(run: Path, short: Path) -> None:
    for name in sockets(run):
        try:
            Client(str(short / name)).close()
        except ConnectionRefusedError:
            (run / name).unlink(missing_ok=True)
        except OSError:
            pass


def _refuse(connection: Connection[Any, Any]) -> None:
    with suppress(OSError), connection:
        connection.send_bytes(json.dumps({"error": BUSY}).encode())


def _serve_one(
    folder: Path, connection: Connection[Any, Any], search: Search, room: threading.Semaphore
) -> None:
    try:
        with connection, suppress(OSError, EOFError, ValueError, KeyError):
            if not connection.poll(_PATIENCE_SECONDS):
                return
            request = json.loads(connection.recv_bytes(LARGEST_FRAME))
            probe = connection.recv_bytes(_LARGEST_PROBE)
            reply, scores = _reply(folder, request["gallery"], probe, search)
            connection.send_bytes(json.dumps(reply).encode())
            if scores is not None:
                connection.send_bytes(scores)
    finally:
        room.release()


def _reply(
    folder: Path, gallery: str, probe: bytes, search: Search
) -> tuple[dict[str, Any], bytes | None]:
    place = folder / gallery
    try:
        within(folder, gallery, "the gallery is not one of this service's")
        answer = search(place, probe)
    except Exception as error:
        failed, _ = explained(error, {str(place): "the gallery", str(folder): "the server"})
        log("search failed", {"code": failed.reason})
        return {"error": failed.reason, "text": str(failed)}, None
    facts = {"changes": answer.changes, "version": answer.version, "damaged": answer.damaged}
    return facts, answer.scores


def run(settings: LaneSettings, galleries: Galleries) -> None:
    """The lane as a process: until SIGTERM."""
    stopping = Stopping(settings.grace)
    stopping.on_signals()
    try:
        serve(Path(settings.folder), galleries.search, stopping)
    finally:
        galleries.close()


def main() -> None:
    """The lane with the ring of every gallery."""
    settings = read_settings()
    try:
        run(settings, Galleries(settings.blocks, settings.threads))
    except Failure as error:
        sys.exit(cannot_start(error))


if __name__ == "__main__":
    main()
