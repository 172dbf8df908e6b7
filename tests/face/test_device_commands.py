"""``fhe-face device``, and the other commands with a device's files, at full size."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fhe_core.container import ContainerError, WrongKind
from fhe_core.formats.ciphertexts import Bundle, load_bundle, save_bundle
from fhe_core.formats.matching import load_gallery_keys
from fhe_core.matching import gallery_parameters
from fhe_core.secret.gallery_files import load_gallery_key
from fhe_core.secret.key import SecretKey
from fhe_face import cli
from fhe_face.client.client import FaceClient
from fhe_face.client.devices import Register
from fhe_face.client.expected import Expected, device_tokens
from fhe_face.client.requests import Requests
from fhe_face.demo_faces import demo_faces
from fhe_face.engine import compile_engine
from fhe_face.places import Packing, numbered
from fhe_face.server.server import FaceServer
from tests.face.kit import CIRCUIT, Kit, Run


@dataclass(frozen=True)
class Owner:
    """A client's folder with one device. door: its own key; id: its id; face: what it sent."""

    folder: Path
    key: SecretKey
    door: Path
    id: str
    face: Path
    receipt: Path

    @property
    def client(self) -> Path:
        return self.folder / "client.key"

    @property
    def evaluation(self) -> Path:
        return self.folder / "evaluation.key"

    @property
    def switching(self) -> Path:
        return self.folder / "devices" / f"{self.id}.key"


def status_of(words: Sequence[object]) -> int:
    """Of a command in this process, outside any test."""
    with pytest.raises(SystemExit) as caught:
        cli.main([str(word) for word in words])
    return int(caught.value.code or 0)


@pytest.fixture(scope="module")
def owner(kit: Kit, tmp_path_factory: pytest.TempPathFactory) -> Owner:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("client.key", "client.ledger", "evaluation.key"):
        shutil.copy(kit.folder / name, folder / name)
    outside = tmp_path_factory.mktemp("device")
    door, face, receipt = (outside / name for name in ("door.key", "face.ct", "face.receipt"))
    client = folder / "client.key"
    assert status_of(["device", "create", "--key", client, "--label", "door", "-o", door]) == 0
    image = outside / "face.png"
    Image.fromarray(demo_faces()[0]).save(image)
    sent = ["encrypt", "--key", door, image, "-o", face, "--receipt", receipt, "--aligned"]
    assert status_of(sent) == 0
    (made,) = Register.beside(client, kit.key.key_id).all()
    return Owner(folder, kit.key, door, made.id, face, receipt)


def test_the_life_of_a_device(fhe_face: Run, kit: Kit, tmp_path: Path) -> None:
    client = shutil.copy(kit.client_key, tmp_path / "client.key")
    own = tmp_path / "gate.key"
    assert fhe_face("device", "list", "--key", client, "--json").json()["devices"] == []
    made = fhe_face(
        "device", "create", "--key", client, "--label", "gate", "-o", own, "--json"
    ).json()
    assert made["key_id"] == kit.key.key_id
    assert made["device_key_bytes"] == own.stat().st_size < 70_000
    switching = tmp_path / "devices" / f"{made['device']}.key"
    assert made["switching_key"] == str(switching)
    assert made["switching_key_bytes"] == switching.stat().st_size < 42e6
    (listed,) = fhe_face("device", "list", "--key", client, "--json").json()["devices"]
    shown = fhe_face("device", "show", made["device"][:8], "--key", client, "--json").json()
    assert listed == shown
    assert listed.items() <= made.items()
    assert "gate" in fhe_face("device", "list", "--key", client).out
    gone = fhe_face("device", "revoke", "gate", "--key", client, "--json").json()
    assert gone["revoked"] >= gone["created"]
    assert gone["switching_key"] is None
    assert not switching.exists()
    assert own.exists()  # it is the device's
    assert "revoked" in fhe_face("device", "show", "gate", "--key", client).out
    assert "none here" in fhe_face("device", "revoke", "gate", "--key", client).out
    error = fhe_face("device", "show", "window", "--key", client).refused()
    assert "there is no device 'window'" in error


def test_refused_devices(fhe_face: Run, owner: Owner, tmp_path: Path) -> None:
    before = sorted(owner.folder.rglob("*"))
    new = tmp_path / "new.key"

    def refused(label: str, target: Path) -> str:
        words = ("device", "create", "--key", owner.client, "--label", label, "-o", target)
        return fhe_face(*words).refused()

    assert "already" in refused("door", new)
    assert "a label has" in refused("", new)
    assert "exists already" in refused("gate", owner.door)
    assert "exists already" in refused("gate", owner.client)
    assert "no such file" in refused("gate", tmp_path / "missing" / "new.key")
    assert not new.exists()
    assert sorted(owner.folder.rglob("*")) == before


