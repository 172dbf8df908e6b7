"""Everything a training run needs to go on, in one safetensors file; written atomically."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fhe_core.files import reason_of, write_whole
from fhe_face.models.training.errors import TrainingError

_FACTS = "facts"


def save(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and facts (JSON values). TrainingError: the file cannot be written."""
    from safetensors.torch import save as pack

    plain = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
    data = pack(plain, metadata={_FACTS: json.dumps(facts)})
    write_atomically(path, data)


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `save` wrote. TrainingError: missing, damaged, or another kind of file."""
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})[_FACTS])
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise TrainingError(_damaged(path, error)) from None
    except Exception as error:  # the parser has an error class of its own
        raise TrainingError(_damaged(path, error)) from None


def load_facts(path: Path) -> dict[str, Any]:
    """The facts alone, which is quick. TrainingError as `load`."""
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts: dict[str, Any] = json.loads((file.metadata() or {})[_FACTS])
            return facts
    except Exception as error:  # the parser has an error class of its own
        raise TrainingError(_damaged(path, error)) from None


def write_atomically(path: Path, data: bytes) -> None:
    """A temporary file beside it, then a rename. TrainingError: it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
    except OSError as error:
        raise TrainingError(f"{path}: cannot be written ({reason_of(error)})") from None


def write_record(path: Path, content: Mapping[str, Any]) -> None:
    """JSON values that a run keeps in a file of its folder. TrainingError as `write_atomically`."""
    write_atomically(path, (json.dumps(content, indent=1) + "\n").encode())


def read_record(path: Path) -> dict[str, Any]:
    """What `write_record` wrote, empty without such a file. TrainingError: anything else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise TrainingError(f"{path}: not the record of a run ({error})") from None
    if not isinstance(found, dict) or not found:
        raise TrainingError(f"{path}: not the record of a run")
    return found


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's memory, by number of the parameter and name of the quantity."""
    states = optimizer.state_dict()["state"]
    return {
        f"{number}/{name}": torch.as_tensor(value)
        for number, entries in states.items()
        for name, value in entries.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Give an optimiser of the same parameters its memory back."""
    content = optimizer.state_dict()
    content["state"] = {}
    for name, tensor in tensors.items():
        number, _, quantity = name.partition("/")
        content["state"].setdefault(int(number), {})[quantity] = tensor
    optimizer.load_state_dict(content)


def below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose name starts with `prefix`/, without it."""
    start = f"{prefix}/"
    return {name.removeprefix(start): t for name, t in tensors.items() if name.startswith(start)}


def _damaged(path: Path, error: BaseException) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{path}: no such file"
    reason = " ".join(str(error).split())[:120]
    return f"{path}: not a training state of this program, or damaged ({reason})"
