"""InsightFace's .bin verification files (LFW, CFP, AgeDB...), read without unpickling.

Such a file is a pickle of (list of encoded images, list of "same person" flags); images 2i and
2i + 1 are pair i. A pickle can run any program, so nothing is ever unpickled here: its opcodes
are walked with `pickletools.genops`, which executes nothing, and only those that build lists,
tuples, bytes and truth values are understood. Everything else is refused by name.
"""

import hashlib
import io
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fhe_face.models.training.errors import TrainingError

MAX_FILE_BYTES: Final = 2 << 30
_MAX_IMAGE_PIXELS: Final = 4_000_000
_RIGHT: Final = "expected an InsightFace .bin: a pickle of (list of images, list of flags)"
_MARK: Final = object()


@dataclass(frozen=True, eq=False)
class Pairs:
    """Encoded images (2N), and for each pair of neighbours whether it is one person (N)."""

    images: tuple[bytes, ...]
    same: tuple[bool, ...]

    def distinct(self) -> tuple[NDArray[np.int64], list[bytes]]:
        """Of every image its place (2N,) among the distinct ones, and these, by their bytes."""
        known: dict[bytes, int] = {}
        images: list[bytes] = []
        places = np.zeros(len(self.images), dtype=np.int64)
        for number, image in enumerate(self.images):
            place = known.setdefault(hashlib.sha256(image).digest(), len(images))
            if place == len(images):
                images.append(image)
            places[number] = place
        return places, images


def read_pairs(path: Path) -> Pairs:
    """The content of a .bin file. TrainingError: unreadable, too large, or anything else in it."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise TrainingError(f"{path}: larger than {MAX_FILE_BYTES >> 30} GiB; {_RIGHT}")
        data = path.read_bytes()
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read ({error.strerror}); {_RIGHT}") from None
    try:
        content = parse(data)
        return _pairs(content)
    except ValueError as error:
        raise TrainingError(f"{path}: {error}; {_RIGHT}") from None


def parse(data: bytes) -> Any:
    """Lists, tuples, bytes, integers and truth values of a pickle; nothing is executed.

    ValueError: an opcode that builds anything else, or a malformed pickle.
    """
    machine = _Machine()
    try:
        for opcode, argument, place in pickletools.genops(data):
            action = _ACTIONS.get(opcode.name)
            if action is None:
                raise ValueError(f"pickle opcode {opcode.name} at byte {place} is not allowed")
            action(machine, argument)
        if len(machine.stack) != 1:
            raise ValueError("malformed pickle")
        return machine.stack[0]
    except (IndexError, KeyError, AttributeError, TypeError):
        raise ValueError("malformed pickle") from None


class _Machine:
    """A stack and a memo, as the pickle format describes them."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def since_mark(self) -> list[Any]:
        """Take everything above the last mark, and the mark."""
        place = max(i for i, item in enumerate(self.stack) if item is _MARK)
        items = self.stack[place + 1 :]
        del self.stack[place:]
        return items

    def take(self, count: int) -> tuple[Any, ...]:
        if len(self.stack) < count:
            raise ValueError("malformed pickle")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        return items

    def extend(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise ValueError("malformed pickle")
        self.stack[-1].extend(items)

    def remember(self, place: int) -> None:
        self.memo[place] = self.stack[-1]


def _text(machine: _Machine, argument: str) -> None:
    # Python 2 wrote byte strings; genops shows them as Latin-1 text.
    machine.push(argument.encode("latin-1"))


def _number(machine: _Machine, argument: int) -> None:
    machine.push(int(argument))


_ACTIONS: Final[dict[str, Callable[[_Machine, Any], Any]]] = {
    "PROTO": lambda m, a: None,
    "FRAME": lambda m, a: None,
    "STOP": lambda m, a: None,
    "MARK": lambda m, a: m.push(_MARK),
    "EMPTY_LIST": lambda m, a: m.push([]),
    "EMPTY_TUPLE": lambda m, a: m.push(()),
    "BINBYTES": lambda m, a: m.push(bytes(a)),
    "SHORT_BINBYTES": lambda m, a: m.push(bytes(a)),
    "BINBYTES8": lambda m, a: m.push(bytes(a)),
    "BINSTRING": _text,
    "SHORT_BINSTRING": _text,
    "BININT": _number,
    "BININT1": _number,
    "NEWTRUE": lambda m, a: m.push(True),
    "NEWFALSE": lambda m, a: m.push(False),
    "TUPLE": lambda m, a: m.push(tuple(m.since_mark())),
    "LIST": lambda m, a: m.push(m.since_mark()),
    "TUPLE1": lambda m, a: m.push(m.take(1)),
    "TUPLE2": lambda m, a: m.push(m.take(2)),
    "TUPLE3": lambda m, a: m.push(m.take(3)),
    "APPEND": lambda m, a: m.extend(list(m.take(1))),
    "APPENDS": lambda m, a: m.extend(m.since_mark()),
    "BINPUT": lambda m, a: m.remember(a),
    "LONG_BINPUT": lambda m, a: m.remember(a),
    "MEMOIZE": lambda m, a: m.remember(len(m.memo)),
    "BINGET": lambda m, a: m.push(m.memo[a]),
    "LONG_BINGET": lambda m, a: m.push(m.memo[a]),
}


def _pairs(content: Any) -> Pairs:
    if not isinstance(content, tuple | list) or len(content) != 2:
        raise ValueError("it does not hold two lists")
    images, flags = content
    if not isinstance(images, list) or not all(isinstance(i, bytes) for i in images):
        raise ValueError("its first part is not a list of encoded images")
    if not isinstance(flags, list) or not all(f in (0, 1) for f in flags if isinstance(f, int)):
        raise ValueError("its second part is not a list of truth values")
    if not all(isinstance(f, int) for f in flags) or len(images) != 2 * len(flags) or not flags:
        raise ValueError(f"{len(images)} images and {len(flags)} flags are not pairs")
    return Pairs(tuple(images), tuple(bool(f) for f in flags))


def decoded(image: bytes, number: int, size: int) -> NDArray[np.uint8]:
    """An aligned crop scaled to `size`; TrainingError: it cannot be decoded, or is too large."""
    try:
        with Image.open(io.BytesIO(image), formats=("JPEG", "PNG", "BMP")) as opened:
            if opened.width * opened.height > _MAX_IMAGE_PIXELS:
                raise TrainingError(f"image {number}: {opened.width}x{opened.height} is too large")
            scaled = opened.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
            return np.array(scaled, dtype=np.uint8)
    except TrainingError:
        raise
    except Exception as error:  # Pillow raises many kinds for damaged images
        reason = " ".join(str(error).split())[:120]
        raise TrainingError(f"image {number}: cannot be decoded ({reason})") from None
