"""`fhe-face serve`: the API process, which keeps one worker process running beside it."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import resource
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Final

import anyio
from fastapi import FastAPI
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from fhe_core.errors import Failure
from fhe_core.files import shown
from fhe_face.circuit import INPUT_SIZE
from fhe_face.failures import UsageError
from fhe_face.network import WeightsError, weights_file, weights_files
from fhe_face.service.admission import Circuits
from fhe_face.service.answers import Answers
from fhe_face.service.app import Lifespan, build_app
from fhe_face.service.context import Context
from fhe_face.service.jobs.queue import open_queue
from fhe_face.service.listening import Address, log_events, run_until_signal, server_of
from fhe_face.service.opening import Service, make_or_open
from fhe_face.service.settings import Settings, load_settings
from fhe_face.service.supervisor import Supervisor
from fhe_face.service.upkeep import tidy
from fhe_face.store.database import Database

_UPKEEP_SECONDS: Final = 3600.0
_LOCK: Final = "serve.lock"
#: Of a lock in the database; with the hash of the service's schema.
_SERVES: Final = 0x46484553
_log = logging.getLogger("fhe_face.service")


def serve(
    folder: Path,
    address: Address,
    *,
    url: str | None = None,
    worker: bool = True,
    open_docs: bool = False,
) -> None:
    """Serve until SIGTERM or SIGINT. A folder without a service gets one.

    url: of the PostgreSQL database of a new service. worker: start one on this machine.

    Raises:
        UsageError: the address may not be listened to. StoreError: see `open_service`.
        Invalid: the settings cannot be used.
    """
    address.check()
    _confine()
    with address.bind() as listening, make_or_open(folder, url) as service, alone(service):
        settings = load_settings(folder)
        circuits = served_by(settings)
        command = worker_command(folder, settings) if worker else None
        serve_circuits(service, settings, circuits, command, address, listening, open_docs)


def serve_circuits(
    service: Service,
    settings: Settings,
    circuits: Circuits,
    command: Sequence[str] | None,
    address: Address,
    listening: socket.socket,
    open_docs: bool = False,
) -> None:
    """Serve an open service until a signal; tests give circuits and workers of tiny rings.

    command: of the worker process; None: none runs beside this one.
    """
    queue = open_queue(service, settings)
    try:
        context = Context(service, settings, queue, circuits)
        app = build_app(context, open_docs=open_docs, lifespan=beside(context, command))
        run_until_signal(server_of(app, address, settings.connections), listening)
    finally:
        queue.close()


@contextmanager
def alone(service: Service) -> Iterator[None]:
    """No second API process of a service whose rows are in files.

    Whoever finds nobody forgets which requests were being answered when the last one died: their
    clients send them again, and would be told to wait.

    Raises:
        UsageError: there is one. The kernel ends the lock with the process, however that ends.
    """
    forget = Answers(service.database, 0.0).forget_interrupted
    with (service.folder / _LOCK).open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = True
        except OSError as error:
            if service.url is None:
                raise UsageError(
                    f"{shown(service.folder)}: another `fhe-face serve` is running in it"
                ) from error
            free = False
        if service.url is None:
            forget()
            yield
        else:
            with _one_of_many(service.database, forget if free else None):
                with suppress(OSError):  # a file system without locks
                    fcntl.flock(lock, fcntl.LOCK_SH)  # others may serve the same database
                yield


@contextmanager
def _one_of_many(database: Database, first: Callable[[], None] | None) -> Iterator[None]:
    """Be one of the API processes of a PostgreSQL database; where no other one is, call `first`.

    By a lock of its server's, which goes with the connection: not on every file system do machines
    see each other's locks.
    """
    which = _SERVES, func.hashtext(func.current_schema())
    with database.told():
        connection = database.engine.connect()
    with connection:
        connection.detach()  # the pool would keep it, and the lock
        with database.told(), connection.begin():
            only = connection.execute(select(func.pg_try_advisory_xact_lock(*which))).scalar_one()
            if only and first is not None:
                first()
            connection.execute(select(func.pg_advisory_lock_shared(*which)))
        try:
            yield
        finally:
            with suppress(SQLAlchemyError):  # the next process finds it free at once
                connection.execute(select(func.pg_advisory_unlock_shared(*which)))


def served_by(settings: Settings) -> Circuits:
    """What a service computes.

    Raises:
        WeightsError: there are none for a size. Others: as `Circuits.of`.
    """
    known = weights_files(settings.weights)
    sizes = settings.sizes or tuple(size or INPUT_SIZE for size in known)
    for size in sizes:
        if None not in known and size not in known:
            weights_file(settings.weights, size)  # says what is missing
            raise WeightsError(f"the weights are not for faces of {size} pixels: settings, sizes")
    return Circuits.of(sizes, settings.coefficients, settings.worker_memory)


def worker_command(folder: Path, settings: Settings) -> list[str]:
    """How a worker process is started."""
    command = [sys.executable, "-m", "fhe_face.service.jobs.worker", "--folder", str(folder)]
    for name, value in (
        ("--memory", settings.worker_memory),
        ("--threads", settings.threads),
        ("--weights", settings.weights),
    ):
        if value is not None:
            command += [name, str(value)]
    return command


def beside(context: Context, command: Sequence[str] | None) -> Lifespan:
    """What runs beside the app: the worker's supervisor, and the upkeep."""

    @asynccontextmanager
    async def run(_app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            if command is not None:
                grace = context.settings.grace_seconds + 5
                stack.push_async_callback(
                    _stop, asyncio.create_task(Supervisor(command, grace).run())
                )
            stack.push_async_callback(_stop, asyncio.create_task(_keep_tidy(context)))
            yield

    return run


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _keep_tidy(context: Context) -> None:
    while True:
        try:
            await anyio.to_thread.run_sync(tidy, context.service, context.settings)
        except (Failure, OSError) as error:
            _log.error("upkeep: %s", error)
        await asyncio.sleep(_UPKEEP_SECONDS)


def _confine() -> None:
    """No ciphertexts of tenants on the disk; an event is a line on stderr (systemd adds times)."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    log_events()
