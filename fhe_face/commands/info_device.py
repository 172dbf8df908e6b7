"""What ``fhe-face info`` says of a device's files, and of faces and results that it sent."""

from __future__ import annotations

import math
from typing import Any, Final

from fhe_core.container import Header, Kind
from fhe_core.formats.ciphertexts import known_facts
from fhe_core.formats.devices import require_switching
from fhe_core.keys.evaluation import device_specification
from fhe_core.parameters import Parameters
from fhe_core.secret.device_files import require_device_key
from fhe_face.circuit import circuit_of_device
from fhe_face.engine import key_memory
from fhe_face.places import IMAGE
from fhe_face.senders import ENTRY, owner_of, senders_of
from fhe_face.tokens import sides_of

MEANING: Final = {
    Kind.SECRET_KEY: "a device's own key: it encrypts, and opens no result",
    Kind.EVALUATION_KEYS: "a device's switching key, for the server",
}


def content(header: Header, parameters: Parameters) -> dict[str, Any]:
    """Facts of one of a device's two files, JSON-ready.

    Raises:
        ContainerError: it is none.
    """
    if header.kind is Kind.SECRET_KEY:
        circuit = circuit_of_device(header)
        return {
            "device": header.key_id,
            "owner": require_device_key(header),
            "label": header.text("label"),
            "circuit": circuit.describe(),
            "summary": circuit.summary(),
        }
    device = require_switching(header, parameters)
    return {
        "device": device,
        "owner": header.key_id,
        "log2_qp": round(switching_log2_qp(parameters), 2),
        "memory_bytes": key_memory([device_specification(parameters)], parameters),
    }


def switching_log2_qp(parameters: Parameters) -> float:
    """Of the sample that a switching key is."""
    rows = device_specification(parameters).rows(parameters)
    return math.fsum(math.log2(parameters.primes[row]) for row in rows)


def sender(header: Header) -> dict[str, Any]:
    """Who encrypted the faces of a bundle; nothing where the owner of its key did."""
    facts = known_facts(header)
    what = header.text("what")
    if what == IMAGE:
        owner = owner_of(header.source, header.key_id, facts)
        return {} if owner is None else {"owner": owner, "sent_by": [header.key_id]}
    if ENTRY not in facts:
        return {}
    return {"sent_by": list(senders_of(header.source, facts, sides_of(what)))}


def rows(data: dict[str, Any]) -> list[tuple[str, object]]:
    """For people."""
    found: list[tuple[str, object]] = []
    if "device" in data:
        label = f", {data['label']!r}" if "label" in data else ""
        found.append(("device", f"{data['device']}{label}"))
        if "log2_qp" in data and "label" not in data:
            found.append(("log2(QP) of this key", f"{data['log2_qp']:.1f}"))
    if data.get("owner"):
        found.append(("results are for key", data["owner"]))
    if data.get("sent_by"):
        named = ["the owner" if one is None else f"device {one}" for one in data["sent_by"]]
        found.append(("sent by", ", ".join(named)))
    return found
