"""The client as a Python object, and ``encrypt``: real ciphertexts at full size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fhe_core.container import ContainerError, WrongKind
from fhe_core.formats.ciphertexts import Bundle, load_bundle
from fhe_face.client.client import FaceClient
from fhe_face.commands.decrypt import Opening
from fhe_face.demo_faces import demo_faces
from fhe_face.models.faces import Preparation
from fhe_face.photos.images import ImageError, to_unit
from fhe_face.photos.preparation import PreparedFace
from tests.face.kit import Kit, Run


@pytest.fixture(scope="module")
def client(kit: Kit) -> FaceClient:
    return FaceClient.load(kit.client_key)


def test_a_face_in_three_forms(client: FaceClient, kit: Kit, tmp_path: Path) -> None:
    face = demo_faces()[0]
    Image.fromarray(face).save(tmp_path / "face.png")
    compiled = client.engine.compiled
    expected = compiled.pack_image(to_unit(face))
    for form in (face, to_unit(face), tmp_path / "face.png", str(tmp_path / "face.png")):
        bundle = client.encrypt(form)
        assert bundle.facts["plans"] == {"alone": compiled.plan.digest}
        assert list(bundle.items) == [f"face 1 {name}" for name in compiled.plan.inputs]
        for item, slots in zip(bundle.items.values(), expected, strict=True):
            assert np.allclose(kit.key.decrypt(item).real, slots, atol=1e-6)


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((63, 64, 3), np.uint8),
        np.zeros((3, 64, 65)),
        np.full((3, 64, 64), np.nan),
        np.full((3, 64, 64), 1.01),
        np.zeros((3, 64, 64), np.int64),
        "missing.png",
    ],
    ids=["uint8 shape", "float shape", "nan", "range", "type", "file"],
)
def test_what_is_no_face(client: FaceClient, image: str) -> None:
    with pytest.raises(ImageError):
        client.encrypt(image)


def test_encrypt(fhe_face: Run, kit: Kit, tmp_path: Path) -> None:
    image, target = tmp_path / "large.png", tmp_path / "face.ct"
    Image.new("RGB", (100, 80)).save(image)
    result = fhe_face("encrypt", "--key", kit.client_key, image, "-o", target, "--resize", "--json")
    answer = result.json()
    assert answer["ciphertext_bytes"] == target.stat().st_size <= 64e6
    assert answer["key_id"] == kit.key.key_id
    assert load_bundle(target, "image").key_id == kit.key.key_id
    assert fhe_face("info", target, "--json").json()["preparation"] == answer["preparation"]
    assert "prepared, fallback" in fhe_face("info", target).out
    assert sorted(tmp_path.iterdir()) == [target, image]
    assert (
        "what goes to the server" in fhe_face("decrypt", "--key", kit.client_key, target).refused()
    )


def test_bundles_travel_as_bytes(client: FaceClient, kit: Kit, tmp_path: Path) -> None:
    """For client and server in two programs."""
    bundle = Bundle.load(kit.embedding_ct, "embedding")
    received = Bundle.from_bytes(bundle.to_bytes(), "embedding")
    assert np.array_equal(client.embedding(received).values, client.embedding(bundle).values)
    received.save(tmp_path / "again.ct")
    assert (tmp_path / "again.ct").read_bytes() == kit.embedding_ct.read_bytes()
    assert repr(bundle).startswith("<Bundle of 2 encrypted embedding ciphertexts, ")
    with pytest.raises(WrongKind, match="holds an encrypted embedding, not score"):
        Bundle.from_bytes(bundle.to_bytes(), "score")
    with pytest.raises(ContainerError):
        Bundle.from_bytes(bundle.to_bytes()[:-1])


def test_further_keys(fhe_face: Run, kit: Kit, tmp_path: Path) -> None:
    """`keygen --key` takes the circuit from the key, and refuses what would be another one."""
    arguments = ("keygen", "--key", kit.client_key, "--batch", "--out", tmp_path / "more")
    for option in (("--flip",), ("--size", 96), ("--coefficients", "x.json")):
        assert "leave out --size" in fhe_face(*arguments, *option).refused(2)
    assert not (tmp_path / "more").exists()


def test_what_is_printed_shows_no_face_and_no_passphrase() -> None:
    """A log that shows an object must not show what is in it."""
    unit = np.full((3, 64, 64), 0.1234)
    face = PreparedFace(unit, "as-given", Preparation.as_given(64))
    opening = Opening(Path("client.key"), b"open sesame", None, ())
    for text in (repr(face), str([opening])):
        assert "0.1234" not in text
        assert "sesame" not in text
