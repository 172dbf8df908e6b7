"""Batches on the command line: encrypt and decrypt at full size, refusals of the rest."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fhe_core.container import Corrupt
from fhe_core.formats.ciphertexts import load_bundle
from fhe_core.secret.files import save_secret_key
from fhe_face.circuit import ENTRY, PACKINGS, Circuit, CircuitError, normalisation_of
from fhe_face.client.client import FaceClient
from fhe_face.demo_faces import demo_faces
from fhe_face.engine import compile_engine
from fhe_face.photos.images import to_unit
from fhe_face.places import Packing
from tests.face.kit import CIRCUIT, FACES, LENGTH, Kit, Run, bundled_thresholds


@pytest.fixture
def faces(tmp_path: Path) -> list[Path]:
    """Three aligned faces as files."""
    files = []
    for number, pixels in enumerate([*demo_faces(), demo_faces()[0]]):
        files.append(tmp_path / f"face{number}.png")
        Image.fromarray(pixels).save(files[-1])
    return files


def test_encrypt(fhe_face: Run, kit: Kit, tmp_path: Path, faces: list[Path]) -> None:
    target, names = tmp_path / "faces.ct", tmp_path / "names.json"
    folder = tmp_path / "more"
    folder.mkdir()
    faces = [faces[0], *(face.rename(folder / face.name) for face in faces[1:])]
    given = ("encrypt", "--key", kit.many_key, faces[0], folder)
    result = fhe_face(*given, "-o", target, "--names", names, "--json")
    answer = result.json()
    assert answer["images"] == [str(face) for face in faces]
    assert (answer["runs"], len(answer["faces"])) == ([["batch", FACES]], FACES)
    assert answer["ciphertext_bytes"] == target.stat().st_size < 200e6
    bundle = load_bundle(target, "image")
    assert bundle.facts["runs"] == [["batch", FACES]]
    assert str(faces[0]).encode() not in target.read_bytes()[:100_000]  # names stay here
    compiled = FaceClient.load(kit.many_key).engine.batch
    assert bundle.facts["plans"] == {"batch": compiled.plan.digest}
    first = bundle.items["faces 1-3 input.0"]
    units = np.stack([to_unit(np.asarray(Image.open(face))) for face in faces])
    assert np.allclose(kit.key.decrypt(first), compiled.pack_images(units)[0], atol=1e-6)
    assert json.loads(names.read_text())["names"] == [str(face) for face in faces]
    arguments = ("decrypt", "--key", kit.many_key, kit.embeddings_ct, "--names", names, "--json")
    found = fhe_face(*arguments).json()["faces"]
    assert [face["name"] for face in found] == [str(face) for face in faces]


def test_refused_encryptions(fhe_face: Run, kit: Kit, tmp_path: Path, faces: list[Path]) -> None:
    def refused(key: Path, *arguments: object, status: int = 2) -> str:
        target = tmp_path / "x.ct"
        error = fhe_face("encrypt", "--key", key, *arguments, "-o", target).refused(status)
        assert not target.exists()
        return error

    assert "at most 256" in refused(kit.many_key, *(faces[:1] * 257))
    error = refused(kit.many_key, faces[0], "--memory", "inf", status=2)
    assert error.startswith("--memory is inf; give GB")
    error = refused(kit.many_key, *faces, "--alone", status=1)
    assert error == "keys for neither single faces nor batches"
    assert "--face is for one image" in refused(kit.many_key, *faces, "--face", 1)
    large = tmp_path / "large.png"
    Image.new("RGB", (100, 80)).save(large)
    error = refused(kit.many_key, faces[0], large, "--resize", status=1)
    assert "large.png: prepared differently from" in error


def test_decrypt_embeddings(fhe_face: Run, kit: Kit, tmp_path: Path) -> None:
    target = tmp_path / "embeddings.npy"
    arguments = ("decrypt", "--key", kit.many_key, kit.embeddings_ct, "-o", target)
    answer = fhe_face(*arguments, "--json").json()
    assert (answer["kind"], answer["healthy"]) == ("embedding", True)
    assert [face["name"] for face in answer["faces"]] == ["face 1", "face 2", "face 3"]
    assert np.load(target).shape == (FACES, LENGTH)
    assert np.array_equal(np.load(target)[2], answer["faces"][2]["embedding"])


def test_decrypt_scores(fhe_face: Run, kit: Kit, tmp_path: Path) -> None:
    target = tmp_path / "scores.npy"
    arguments = ("decrypt", "--key", kit.many_key, kit.scores_ct)
    answer = fhe_face(*arguments, "-o", target, "--json").json()
    assert [face["score"] for face in answer["faces"]] == pytest.approx([0.1, 0.2, 0.3], abs=1e-6)
    assert np.load(target) == pytest.approx([0.1, 0.2, 0.3], abs=1e-6)
    text, judged = fhe_face(*arguments).out, bundled_thresholds()
    for face in answer["faces"]:
        assert face["verdict"] == judged.verdict(face["cosine"]).value != "same"
        said = {"different": "different people", "not sure": "not sure"}[face["verdict"]]
        assert f"{said}, cosine {face['cosine']:.6f}" in text
    assert {face["verdict"] for face in answer["faces"]} >= {"different"}
    assert f"same from cosine {judged.same_from:.3f} on, at which 1 stranger" in text
    assert "0.200000" not in text


def test_unhealthy_faces(fhe_face: Run, kit: Kit, tmp_path: Path) -> None:
    """The others keep their results, and the exit status tells."""
    target = tmp_path / "x.npy"
    arguments = ("decrypt", "--key", kit.many_key, kit.badones_ct)
    result = fhe_face(*arguments, "-o", target, "--json")
    assert result.status == 3
    assert "no result for 1 of 3 faces: face 2" in result.err
    answer = result.json()
    assert [face["healthy"] for face in answer["faces"]] == [True, False, True]
    assert "outside" in answer["faces"][1]["reason"]
    assert "embedding" not in answer["faces"][1]
    assert np.isnan(np.load(target)).all(axis=1).tolist() == [False, True, False]
    assert "must not be used" in fhe_face(*arguments).out
    target.unlink()
    result = fhe_face("decrypt", "--key", kit.many_key, kit.noones_ct, "-o", target)
    assert "none of the 3 faces is healthy" in result.refused(3)
    assert not target.exists()


def test_names_must_fit(fhe_face: Run, kit: Kit, tmp_path: Path) -> None:
    names = tmp_path / "names.json"
    arguments = ("decrypt", "--key", kit.many_key, kit.embeddings_ct, "--names", names)
    assert "no such file" in fhe_face(*arguments).refused()
    for text in ("", '{"version": 1, "names": [1, 2, 3]}'):
        names.write_text(text)
        assert "not a file of names" in fhe_face(*arguments).refused()
    names.write_text('{"version": 1, "names": ["a"]}')
    assert "names of 1 faces; the file holds 3" in fhe_face(*arguments).refused()
    single = ("decrypt", "--key", kit.client_key, kit.embedding_ct, "--names", names, "--json")
    assert fhe_face(*single).json()["faces"][0]["name"] == "a"


def test_packings_are_not_mixed_up(fhe_face: Run, kit: Kit, tmp_path: Path) -> None:
    out = ("-o", tmp_path / "x.ct")
    single, many = ("--keys", kit.evaluation_key), ("--keys", kit.manyevaluation_key)
    error = fhe_face("match", *single, kit.embeddings_ct, kit.embeddings_ct, *out).refused()
    assert "packed as 'batch', the evaluation keys are for alone" in error
    weights = ("--weights", tmp_path / "none.safetensors")
    error = fhe_face("embed", *many, *weights, kit.image_ct, *out).refused()
    assert "packed as 'alone', the evaluation keys are for batch" in error
    answer = fhe_face("info", kit.many_key, "--json").json()
    assert answer["summary"].endswith("computed batch")
    assert answer["packings"] == ["batch"]


def test_circuits_and_packings(kit: Kit) -> None:
    with pytest.raises(CircuitError, match="no room for mirror images"):
        compile_engine(Circuit("safe", normalisation_of(None), views=2), Packing)
    flipped = compile_engine(Circuit("safe", normalisation_of(None), views=2))
    assert flipped.packings == (Packing.ALONE,)
    with pytest.raises(CircuitError, match="neither"):
        compile_engine(Circuit("safe", normalisation_of(None)), [])
    # Both keys are of one client: one secret, whatever they are for.
    single, many = FaceClient.load(kit.client_key), FaceClient.load(kit.many_key)
    assert single.key_id == many.key_id
    assert single.plan(1)[0].packing is Packing.ALONE
    assert many.plan(1)[0].packing is Packing.BATCH
    assert repr(many) == f"<FaceClient of key {many.key_id[:8]}, for batch>"


def test_plan(fhe_face: Run) -> None:
    answer = fhe_face("plan", "--batch", "--json").json()
    assert [plan["name"] for plan in answer["plans"]] == ["embed-64-batch-64", "match"]
    assert answer["evaluation_keys"] == 102


def test_keys_of_older_versions(kit: Kit, tmp_path: Path) -> None:
    """They say nothing of packings, or pairs; nothing else can be right either."""
    circuit = CIRCUIT.describe()
    said: list[dict[str, object]] = [{}]
    said += [{PACKINGS: names} for names in (["alone", "pair"], ["many"], [])]
    for more in said:
        facts: dict[str, object] = {ENTRY: circuit, **more}
        save_secret_key(tmp_path / "old.key", kit.key, facts, overwrite=True)
        with pytest.raises(Corrupt, match=r"single faces or batches.* make new keys"):
            FaceClient.load(tmp_path / "old.key")
