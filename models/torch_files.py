"""Reading torch files with torch's restricted unpickler: tensors and plain containers only."""

import io
import re
import zipfile
from typing import Any, Final

from fhe_core.errors import Failure
from fhe_core.files import one_line

#: Before it, the restricted unpickler could be made to run code (CVE-2025-32434).
OLDEST: Final = (2, 6)
_SAVE: Final = 'save {"backbone": model.state_dict()} alone, with torch.save, where you trust it'
_SHOWN: Final = 3


class TorchFileError(Failure, ValueError):
    """A torch file that is not read; the text says why and what would be right."""

    code = "torch-file"

    def __init__(self, text: str) -> None:
        """`text` may quote the file: what cannot be printed is escaped."""
        super().__init__(one_line(text))


def require_torch() -> Any:
    """The module torch. TorchFileError: it is missing, or too old to read files safely."""
    try:
        import torch
    except ImportError:
        raise TorchFileError(
            "is a torch file and torch is not installed; pip install 'torch>=2.6', or convert the "
            "file where torch is: fhe-face weights convert FILE OUT.safetensors"
        ) from None
    found = re.match(r"(\d+)\.(\d+)", str(torch.__version__))
    if found is None or (int(found[1]), int(found[2])) < OLDEST:
        raise TorchFileError(
            f"is a torch file, and torch {torch.__version__} could run code from it "
            "(CVE-2025-32434): pip install 'torch>=2.6'"
        )
    return torch


def read(data: bytes) -> Any:
    """The content of a torch file, on the processor. Nothing in it is run.

    TorchFileError: no torch, or one older than 2.6; a file that holds other classes than tensors,
    a TorchScript program, or one that is damaged.
    """
    torch = require_torch()
    if _is_program(data):
        raise TorchFileError(f"a TorchScript program, which is not run, for safety; {_SAVE}")
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # torch raises many kinds for a damaged or hostile file
        classes = _classes(torch, data, str(error))
        if classes:
            raise TorchFileError(_more_than_tensors(classes)) from None
        raise TorchFileError(
            f"not a readable torch checkpoint ({type(error).__name__}): truncated or damaged"
        ) from None


def _is_program(data: bytes) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError):
        return False


def _classes(torch: Any, data: bytes, message: str) -> list[str]:
    """Names of what else a file holds; torch lists them for zip files, else its message does."""
    try:
        found = torch.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(data))
    except Exception:  # a file of the old format, or a damaged one
        found = re.findall(r"GLOBAL ([\w.]+)", message)
    return sorted({str(name)[:100] for name in found})


def _more_than_tensors(classes: list[str]) -> str:
    shown = ", ".join(classes[:_SHOWN])
    if len(classes) > _SHOWN:
        shown += f" and {len(classes) - _SHOWN} more"
    return f"holds more than tensors ({shown}), which is not unpickled, for safety; {_SAVE}"
