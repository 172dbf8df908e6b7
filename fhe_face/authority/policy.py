"""How often an authority answers, and when it raises an alarm: `policy.json` in its folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fhe_face.service.errors import Invalid
from fhe_face.service.settings import read_settings, require_values, write_settings

FILE: Final = "policy.json"
_MIB: Final = 1 << 20
#: Of a request, far below what the database holds as a time.
_MOST_HOURS: Final = 1_000_000


@dataclass(frozen=True)
class Policy:
    """All of it has a default. Answers are counted before they are known, refusals too.

    Attributes:
        device_hour, device_day: answers to one device in any hour, and in any 24 hours.
        subject_hour, subject_day: answers about one claimed subject, whoever asks.
        all_day: answers to all devices in any 24 hours.
        waiting: requests of one device that are announced and not answered.
        request_hours: how long a result of an announced request may take.
        near_band: answers whose score is closer to a threshold than this, or between the two, and
            refused results, are close ones; cosines.
        near_hour, near_day: so many close answers of a device, or about a subject, are an alarm.
        calls_minute: HTTP requests of one device in a minute.
        result_bytes: of a result, at most.
        connections: open at once.
        idle_seconds, body_seconds: how long a client may be silent inside a request, and how long
            a body may take.
    """

    device_hour: int = 60
    device_day: int = 300
    subject_hour: int = 10
    subject_day: int = 40
    all_day: int = 2000
    waiting: int = 100
    request_hours: float = 24
    near_band: float = 0.05
    near_hour: int = 5
    near_day: int = 15
    calls_minute: int = 600
    result_bytes: int = 64 * _MIB
    connections: int = 64
    idle_seconds: float = 30
    body_seconds: float = 120

    def __post_init__(self) -> None:
        """Raise Invalid for what cannot be."""
        require_values(self)
        if self.request_hours > _MOST_HOURS:
            raise Invalid(f"settings: request_hours must be at most {_MOST_HOURS:,}")


def load_policy(folder: Path) -> Policy:
    """The policy of an authority's folder; errors as of `fhe_face.service.settings`."""
    return read_settings(folder / FILE, Policy)


def save_policy(folder: Path, policy: Policy) -> None:
    """Write it, for an operator to edit."""
    write_settings(folder / FILE, policy)
