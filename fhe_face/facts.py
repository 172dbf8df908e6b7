"""How faces were prepared, as flat JSON that travels with ciphertexts.

What it says is the client's business; here it only has to be the same for faces that are compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhe_core.container import ParameterMismatch
from fhe_core.formats.preparation import ENTRY


def require_same_preparation(left: Mapping[str, Any], right: Mapping[str, Any]) -> None:
    """Compare the facts of two embeddings.

    Raises:
        ParameterMismatch: the faces were prepared differently; the text names every difference.
    """
    one, two = left.get(ENTRY), right.get(ENTRY)
    if one == two:
        return
    if one is None or two is None:
        which = "first" if one is None else "second"
        raise ParameterMismatch(
            f"the {which} embedding does not say how its face was prepared, the other one does: "
            "encrypt both faces with the same version"
        )
    raise ParameterMismatch(
        "the two faces were prepared differently, so that comparing them means nothing "
        f"({differences(one, two)}): encrypt both in the same way"
    )


def differences(one: Mapping[str, Any], two: Mapping[str, Any]) -> str:
    """What two preparations do not have in common, in one line."""
    return "; ".join(
        f"{name} {_shown(one.get(name))} and {_shown(two.get(name))}"
        for name in sorted(one.keys() | two.keys())
        if one.get(name) != two.get(name)
    )


def _shown(value: Any) -> str:
    text = str(value)
    return f"{text[:16]}..." if len(text) == 64 else repr(value)
