"""``fhe-face info`` of the files of a gallery: blocks, probes, scores, and its two keys."""

from __future__ import annotations

from typing import Any

from fhe_core.container import Header, Kind, ParameterMismatch
from fhe_core.formats.ciphertexts import parameters_of
from fhe_core.formats.matching import describe, loader_of
from fhe_core.formats.purpose import is_for_gallery
from fhe_core.formats.switching import describe as describe_switching
from fhe_core.matching import gallery_parameters
from fhe_core.parameters import Parameters
from fhe_core.secret.files import PROTECTION
from fhe_face.client.requests import short

_SEALED = {
    Kind.SEALED_BLOCK: "sealed templates of a gallery",
    Kind.PROBE: "a sealed face that is looked for",
    Kind.SCORES: "sealed scores of a gallery",
    Kind.GALLERY_SWITCH: "a gallery's switching key: its server can enrol and search by itself",
    Kind.SWITCHED_FACE: "a face that waits for a gallery's owner",
    Kind.FINDINGS: "sealed scores that a server alone has computed, with what health is judged by",
}
MEANING = {
    **_SEALED,
    Kind.SECRET_KEY: "a gallery's secret key: never give it away",
    Kind.EVALUATION_KEYS: "a gallery's evaluation keys, for the server",
}


def of_a_gallery(header: Header) -> bool:
    """Whether a file belongs to a gallery."""
    return header.kind in _SEALED or is_for_gallery(header)


def gallery_ring(header: Header) -> Parameters:
    """The parameters of a gallery's file.

    Raises:
        ParameterMismatch: they are not those of this version's galleries.
    """
    own = gallery_parameters()
    if header.kind not in _SEALED:
        return parameters_of(header, loader_of(own))
    if header.parameter_hash != own.digest:
        raise ParameterMismatch(
            f"{header.source}: made with other parameters than galleries of this version have"
        )
    return own.parameters


def content(header: Header) -> dict[str, Any]:
    """What a file says beside what all files do; never what it holds."""
    own = gallery_parameters()
    data: dict[str, Any] = {"of": "gallery"}
    if header.kind in _SEALED:
        told = _described(header)
        data |= {"features": own.features, "positions": own.templates}
        if "token" in told:
            data["request"] = short(told["token"])
        data |= {name: told[name] for name in _TOLD if name in told}
    if header.kind is Kind.SECRET_KEY:
        data["protected"] = PROTECTION in header.metadata
    return data


#: What a file of one kind or another says, as it is.
_TOLD = ("blocks", "waiting", "subject", "engine", "engine_key", "parts", "weights")


def _described(header: Header) -> dict[str, Any]:
    if header.kind in _DESCRIBED_ELSEWHERE:
        return describe_switching(header, gallery_parameters())
    return describe(header)


_DESCRIBED_ELSEWHERE = (Kind.GALLERY_SWITCH, Kind.SWITCHED_FACE, Kind.FINDINGS)


def rows(data: dict[str, Any]) -> list[tuple[str, object]]:
    """The same, for people."""
    found: list[tuple[str, object]] = []
    if "positions" in data:
        found.append(("numbers of a template", data["features"]))
        found.append(("positions of a block", data["positions"]))
    if "blocks" in data:
        found.append(("blocks", data["blocks"]))
    if "request" in data:
        found.append(("request", data["request"]))
    if "engine" in data:
        found.append(("leads from", f"{data['engine']}, client key {data['engine_key'][:8]}"))
        found.append(("parts", data["parts"]))
    if "waiting" in data:
        found.append(("faces that wait", data["waiting"]))
    if "subject" in data:
        found.append(("enrolled for", data["subject"] or "nobody"))
    return found
