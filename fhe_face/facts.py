"""How faces were prepared, as flat JSON that travels with ciphertexts.

What it says is the client's business; here it only has to be the same for faces that are compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fhe_core.container import ParameterMismatch
from fhe_core.formats.preparation import ENTRY
from fhe_face.models.faces import whatever_contrast


def require_same_preparation(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    """Compare the facts of two embeddings. Contrast may differ: it is lowered for faces that the
    network diverged on.

    Returns:
        What the facts of a comparison say of both: nothing where neither says how it was prepared.

    Raises:
        ParameterMismatch: the faces were prepared differently; the text names every difference.
    """
    one, two = left.get(ENTRY), right.get(ENTRY)
    if one == two:
        return {} if one is None else {ENTRY: one}
    if one is None or two is None:
        which = "first" if one is None else "second"
        raise ParameterMismatch(
            f"the {which} embedding does not say how its face was prepared, the other one does: "
            "encrypt both faces with the same version"
        )
    one, two = whatever_contrast(one), whatever_contrast(two)
    if one == two:
        return {ENTRY: one}
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
