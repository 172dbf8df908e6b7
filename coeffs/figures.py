"""What every plot needs: matplotlib, which is optional, and a file that is written whole."""

import importlib
import io
import os
from pathlib import Path
from typing import Any, BinaryIO, Final

from fhe_core.files import FileKind, write_whole

SUFFIXES: Final = (".png", ".svg", ".pdf")
_MARK: Final = b"atplotlib"
_MARGIN: Final = 1 << 16


def _is_plot(stream: BinaryIO) -> bool:
    """Matplotlib names itself near the start of its PNG and SVG files, near the end of a PDF."""
    end = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    if _MARK in stream.read(_MARGIN):
        return True
    stream.seek(max(0, end - _MARGIN))
    return _MARK in stream.read()


#: What a plot may replace; a photo is none.
PLOT: Final = FileKind("a plot", _is_plot)


def figure_class(path: str | os.PathLike[str], problem: type[Exception]) -> Any:
    """The class `matplotlib.figure.Figure`, for a file that can be written with it.

    Raises `problem` where matplotlib is missing or the file is of another kind.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise problem(f"{path}: a plot must be one of {', '.join(SUFFIXES)}")
    try:
        return importlib.import_module("matplotlib.figure").Figure
    except ImportError:
        raise problem(
            "a plot needs matplotlib, which is not installed: pip install 'fhe-face[plot]'"
        ) from None


def save(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write a figure whole; FileError, an OSError, where that fails."""
    content = io.BytesIO()
    figure.savefig(content, format=Path(path).suffix.lower()[1:], dpi=120)
    write_whole(path, content.getvalue(), kind=PLOT)
