"""Manifests of weights: digests, tampering, hostile metadata, all three sizes."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fhe_face.coeffs.fit import fit
from fhe_face.coeffs.normalisation import FittedNormalisation
from fhe_face.models.architecture import FEATURES, patches_of
from fhe_face.models.calibration import images
from fhe_face.models.checkpoint import CheckpointError, load, save_safetensors
from fhe_face.models.fused import fuse
from fhe_face.models.manifest import ENTRY, WeightsManifest, WeightsManifestError, tensors_digest
from fhe_face.models.reference import embed
from fhe_face.models.synthetic import untrained

State = dict[str, NDArray[Any]]


@pytest.fixture(scope="module")
def state() -> State:
    return untrained(0)


@pytest.fixture(scope="module")
def content(state: State, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_safetensors(state, path)
    return path.read_bytes()


def with_metadata(content: bytes, metadata: object) -> bytes:
    """The file with other metadata; the tensors stay where they are."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] = metadata
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + length :]


def manifest_of(content: bytes) -> dict[str, Any]:
    (length,) = struct.unpack("<Q", content[:8])
    found = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][ENTRY])
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("size", [64, 96, 128])
def test_all_sizes_load_fuse_and_convert(size: int, tmp_path: Path) -> None:
    state = untrained(3, size)
    polynomial = fit("minimax", (120, 900), 4)
    record = {"data": ["made up"], "seed": 3, "licence": "MIT", "accuracy": 0.5, "more": {"x": 1}}
    manifest = WeightsManifest.of(state, polynomial, record)
    path = tmp_path / "w.safetensors"
    save_safetensors(state, path, manifest=manifest)
    loaded = load(path)
    assert loaded.manifest == manifest
    assert loaded.manifest.training == record
    assert loaded.manifest.coefficients == polynomial
    assert loaded.architecture == manifest.architecture == f"CryptoFaceNet{patches_of(size)}"
    assert loaded.tensors_sha256 == manifest.tensors_sha256 == tensors_digest(state)
    assert loaded.input_size == size
    pictures = images(np.random.default_rng(0), 1, size)
    assert np.array_equal(embed(fuse(loaded.state), pictures), embed(fuse(state), pictures))
    assert WeightsManifest.from_json(manifest.to_json()) == manifest


def test_torch_file_and_converted_file_have_one_digest(state: State, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(np.array(tensor)) for name, tensor in state.items()}
    torch.save({"backbone": tensors}, tmp_path / "w.ckpt")
    official = load(tmp_path / "w.ckpt")
    assert official.manifest is None
    save_safetensors(official.state, tmp_path / "w.safetensors")
    assert load(tmp_path / "w.safetensors").tensors_sha256 == official.tensors_sha256


def test_official_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    official = load(checkpoint)
    assert official.architecture == "CryptoFaceNet4"
    save_safetensors(official.state, tmp_path / "w.safetensors")
    converted = load(tmp_path / "w.safetensors")
    assert converted.tensors_sha256 == official.tensors_sha256
    assert len(converted.state) == len(official.state) == 603


def test_digest_sees_every_change(state: State) -> None:
    digest = tensors_digest(state)
    assert digest == tensors_digest(dict(reversed(list(state.items()))))
    turned = {k: np.asfortranarray(v) if v.ndim else v for k, v in state.items()}
    assert digest == tensors_digest(turned)
    assert digest == tensors_digest(
        {k: v.astype(v.dtype.newbyteorder(">")) for k, v in state.items()}
    )
    name = "linear.weight"
    changed = state[name].copy()
    changed[5, 7] = np.nextafter(changed[5, 7], np.float32(9))
    for other in (
        {**state, name: changed},
        {**state, name: state[name].astype(np.float64)},
        {**state, name: state[name].T},
        {**state, "more": np.zeros(0)},
        {k: v for k, v in state.items() if not k.startswith("jigsaw")},
    ):
        assert tensors_digest(other) != digest


def refused(path: Path, content: bytes, words: str) -> None:
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=words) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")


def test_tampered_tensors(content: bytes, tmp_path: Path) -> None:
    for at in (-1, -5000, -1_000_001):
        changed = bytearray(content)
        changed[at] ^= 1
        refused(tmp_path / "w.safetensors", bytes(changed), "its manifest: the tensors were")
    refused(tmp_path / "w.safetensors", content[:-4], "truncated")


def test_manifest_of_other_weights(content: bytes, state: State, tmp_path: Path) -> None:
    other = WeightsManifest.of({**state, "linear.bias": state["linear.bias"] + 1})
    larger = WeightsManifest(96, other.tensors_sha256)
    for manifest, words in (
        (other, "the tensors were changed"),
        (larger, "input_size 96, the tensors are for 64"),
    ):
        changed = with_metadata(content, {ENTRY: manifest.to_json()})
        refused(tmp_path / "w.safetensors", changed, words)
    with pytest.raises(WeightsManifestError, match="the tensors were changed"):
        save_safetensors(state, tmp_path / "x", manifest=other)
    assert not (tmp_path / "x").exists()


