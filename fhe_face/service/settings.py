"""What an operator may set: `settings.json` in the service's folder. All of it has a default."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, TypeVar

from fhe_core.files import read_bounded, shown, write_whole
from fhe_face.service.errors import Invalid

FILE: Final = "settings.json"
_LARGEST: Final = 1 << 16
_MIB: Final = 1 << 20
_GIB: Final = 1 << 30
S = TypeVar("S")
#: By the annotations of fields.
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "int": (int,),
    "float": (int, float),
    "int | None": (int, type(None)),
    "str | None": (str, type(None)),
}
_LISTS: Final[dict[str, type]] = {"tuple[int, ...]": int, "tuple[str, ...]": str}


@dataclass(frozen=True)
class Settings:
    """Sizes in bytes, times in seconds.

    Attributes:
        weights: of the engine: "bundled" (which None means too), "official", a file, or a folder
            with 64.safetensors, 96.safetensors, 128.safetensors.
        sizes: sides of the faces that are computed; empty: all that there are weights for, and of a
            single file 64.
        coefficients: files of normalisations that are computed beside the default one.
        threads: of the worker; None: one for each processor.
        worker_memory: the most address space the worker may have; None: no limit.
        queue_limit: jobs that wait, of all tenants; beyond it new ones are refused for a while.
        job_seconds: after that a job has failed. retries: of a job that failed by no fault of its
            own. deaths: a job that ended so many workers is set aside.
        turn_seconds: one key's jobs run in a row for so long while others wait.
        grace_seconds: at the end the worker may finish what it computes for so long.
        search_seconds: how long a search may wait for its answer.
        result_days, face_days: results and encrypted faces are removed after so many days.
        partial_seconds: uploads that nothing was added to are forgotten after that.
        file_bytes: the largest container file, and new records of a whole gallery. json_bytes: the
            largest JSON body.
        idle_seconds: how long a client may be silent inside a request.
        body_seconds: how long a body may take, at the least; large ones may take a second more
            for every 64 KiB.
        connections: open at once; beyond it the answer is 503.
        tenant_bytes, tenant_jobs, tenant_requests: quotas of new tenants; requests in a minute.
        free_bytes: of the disk stay free.
        answer_seconds: how long answers to POSTs with an idempotency key are kept.
        audit_days: how long the audit log is kept; 0: for ever.
    """

    weights: str | None = None
    sizes: tuple[int, ...] = ()
    coefficients: tuple[str, ...] = ()
    threads: int | None = None
    worker_memory: int | None = None
    queue_limit: int = 20_000
    job_seconds: float = 3600
    retries: int = 3
    deaths: int = 3
    turn_seconds: float = 60
    grace_seconds: float = 25
    search_seconds: float = 30
    result_days: float = 7
    face_days: float = 7
    partial_seconds: float = 24 * 3600
    file_bytes: int = 4 * _GIB
    json_bytes: int = 8 * _MIB
    idle_seconds: float = 30
    body_seconds: float = 120
    connections: int = 200
    tenant_bytes: int = 64 * _GIB
    tenant_jobs: int = 1000
    tenant_requests: int = 6000
    free_bytes: int = 256 * _MIB
    answer_seconds: float = 24 * 3600
    audit_days: float = 0

    def __post_init__(self) -> None:
        """Raise Invalid for what cannot be."""
        require_values(self)


def require_values(settings: Any) -> None:
    """The fields of a dataclass have their types, and no number is negative; else Invalid."""
    for field in fields(settings):
        value = getattr(settings, field.name)
        if str(field.type) in _LISTS:
            _require_list(field.name, value, _LISTS[str(field.type)])
            continue
        allowed = _TYPES[str(field.type)]
        negative = isinstance(value, int | float) and not value >= 0
        if type(value) not in allowed or negative:
            raise Invalid(f"settings: {field.name} must be {field.type}, and not negative")


def _require_list(name: str, value: Any, kind: type) -> None:
    if not isinstance(value, tuple) or any(type(one) is not kind for one in value):
        raise Invalid(f"settings: {name} must be a list of {kind.__name__}")


def load_settings(folder: Path) -> Settings:
    """The settings of a service's folder; those without a file are the defaults.

    Raises:
        Invalid: the file has another entry, or a value that cannot be.
        FileError: it cannot be read.
    """
    return read_settings(folder / FILE, Settings)


def read_settings(path: Path, kind: Callable[..., S]) -> S:
    """The settings in a file, those of a dataclass whose fields all have defaults.

    Errors: as `load_settings`.
    """
    default: Any = kind()
    if not path.exists():
        return kind()
    try:
        content: Any = json.loads(read_bounded(path, _LARGEST))
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{shown(path)}: is not JSON: {error}") from error
    known = {field.name for field in fields(default)}
    if not isinstance(content, dict) or not content.keys() <= known:
        raise Invalid(f"{shown(path)}: it must be an object with {', '.join(sorted(known))}")
    try:
        lists: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in content.items()
        }
        return kind(**lists)
    except Invalid as error:
        raise Invalid(f"{shown(path)}: {error}") from None


def save_settings(folder: Path, settings: Settings) -> None:
    """Write the settings, for an operator to edit."""
    write_settings(folder / FILE, settings)


def write_settings(path: Path, settings: Any) -> None:
    """Write a dataclass of settings; `read_settings` is the inverse."""
    text = json.dumps(asdict(settings), indent=1) + "\n"
    write_whole(path, text.encode(), private=True)
