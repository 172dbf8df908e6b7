"""``fhe-face gallery server-only key``: the owner of both keys lets a server work by itself."""

from __future__ import annotations

from pathlib import Path

from fhe_core.container import Kind, read_header
from fhe_core.files import shown
from fhe_core.secret.files import load_secret_key
from fhe_face.client import passphrases
from fhe_face.commands.gallery_opening import Opening, confirm, facts_of
from fhe_face.commands.secrecy import hold_secrets
from fhe_face.engine import Engine, engine_for
from fhe_face.failures import USAGE, CommandError
from fhe_face.gallery.crossing import crossing_of
from fhe_face.gallery.gallery import Gallery
from fhe_face.models.checkpoint import load
from fhe_face.network import load_network, weights_file
from fhe_face.output import Output, facts
from fhe_face.places import Packing
from fhe_face.plaintexts import digest_of
from fhe_face.system import default_threads, size

_WARNING = (
    "with this key, whoever has gallery.key and what the server has can open everything of "
    "client.key, as if it were client.key"
)


def key(
    opening: Opening,
    client_key: Path | None,
    passphrase_file: Path | None,
    weights: Path | None,
    remove: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Make the key, or take it away."""
    output = Output(as_json)
    if remove == (client_key is not None):
        raise CommandError("give either --key with client.key, or --remove", USAGE)
    with opening.opened(output) as gallery:
        _require_local(gallery, opening.folder)
        if client_key is None:
            _remove(gallery, output)
            return
        confirm(_WARNING[0].upper() + _WARNING[1:], yes, output)
        _make(gallery, client_key, passphrase_file, weights, output)


def _require_local(gallery: Gallery, folder: Path) -> None:
    if type(gallery) is not Gallery:
        raise CommandError(
            f"{shown(folder)}: lies at a server; a server alone works in a gallery of its own "
            "folder only",
            USAGE,
        )


def _remove(gallery: Gallery, output: Output) -> None:
    with output.stages() as stage:
        there = gallery.server_only.remove_key(stage)
    said = "the switching key is gone" if there else "there was no switching key"
    output.answer(
        facts_of(gallery) | {"removed": there}, lambda console: console.print(said, markup=False)
    )


def _make(
    gallery: Gallery,
    client_key: Path,
    passphrase_file: Path | None,
    weights: Path | None,
    output: Output,
) -> None:
    hold_secrets(output, client_key, passphrase_file)
    engine = engine_for(read_header(client_key, expect_kind=Kind.SECRET_KEY))
    engine.circuit.require_scores(shown(client_key))
    digest = _network(gallery, engine, weights)
    passphrase = passphrases.opener(passphrase_file, client_key)
    secret = load_secret_key(
        client_key, lambda _name: engine.parameters, default_threads(), passphrase
    )
    with output.stages() as stage:
        path = gallery.server_only.make_key(secret, engine, digest, stage)
    found = crossing_of(gallery.opened)
    ring = found.plan.gallery.parameters
    data = facts_of(gallery) | {
        "switch_key": str(path),
        "bytes": path.stat().st_size,
        "engine_key": secret.key_id,
        "parts": found.plan.parts,
        "ring_dimension": ring.ring_dimension,
        "log2_qp": round(ring.log2_qp, 2),
        "log2_qp_bound": ring.log2_qp_bound,
    }
    rows: list[tuple[str, object]] = [
        ("switching key, for the server", shown(path)),
        ("size", size(data["bytes"])),
        ("from client key", secret.key_id[:8]),
        ("to gallery key", gallery.facts.key_id[:8]),
        ("log2(QP)", f"{ring.log2_qp:.1f} of at most {ring.log2_qp_bound} for 128 bits"),
    ]
    output.warn(_WARNING)
    output.answer(data, lambda console: console.print(facts("Server alone", rows)))


def _network(gallery: Gallery, engine: Engine, weights: Path | None) -> str:
    """What results of the gallery's network are called by.

    Raises:
        OtherModel: other weights than the gallery's.
        CommandError: nobody knows which file they are, or the key is for other faces.
    """
    given = weights or (
        None if gallery.settings.weights is None else Path(gallery.settings.weights)
    )
    if given is None:
        raise CommandError("the gallery does not know its network: give --weights", USAGE)
    if Packing.ALONE not in engine.packings:
        raise CommandError("the key is for batches only; a server alone takes single faces", USAGE)
    file = weights_file(given)
    gallery.facts.require_model(load(file).tensors_sha256, shown(file))
    return digest_of(engine, load_network(file, engine.circuit.input_size))
