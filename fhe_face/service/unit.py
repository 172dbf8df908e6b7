"""The unit file for systemd, with what a service needs and nothing else."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

_UNIT: Final = """[Unit]
Description=fhe-face: face embeddings and sealed galleries on ciphertexts
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

# Of the API process and the worker together.
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


def unit_text(folder: Path, options: Sequence[str], memory: str, database: bool) -> str:
    """The unit of a service in a folder.

    options: of `fhe-face serve`, beside the folder. memory: as systemd writes it, such as 8G.
    database: PostgreSQL is started before, where it is on this machine.
    """
    place = folder.absolute()
    words = [sys.executable, "-m", "fhe_face", "serve", "--folder", str(place), *options]
    if place.parent == _STATE:
        where = f"StateDirectory={place.name}\nStateDirectoryMode=0700"
    else:
        where = f"ReadWritePaths={place}"
    return _UNIT.format(
        after=" postgresql.service" if database else "",
        command=shlex.join(words).replace("%", "%%"),
        place=where,
        memory=memory,
    )
