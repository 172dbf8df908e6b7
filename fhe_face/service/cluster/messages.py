"""What the worker and its nodes say to each other: JSON text, and plain bytes beside it.

Ray carries text and bytes as they are; anything else it would pickle.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from fhe_core.errors import Failure
from fhe_core.files import one_line, reason_of
from fhe_face.service.jobs.records import JobFailed, NodeFailed

#: A function that makes a node's engine of weights and threads.
ENGINE: Final = "fhe_face.service.jobs.engines:FaceEngines"
#: A function that makes the ring of its galleries.
RING: Final = "fhe_core.matching:gallery_parameters"


@dataclass(frozen=True)
class NodeSettings:
    """What a node is told once. engine, ring: "module:function"; only tests have others.

    folder: the service's, under the same name everywhere. memory: of keys and computing, blocks:
    of galleries, in bytes; memory None: what the node has left.
    """

    folder: str
    weights: str | None = None
    threads: int | None = None
    memory: int | None = None
    blocks: int = 1 << 30
    engine: str = ENGINE
    ring: str = RING


@dataclass(frozen=True)
class Request:
    """Something to do with a key. Files are named from the service's folder on, by their digests.

    call: names it. do: "load" (keys), "open" (a job's inputs), "compute" (a part), "join" (parts).
    key: digest of the evaluation keys, key_file: where they were sent to. inputs_bytes: of the
    files in memory. parts: files that "join" joins; target: what is written.
    """

    call: str
    do: str
    key: str
    key_file: str
    inputs_bytes: int = 0
    kind: str = ""
    files: tuple[str, ...] = ()
    part: int = 0
    parts: tuple[str, ...] = ()
    target: str = ""


def to_text(message: NodeSettings | Request) -> str:
    """For `settings_from` and `request_from`."""
    return json.dumps(asdict(message))


def settings_from(text: str) -> NodeSettings:
    """What `to_text` made."""
    return NodeSettings(**json.loads(text))


def request_from(text: str) -> Request:
    """What `to_text` made. Failure: it is something else."""
    content = json.loads(text)
    if not isinstance(content, dict) or set(content) != {one.name for one in fields(Request)}:
        raise Failure("a request of another version of fhe-face: install the same one everywhere")
    lists = {name: tuple(content[name]) for name in ("files", "parts")}
    return Request(**{**content, **lists})


def named(place: str) -> Callable[..., Any]:
    """The function that "module:function" names."""
    module, _, name = place.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return found


def failed(error: Exception) -> dict[str, str]:
    """An error as an answer; `raise_failed` makes one of it that means the same."""
    if isinstance(error, JobFailed):
        return {"is": "job", "code": error.reason, "text": str(error)}
    if isinstance(error, MemoryError):
        return {"is": "memory"}
    if isinstance(error, OSError):
        return {"is": "file", "text": one_line(reason_of(error))}
    if isinstance(error, Failure):
        return {"is": "failure", "code": error.code, "text": one_line(str(error))}
    return {"is": "internal", "text": type(error).__name__}


def raise_failed(answer: Mapping[str, str]) -> None:
    """Raise what `failed` was given, or what means the same to whoever computes jobs."""
    text, code = str(answer.get("text")), str(answer.get("code"))
    match answer.get("is"):
        case "job":
            raise JobFailed(text, reason=code)
        case "memory":
            raise MemoryError
        case "file":
            raise OSError(text)
        case "failure":
            raise NodeFailed(text, reason=code)
        case _:
            raise RuntimeError(f"a node failed: {text}")