def test_no_manifest_is_no_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(with_metadata(content, {"source": "elsewhere"}))
    assert load(path).manifest is None
    assert load(path).metadata == {"source": "elsewhere"}


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("version", 2, "version 2; this program reads 1"),
        ("version", True, "version True"),
        ("version", "x" * 1000, r"version 'xxx.*\.\.\.; this"),
        ("architecture", "CryptoFaceNet9", "architecture 'CryptoFaceNet9' with input_size 64"),
        ("architecture", ["a\nb"], "architecture list with"),
        ("input_size", 65, "input_size 65; it must be 64, 96 or 128"),
        ("input_size", 64.0, "input_size 64.0"),
        ("pixels", "x / 255", "pixels 'x / 255'; it must be"),
        ("tensors_sha256", "0" * 63, "64 lowercase hexadecimal digits"),
        ("tensors_sha256", "0" * 64, "the tensors were changed"),
        ("tensors_sha256", None, "64 lowercase hexadecimal digits"),
        ("normalisation", [], "must be objects"),
        ("normalisation", {}, "normalisation: interval: it must be a list of 2 numbers"),
        ("training", 5, "must be objects"),
        ("training", {"x": float("nan")}, "numbers must be finite"),
    ],
)
def test_hostile_entries(
    name: str, value: object, words: str, content: bytes, tmp_path: Path
) -> None:
    manifest = {**manifest_of(content), name: value}
    changed = with_metadata(content, {ENTRY: json.dumps(manifest)})
    refused(tmp_path / "w.safetensors", changed, words)


@pytest.mark.parametrize("missing", ["version", "architecture", "pixels", "tensors_sha256"])
def test_missing_entries(missing: str, content: bytes, tmp_path: Path) -> None:
    manifest = manifest_of(content)
    del manifest[missing]
    changed = with_metadata(content, {ENTRY: json.dumps(manifest)})
    refused(tmp_path / "w.safetensors", changed, missing)


@pytest.mark.parametrize(
    "metadata",
    [5, "x", [1], {ENTRY: 5}, {ENTRY: None}, {ENTRY: "[" * 100_000}, {ENTRY: "\ud800"}],
)
def test_hostile_metadata(metadata: object, content: bytes, tmp_path: Path) -> None:
    words = "not a valid safetensors file|its manifest: not JSON"
    refused(tmp_path / "w.safetensors", with_metadata(content, metadata), words)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
WHOLE = json.loads(WeightsManifest(64, "0" * 64).to_json())


@given(
    st.text()
    | json_values.map(json.dumps)
    | st.dictionaries(st.sampled_from(sorted(WHOLE)), json_values).map(
        lambda changes: json.dumps({**WHOLE, **changes})
    )
    | st.dictionaries(st.sampled_from(sorted(WHOLE["normalisation"])), json_values).map(
        lambda changes: json.dumps(
            {**WHOLE, "normalisation": {**WHOLE["normalisation"], **changes}}
        )
    )
)
@example("[" * 100_000)
@example('{"version": 1' + "0" * 5000 + "}")
@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
def test_any_text_is_a_manifest_or_refused(text: str) -> None:
    try:
        found = WeightsManifest.from_json(text)
    except WeightsManifestError as error:
        refusal = str(error)
    else:
        refusal = ""
    if refusal:
        assert "\n" not in refusal
        assert len(refusal) < 300
        return
    assert WeightsManifest.from_json(found.to_json()) == found


training_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), training_values, max_size=5))
def test_any_training_record_survives(record: dict[str, Any]) -> None:
    manifest = WeightsManifest(96, "a" * 64, FittedNormalisation.load(), record)
    assert WeightsManifest.from_json(manifest.to_json()) == manifest


def test_training_records_that_are_not_json() -> None:
    deep: list[Any] = []
    for _ in range(2000):
        deep = [deep]
    for record, words in (
        ({"x": Path()}, "PosixPath is not JSON"),
        ({"x": {1: 2}}, "names must be text"),
        ({"x": [float("inf")]}, "must be finite"),
        ({"x": deep}, "nested more than"),
        ({"x": "a" * (1 << 20)}, "larger than"),
    ):
        with pytest.raises(WeightsManifestError, match=words):
            WeightsManifest(64, "0" * 64, training=record)


def test_no_replacing_unless_asked(state: State, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_safetensors(state, path, overwrite=False)
    before = path.read_bytes()
    with pytest.raises(CheckpointError, match="exists already"):
        save_safetensors(state, path, {"more": "text"}, overwrite=False)
    assert path.read_bytes() == before
    save_safetensors(state, path, {"more": "text"})
    assert path.read_bytes() != before
    assert list(tmp_path.iterdir()) == [path]


def test_extra_tensors_are_covered(state: State, tmp_path: Path) -> None:
    """What inference does not need is under the digest all the same."""
    extra = {**state, "jigsaw.weight": np.zeros((4, FEATURES), np.float32)}
    save_safetensors(extra, tmp_path / "w.safetensors")
    content = bytearray((tmp_path / "w.safetensors").read_bytes())
    at = content.rfind(bytes(4096))
    assert at > 0
    content[at] = 1
    refused(tmp_path / "v.safetensors", bytes(content), "the tensors were changed")
