"""The unit file for systemd, with what a service needs and nothing else."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fhe_face.service.listening import Address

_UNIT: Final = """[Unit]
Description={what}
After=network-online.target{after}
Wants=network-online.target

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
User=fhe-face
Group=fhe-face
UMask=0077
{place}
Restart=on-failure
RestartSec=2
# Requests may end, and the worker may finish what it computes or hand it back.
KillMode=mixed
TimeoutStopSec=60

# Of all processes together.
MemoryMax={memory}
LimitCORE=0
LimitNOFILE=8192
TasksMax=512

NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM

[Install]
WantedBy=multi-user.target
"""
_STATE: Final = Path("/var/lib")


_SERVICE: Final = "fhe-face: face embeddings and sealed galleries on ciphertexts"


def unit_text(folder: Path, options: Sequence[str], memory: str, database: bool) -> str:
    """The unit of a service in a folder.

    options: of `fhe-face serve`, beside the folder. memory: as systemd writes it, such as 8G.
    database: PostgreSQL is started before, where it is on this machine.
    """
    words = ["serve", "--folder", str(folder.absolute()), *options]
    after = " postgresql.service" if database else ""
    return unit_of(_SERVICE, words, folder, memory, after=after)


def unit_of(
    what: str,
    words: Sequence[str],
    folder: Path,
    memory: str,
    *,
    writes: Sequence[str] = (),
    after: str = "",
) -> str:
    """The unit of a command that serves a folder.

    what: for people; words: of the command; writes: further folders that it writes.
    """
    place = folder.absolute()
    if place.parent == _STATE:
        where = f"StateDirectory={place.name}\nStateDirectoryMode=0700"
        paths = list(writes)
    else:
        where, paths = "", [str(place), *writes]
    if paths:
        where = f"{where}\nReadWritePaths={' '.join(paths)}".strip()
    return _UNIT.format(
        what=what,
        after=after,
        command=shlex.join([sys.executable, "-m", "fhe_face", *words]).replace("%", "%%"),
        place=where,
        memory=memory,
    )


def address_options(address: Address) -> list[str]:
    """The options that listen there."""
    options = ["--host", address.host, "--port", str(address.port)]
    if address.certificate is not None and address.key is not None:
        options += ["--tls-certificate", str(address.certificate.absolute())]
        options += ["--tls-key", str(address.key.absolute())]
    return [*options, "--behind-proxy"] if address.proxy else options
