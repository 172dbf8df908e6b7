"""A PostgreSQL server for tests: Debian's programs, a temporary folder, a Unix socket, no TCP."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from sqlalchemy import URL, create_engine, text

PASSWORD = "open-sesame-7531"
#: Durable enough for tests: the machine does not lose power in the middle of one.
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "40",
    "shared_buffers": "32MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}


@dataclass(frozen=True)
class Postgres:
    """A running server. data: its folder, to look for bytes in it."""

    socket: Path
    data: Path

    def url(self, database: str = "postgres") -> str:
        """For a store."""
        return URL.create(
            "postgresql",
            username="tester",
            password=PASSWORD,
            database=database,
            query={"host": str(self.socket)},
        ).render_as_string(hide_password=False)

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"test_{secrets.token_hex(6)}"
        engine = create_engine(
            self.url().replace("postgresql:", "postgresql+psycopg:", 1),
            isolation_level="AUTOCOMMIT",
        )
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self.url(name)


def programs() -> Path | None:
    """The folder with initdb and pg_ctl, the newest version first; None where there is none."""
    places = Path("/usr/lib/postgresql")
    versions = [path for path in places.glob("*") if path.name.isdigit()]
    for version in sorted(versions, key=lambda path: -int(path.name)):
        if (version / "bin" / "initdb").is_file():
            return version / "bin"
    found = shutil.which("initdb")
    return None if found is None else Path(found).resolve().parent


def unprivileged() -> int | None:
    """Whom the server runs as: it refuses to be root. None: as whoever we are."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    return 65534


@contextmanager
def running(binaries: Path) -> Iterator[Postgres]:
    """A server for the length of the block."""
    # A short path: a socket's name may have 107 bytes.
    folder = Path(mkdtemp(prefix="pg-", dir="/tmp"))
    user = unprivileged()
    try:
        password = folder / "password"
        password.write_text(PASSWORD)
        if user is not None:
            os.chown(folder, user, -1)
            os.chown(password, user, -1)
        data = folder / "data"

        def run(*command: str) -> None:
            done = subprocess.run(
                [str(binaries / command[0]), *command[1:]],
                user=user,
                cwd="/",
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

        start = ["-D", str(data), "-U", "tester", "-A", "scram-sha-256", f"--pwfile={password}"]
        run("initdb", *start, "--no-sync", "-E", "UTF8", "--locale=C")
        with (data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in _SETTINGS.items())
        control = ["-D", str(data), "-w", "-s"]
        log = folder / "log"
        run("pg_ctl", *control, "-l", str(log), "-o", f"-k {folder}", "start")
        try:
            yield Postgres(folder, data)
        finally:
            run("pg_ctl", *control, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