def test_info_knows_the_files(fhe_face: Run, owner: Owner) -> None:
    own = fhe_face("info", owner.door, "--json").json()
    assert (own["device"], own["owner"], own["label"]) == (owner.id, owner.key.key_id, "door")
    assert "it encrypts, and opens no result" in fhe_face("info", owner.door).out
    switching = fhe_face("info", owner.switching, "--json").json()
    assert (switching["device"], switching["owner"]) == (owner.id, owner.key.key_id)
    assert switching["log2_qp"] <= switching["log2_qp_bound"]
    assert "a device's switching key" in fhe_face("info", owner.switching).out
    face = fhe_face("info", owner.face, "--json").json()
    assert (face["sent_by"], face["owner"]) == ([owner.id], owner.key.key_id)


# --- what a device holds decrypts nothing ---------------------------------------------------------


def test_no_file_holds_the_owners_secret(owner: Owner) -> None:
    """In none of the forms in which it is kept; nor do the names or the records leave."""
    secret = owner.key.secret_coefficients()
    forms = [(secret + 1).astype(np.uint8).tobytes(), secret.tobytes()]
    assert forms[0][4096:4160] in owner.client.read_bytes()
    for file in (owner.door, owner.switching, owner.face, owner.receipt):
        content = file.read_bytes()
        for form in forms:
            assert not any(form[i : i + 64] in content for i in range(0, len(form), 4096)), file
    assert b"door" not in owner.switching.read_bytes()  # the server sees no label
    assert owner.door.stat().st_mode & 0o777 == 0o600
    assert owner.receipt.stat().st_mode & 0o777 == 0o600


def test_every_command_that_decrypts_refuses_a_devices_key(
    fhe_face: Run, owner: Owner, kit: Kit, tmp_path: Path
) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    shutil.copy(owner.door, folder / "client.key")
    shutil.copy(owner.evaluation, folder / "evaluation.key")
    photo, out = owner.face.parent / "face.png", tmp_path / "out"
    told = "is the secret-key of a device, expected that of an engine"
    for words in (
        ("decrypt", "--key", owner.door, kit.embedding_ct),
        ("decrypt", "--key", owner.door, kit.score_ct, "--decision-only"),
        ("decrypt", "--key", owner.door, kit.score_ct, "--share", "round"),
        ("verify", photo, photo, "--keys", folder),
        ("keygen", "--key", owner.door, "--out", out),
        ("device", "create", "--key", owner.door, "--label", "x", "-o", out),
        ("device", "list", "--key", owner.door),
        ("device", "show", "x", "--key", owner.door),
        ("device", "revoke", "x", "--key", owner.door),
    ):
        result = fhe_face(*words)
        assert told in result.refused(), words
        assert result.out == ""
    assert not out.exists()
    error = fhe_face("decrypt", "--key", owner.door, owner.face).refused()
    assert "what goes to the server" in error


def test_every_command_refuses_a_switching_key(
    fhe_face: Run, owner: Owner, kit: Kit, tmp_path: Path
) -> None:
    out = tmp_path / "out.ct"
    for words in (
        ("embed", "--keys", owner.switching, kit.image_ct, "-o", out),
        ("match", "--keys", owner.switching, kit.embedding_ct, kit.embedding_ct, "-o", out),
        ("decrypt", "--key", owner.switching, kit.score_ct),
        ("encrypt", "--key", owner.switching, owner.face.parent / "face.png", "-o", out),
    ):
        assert fhe_face(*words).refused(), words
    assert not out.exists()


def test_python_refuses_a_devices_key(owner: Owner, kit: Kit) -> None:
    gallery = gallery_parameters()
    for call in (
        lambda: FaceClient.load(owner.door),
        lambda: FaceServer.load(owner.switching),
        lambda: FaceServer.load_matcher(owner.switching),
        lambda: load_gallery_key(owner.door, gallery),
        lambda: load_gallery_keys(owner.switching, gallery),
    ):
        with pytest.raises(WrongKind, match="of a device") as caught:
            call()
        assert "\n" not in str(caught.value)
    with pytest.raises(ContainerError):
        Bundle.load(owner.door)


# --- the way of a face ----------------------------------------------------------------------------


