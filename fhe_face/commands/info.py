"""``fhe-face info``"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from rich.console import Console

from fhe_core import container
from fhe_core.container import Header, Kind
from fhe_core.formats.ciphertexts import key_specifications, known_facts, parameters_of
from fhe_core.formats.preparation import ENTRY, check_preparation
from fhe_core.formats.purpose import is_for_device
from fhe_core.parameters import Parameters
from fhe_core.secret.files import PROTECTION
from fhe_face.circuit import circuit_of, packings_for
from fhe_face.client.ledger import DEFAULT_LIMIT, beside
from fhe_face.client.requests import short
from fhe_face.commands import info_device, info_gallery
from fhe_face.engine import key_memory
from fhe_face.output import Output, facts, grid, ring
from fhe_face.places import ENTRY as RUNS
from fhe_face.system import default_threads, size
from fhe_face.tokens import ENTRY as REQUESTS
from fhe_face.tokens import tokens_of

_MEANING = {
    Kind.SECRET_KEY: "the client's secret key: never give it away",
    Kind.EVALUATION_KEYS: "evaluation keys, for the server",
    Kind.CIPHERTEXT: "a ciphertext",
}


def run(file: Path, as_json: bool) -> None:
    output = Output(as_json)
    with container.open(file) as reader, output.stages() as stage:
        stage("checking every byte", 0, 0)
        reader.verify_all(default_threads())
        header = reader.header
        stage("checking every byte", 1, 1)
    ours = info_gallery.of_a_gallery(header)
    parameters = info_gallery.gallery_ring(header) if ours else parameters_of(header)
    data: dict[str, Any] = {
        "file": str(file),
        "kind": header.kind.label,
        "format_version": header.version,
        "bytes": header.total_bytes,
        "intact": True,
        "key_id": header.key_id,
        "parameter_hash": header.parameter_hash,
    }
    described = parameters.describe()
    names = ("ring_dimension", "log2_q", "log2_qp", "log2_qp_bound", "margin_bits")
    data |= {name: described[name] for name in names}
    data["parameters"] = described
    data |= _content(header, parameters)
    if ours:
        data |= info_gallery.content(header)
    elif is_for_device(header):
        data |= info_device.content(header, parameters)
    elif header.kind in (Kind.SECRET_KEY, Kind.EVALUATION_KEYS):
        circuit = circuit_of(header)
        if header.kind is Kind.SECRET_KEY:
            data["answers"] = beside(file, header.key_id).answers
            data["protected"] = PROTECTION in header.metadata
        packings = [packing.value for packing in packings_for(header)]
        summary = f"{circuit.summary()}; computed {', '.join(packings)}"
        data |= {"circuit": circuit.describe(), "packings": packings, "summary": summary}
    output.answer(data, lambda console: _show(console, header.kind, data))


def _content(header: Header, parameters: Parameters) -> dict[str, Any]:
    if header.kind is Kind.EVALUATION_KEYS and not is_for_device(header):
        keys = key_specifications(header, parameters)
        per_tier = [sum(k.name.tier == t for k in keys) for t in range(len(parameters.tiers))]
        return {
            "evaluation_keys": len(keys),
            "evaluation_keys_per_tier": per_tier,
            "memory_bytes": key_memory(keys, parameters),
        }
    if header.kind is Kind.CIPHERTEXT:
        found = known_facts(header).get(ENTRY)
        check_preparation(header.source, {ENTRY: found})
        return {
            "what": header.text("what"),
            "runs": known_facts(header).get(RUNS),
            "requests": _requests(header),
            "items": _items(header),
            "preparation": found,
            **info_device.sender(header),
        }
    return {}


def _requests(header: Header) -> list[str]:
    """The requests that a bundle asks or answers; nothing in files of older versions."""
    facts_ = known_facts(header)
    if REQUESTS not in facts_:
        return []
    return [short(token) for token in tokens_of(header.source, facts_)]


def _items(header: Header) -> list[dict[str, Any]]:
    entries = header.metadata.get("items")
    items = []
    for entry in entries if isinstance(entries, list) else []:
        try:
            scale = float.fromhex(str(entry["scale"]))
            items.append(
                {
                    "name": str(entry["name"]),
                    "level": int(entry["level"]),
                    "limbs": int(entry["limbs"]),
                    "log2_scale": round(math.log2(scale), 3),
                }
            )
        except (KeyError, TypeError, ValueError, OverflowError):
            raise container.Corrupt(
                f"{header.source}: the list of ciphertexts is malformed"
            ) from None
    return items


def _show(console: Console, kind: Kind, data: dict[str, Any]) -> None:
    meaning = info_gallery.MEANING if "of" in data else _MEANING
    meaning = info_device.MEANING if "device" in data else meaning
    what = f"an encrypted {data['what']}" if "what" in data else meaning[kind]
    rows: list[tuple[str, object]] = [
        ("kind", f"{data['kind']} (format {data['format_version']}): {what}"),
        ("size", f"{size(data['bytes'])}, every byte checked"),
        ("key id", data["key_id"] or "none"),
    ]
    if "parameters" in data:
        p = data["parameters"]
        rows += [
            ("parameters", f"'{p['name']}', digest {p['digest'][:16]}"),
            ("ring dimension", f"{p['ring_dimension']}"),
            ("limbs", f"{p['limbs']}, and {p['special_limbs']} special primes"),
            ("log2(QP)", f"{p['log2_qp']:.1f}, special primes included"),
            ("128-bit bound", f"{p['log2_qp_bound']}, margin {p['margin_bits']} bits"),
            *([("ring of half the degree", ring(p["half"]))] if p["half"] else []),
            ("source of the bound", p["bound_source"]),
        ]
    rows += info_gallery.rows(data) + info_device.rows(data)
    if "protected" in data:
        rows.append(("passphrase", "needed to use it" if data["protected"] else "none"))
    if "summary" in data:
        rows.append(("made for", data["summary"]))
    if "answers" in data:
        rows.append(("answers", f"{data['answers']} given, {DEFAULT_LIMIT} by default"))
    if data.get("requests"):
        rows.append(("requests", ", ".join(data["requests"])))
    if "evaluation_keys" in data:
        tiers = ", ".join(str(count) for count in data["evaluation_keys_per_tier"])
        rows += [
            ("keys", f"{data['evaluation_keys']} (per tier: {tiers})"),
            ("in memory", size(data["memory_bytes"])),
        ]
    if data.get("preparation"):
        rows += [(f"prepared, {name}", value) for name, value in data["preparation"].items()]
    console.print(facts(data["file"], rows))
    if "items" in data:
        cells = [
            (i["name"], str(i["level"]), str(i["limbs"]), f"2^{i['log2_scale']:.2f}")
            for i in data["items"]
        ]
        console.print(grid("Ciphertexts", ("name", "level", "limbs", "scale"), cells, 1))
