"""Canonical JSON: exactly one byte string for a value, and hostile input refused.

Allowed are null, booleans, integers of 64 bits, strings, arrays and objects. Floats are not: an
exact float is written as the string `float.hex()` gives.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeAlias

JsonValue: TypeAlias = "bool | int | str | Sequence[JsonValue] | Mapping[str, JsonValue] | None"

MAX_DEPTH = 16
_MAX_INTEGER_DIGITS = 20


def encode(value: JsonValue) -> bytes:
    """UTF-8 JSON with sorted keys and no blanks.

    Raises:
        TypeError: a value of a type that is not allowed (a float, a numpy scalar...).
        ValueError: nested too deeply, an integer over 64 bits, or a string that is not Unicode.
    """
    return _dump(_plain(value, MAX_DEPTH))


def decode(encoded: bytes) -> JsonValue:
    """The value whose canonical encoding is `encoded`: dicts, lists and scalars.

    Raises:
        ValueError: not JSON, not in canonical form, or not an allowed value.
    """
    try:
        value = json.loads(
            encoded.decode("utf-8"),
            parse_int=_parse_integer,
            parse_float=_refuse_float,
            parse_constant=_refuse_float,
        )
        plain = _plain(value, MAX_DEPTH)
        same = _dump(plain) == encoded
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at character {error.pos}") from None
    except UnicodeError:
        raise ValueError("not UTF-8") from None
    if not same:
        raise ValueError("keys unsorted or repeated, or blanks between tokens")
    return plain


def _dump(value: JsonValue) -> bytes:
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode("utf-8")


def _plain(value: Any, depth: int) -> JsonValue:
    if depth < 0:
        raise ValueError(f"nested more than {MAX_DEPTH} deep")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if not -(1 << 63) <= value < 1 << 64:
            raise ValueError("an integer is over 64 bits")
        return int(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("the keys of a JSON object must be strings")
        return {key: _plain(item, depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, depth - 1) for item in value]
    raise TypeError(
        f"a {type(value).__name__} cannot stand in metadata: "
        "use None, bool, int, str, list, dict, or float.hex() for a float"
    )


def _parse_integer(digits: str) -> int:
    if len(digits) > _MAX_INTEGER_DIGITS:
        raise ValueError("an integer is over 64 bits")
    return int(digits)


def _refuse_float(text: str) -> NoReturn:
    raise ValueError("a float stands where only integers and strings may")