def test_embed_looks_for_the_device_first(
    fhe_face: Run, owner: Owner, other_kit: Kit, kit: Kit, tmp_path: Path
) -> None:
    """The kit's evaluation keys are not whole, so that a known device ends there."""
    out = tmp_path / "out.ct"
    embed = ("embed", "-o", out, owner.face, "--keys")
    assert "lacks the key" in fhe_face(*embed, owner.evaluation).refused()
    unknown = fhe_face(*embed, kit.evaluation_key).refused()
    assert f"is of device {owner.id[:8]}, which was never added here or was revoked" in unknown
    foreign = fhe_face(*embed, other_kit.evaluation_key).refused()
    assert f"is of a device of key {owner.key.key_id[:8]}, not of" in foreign
    keys = shutil.copy(kit.evaluation_key, tmp_path / "evaluation.key")
    devices = tmp_path / "devices"
    devices.mkdir()
    place = devices / owner.switching.name
    for content in (owner.door, other_kit.evaluation_key, owner.face):
        shutil.copy(content, place)
        assert str(place) in fhe_face(*embed, keys).refused()
    place.write_bytes(owner.switching.read_bytes()[:-5])
    assert "its header says" in fhe_face(*embed, keys).refused()
    assert not out.exists()


def answer_of(owner: Owner, kit: Kit, folder: Path, device: str | None = None) -> Path:
    """What a server would answer to the device: an embedding with its token."""
    given = load_bundle(kit.embedding_ct)
    sent = load_bundle(owner.face)
    facts = {
        **given.facts,
        "requests": sent.facts["requests"],
        "preparation": sent.facts["preparation"],
        "devices": [device or owner.id],
    }
    path = folder / "answer.ct"
    save_bundle(path, replace(given, facts=facts))
    return path


def test_the_owner_opens_what_a_device_asked_for(
    fhe_face: Run, owner: Owner, kit: Kit, tmp_path: Path
) -> None:
    answer = answer_of(owner, kit, tmp_path)
    opened = fhe_face("decrypt", "--key", owner.client, answer, "--json").json()
    assert (opened["devices"], opened["device_labels"]) == ([owner.id], ["door"])
    for sent in (owner.face, owner.receipt):
        said = fhe_face("decrypt", "--key", owner.client, answer, "--sent", sent).out
        assert f"device door ({owner.id[:8]})" in said
    assert fhe_face("info", answer, "--json").json()["sent_by"] == [owner.id]
    other = json.loads(owner.receipt.read_text())
    other["requests"] = [other["requests"][0][::-1]]
    wrong = tmp_path / "wrong.receipt"
    wrong.write_text(json.dumps(other))
    refused = fhe_face("decrypt", "--key", owner.client, answer, "--sent", wrong).refused()
    assert "not the one that was sent" in refused
    other["requests"] = ["x"]
    wrong.write_text(json.dumps(other))
    assert "malformed" in (
        fhe_face("decrypt", "--key", owner.client, answer, "--sent", wrong).refused()
    )
    for content in ("1", "[" * 60_000, "{}", ""):  # no receipt, and no face either
        wrong.write_text(content)
        assert fhe_face("decrypt", "--key", owner.client, answer, "--sent", wrong).refused()
    claimed = answer_of(owner, kit, tmp_path, "0" * 32)
    assert "answers no request" in fhe_face("decrypt", "--key", owner.client, claimed).refused()


def test_results_of_a_revoked_device_stay_closed(
    fhe_face: Run, owner: Owner, kit: Kit, tmp_path: Path
) -> None:
    client = tmp_path / "client.key"
    shutil.copy(owner.client, client)
    shutil.copy(owner.folder / "client.ledger", tmp_path / "client.ledger")
    fhe_face("device", "create", "--key", client, "--label", "gate", "-o", tmp_path / "gate.key")
    made = fhe_face("device", "show", "gate", "--key", client, "--json").json()["device"]
    engine = compile_engine(CIRCUIT, [Packing.ALONE])
    (run,) = numbered([(Packing.ALONE, 1)])
    given = load_bundle(kit.embedding_ct)
    asked = Expected(owner.key, engine).asked(run, given.facts)
    token = Requests(device_tokens(owner.key, made)).issue(asked)
    answer = tmp_path / "answer.ct"
    facts = {**given.facts, "requests": [token], "devices": [made]}
    save_bundle(answer, replace(given, facts=facts))
    assert fhe_face("decrypt", "--key", client, answer).status == 0
    fhe_face("device", "revoke", "gate", "--key", client)
    assert f"device {made[:8]}, which was revoked" in (
        fhe_face("decrypt", "--key", client, answer).refused()
    )
