"""Ciphertexts and keys as files: round trips, and every way in which a file can be wrong."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fhe_core import _native, container
from fhe_core.container import ContainerError, Corrupt, Kind, Section
from fhe_core.formats.ciphertexts import Bundle, load_bundle, load_evaluation_keys, save_bundle
from fhe_core.parameters import Parameters
from fhe_core.plan import KeyName, KeySpecification
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.secret.files import load_secret_key, save_evaluation_keys, save_secret_key
from fhe_core.secret.key import SecretKey
from tests.core import tiny

SPECIFICATIONS = [
    KeySpecification(KeyName(0, 0), (5,)),
    KeySpecification(KeyName(3, 0), (4,)),
    KeySpecification(KeyName(3, 1), (3,)),
]


def bundle_of(parameters: Parameters, key: SecretKey) -> Bundle:
    """One fresh ciphertext, and one that came out of a computation."""
    z = np.random.default_rng(0).normal(size=parameters.slots)
    fresh, seed = key.encrypt(z, tiny.SCALE)
    low = replace(fresh.drop_to(1, parameters), scale=tiny.SCALE / 3)
    items = {"input.0": fresh, "squared norm": low}
    facts = {"plan": "00ff", "interval": ["0x1p+1"]}
    return Bundle("image", parameters, key.key_id, items, facts, {"input.0": seed})


# --- round trips ----------------------------------------------------------------------------------


def test_bundles_round_trip(short: Parameters, short_key: SecretKey, tmp_path: Path) -> None:
    path = tmp_path / "face.ct"
    bundle = bundle_of(short, short_key)
    save_bundle(path, bundle)
    loaded = load_bundle(path, "image", tiny.load)
    assert (loaded.what, loaded.key_id, loaded.facts) == ("image", short_key.key_id, bundle.facts)
    assert loaded.parameters.digest == short.digest
    assert list(loaded.items) == list(bundle.items)
    assert loaded.seeds == bundle.seeds
    for name, item in bundle.items.items():
        assert np.array_equal(loaded.items[name].residues, item.residues)
        assert loaded.items[name].scale == item.scale
    save_bundle(path, loaded)
    again = load_bundle(path, None, tiny.load)
    assert np.array_equal(again.items["input.0"].residues, bundle.items["input.0"].residues)


def test_a_fresh_ciphertext_travels_as_one_half(
    short: Parameters, short_key: SecretKey, tmp_path: Path
) -> None:
    path = tmp_path / "face.ct"
    bundle = bundle_of(short, short_key)
    fresh = Bundle("image", short, short_key.key_id, {"x": bundle.items["input.0"]}, {}, {})
    seeded = Bundle(
        "image", short, short_key.key_id, fresh.items, {}, {"x": bundle.seeds["input.0"]}
    )
    save_bundle(path, fresh)
    whole = path.stat().st_size
    save_bundle(path, seeded)
    half = sum(LIMB_BITS) * short.ring_dimension // 8  # each residue in the bits of its modulus
    assert whole - path.stat().st_size == pytest.approx(half, abs=256)
    assert path.stat().st_size == pytest.approx(half, abs=2048)


def test_evaluation_keys_round_trip(
    short: Parameters, short_key: SecretKey, tmp_path: Path
) -> None:
    path = tmp_path / "evaluation.key"
    steps: list[tuple[int, int]] = []
    save_evaluation_keys(path, short_key, SPECIFICATIONS, {}, lambda *s: steps.append(s))
    assert steps == [(1, 3), (2, 3), (3, 3)]
    keys = load_evaluation_keys(path, None, tiny.load)
    assert keys.key_id == short_key.key_id
    assert {name: key.rows for name, key in keys.keys.items()} == {
        s.name: s.rows(short) for s in SPECIFICATIONS
    }
    z = np.random.default_rng(0).uniform(-1, 1, short.slots)
    ciphertext, _ = short_key.encrypt(z, tiny.SCALE)
    evaluator = Evaluator(short, keys, 1)
    for limbs in (5, 4):
        rotated = evaluator.rotate_many(ciphertext.drop_to(limbs - 1, short), [3])[0]
        assert np.max(np.abs(short_key.decrypt(rotated) - np.roll(z, -3))) < 1e-8
    squared = evaluator.multiply(ciphertext, ciphertext, 1)
    assert np.max(np.abs(short_key.decrypt(squared) - z * z)) < 1e-8


def test_only_wanted_keys_are_loaded(
    short: Parameters, short_key: SecretKey, tmp_path: Path
) -> None:
    path = tmp_path / "evaluation.key"
    save_evaluation_keys(path, short_key, SPECIFICATIONS, {})
    wanted = [KeySpecification(KeyName(3, 0), (4,))]
    seen: list[tuple[int, int]] = []
    keys = load_evaluation_keys(path, wanted, tiny.load, lambda *s: seen.append(s))
    assert list(keys.keys) == [KeyName(3, 0)]
    assert seen == [(1, 1)]
    for missing in (KeySpecification(KeyName(3, 0), (5,)), KeySpecification(KeyName(4, 0), (0,))):
        with pytest.raises(container.KeyMismatch, match=str(path)):
            load_evaluation_keys(path, [missing], tiny.load)


def test_secret_keys_round_trip(short: Parameters, short_key: SecretKey, tmp_path: Path) -> None:
    path = tmp_path / "client.key"
    save_secret_key(path, short_key, {})
    assert path.stat().st_mode & 0o777 == 0o600
    loaded = load_secret_key(path, tiny.load)
    assert loaded.key_id == short_key.key_id
    z = np.arange(short.slots) / short.slots
    assert np.max(np.abs(loaded.decrypt(short_key.encrypt(z, tiny.SCALE)[0]) - z)) < 1e-8
    with pytest.raises(OSError, match="exists already"):
        save_secret_key(path, short_key, {})


# --- hostile files --------------------------------------------------------------------------------


@dataclass
class Parts:
    """What a container is made of, ready to be changed before it is written."""

    kind: Kind
    parameter_hash: str
    key_id: str
    metadata: dict[str, Any]
    arrays: dict[str, Any]

    @staticmethod
    def of(path: Path) -> Parts:
        with container.open(path) as reader:
            header = reader.header
            arrays = {name: np.array(reader.array(name)) for name in reader.names}
            metadata: dict[str, Any] = dict(header.metadata)
            return Parts(header.kind, header.parameter_hash, header.key_id, metadata, arrays)

    def write(self, path: Path) -> None:
        sections = [Section.from_array(name, array) for name, array in self.arrays.items()]
        path.unlink(missing_ok=True)  # a file of another kind would not be replaced
        container.write(
            path,
            self.kind,
            self.parameter_hash,
            self.key_id,
            self.metadata,
            sections,
            private=self.kind is Kind.SECRET_KEY,
        )


Damage = Callable[[Parts], Any]
OTHER = "00112233445566778899aabbccddeeff"


def item(parts: Parts, number: int = 0) -> dict[str, Any]:
    entry: dict[str, Any] = parts.metadata["items"][number]
    return entry


def replaced(name: str, change: Callable[[Any], Any]) -> Damage:
    def damage(parts: Parts) -> None:
        parts.arrays[name] = np.ascontiguousarray(change(parts.arrays[name]))

    return damage


def with_residue(name: str, index: tuple[int, ...], value: int) -> Damage:
    def change(array: Any) -> Any:
        array[index] = value
        return array

    return replaced(name, change)


def with_largest(name: str, row: int, index: int, bits: list[int]) -> Damage:
    """A residue of the packed rows of a section, all bits set: beyond its modulus."""
    n, start = 256, sum(bits[:row]) * 32

    def change(array: Any) -> Any:
        part = array[start : start + bits[row] * 32]
        values = _native.unpack_bits(part, n, bits[row])
        values[index] = 2 ** bits[row] - 1
        part[:] = _native.pack_bits(values, bits[row])
        return array

    return replaced(name, change)


#: Of the rows of a fresh ciphertext of the parameters here, and of their largest key.
LIMB_BITS = [50, 43, 43, 43, 43, 43]
KEY_BITS = [*LIMB_BITS, 50, 50, 50]

BUNDLE_DAMAGES: list[tuple[Damage, str]] = [
    (with_largest("input.0/c0", 5, 17, LIMB_BITS), "residue"),
    (with_largest("input.0/c0", 0, 0, LIMB_BITS), "residue"),
    (with_largest("squared-norm/c", 3, 255, 2 * LIMB_BITS[:2]), "residue"),
    (replaced("input.0/c0", lambda a: a[:-1]), "wrong shape"),
    (replaced("input.0/c0", lambda a: np.append(a, a[:1])), "wrong shape"),
    (replaced("input.0/c0", lambda a: a[None]), "wrong shape"),
    (replaced("input.0/c0", lambda a: a.astype(np.uint64)), "wrong shape"),
    (replaced("input.0/c0", lambda _: np.zeros((6, 256), np.uint64)), "wrong shape"),
    (replaced("input.0/seed", lambda a: a[:31]), "wrong shape"),
    (replaced("input.0/seed", lambda a: a.astype(np.uint64)), "wrong shape"),
    (lambda p: p.arrays.pop("input.0/c0"), "missing"),
    (lambda p: p.arrays.pop("input.0/seed"), "missing"),
    (lambda p: p.arrays.pop("squared-norm/c"), "missing"),
    (lambda p: item(p).update(name="other"), "missing"),
    (lambda p: item(p).update(name=["x"]), "malformed"),
    (lambda p: item(p).update(extra=1), "malformed"),
    (lambda p: item(p).update(level=4), "impossible level"),
    (lambda p: item(p).update(level="5"), "impossible level"),
    (lambda p: item(p).pop("level"), "malformed"),
    (lambda p: p.arrays.update(other=np.zeros(9, np.uint64)), "'other' belongs to no"),
    (lambda p: p.arrays.update({"input.0/c": np.zeros(9, np.uint64)}), "belongs to no"),
    (lambda p: item(p).update(more=1), "malformed"),
    (lambda p: item(p).pop("name"), "malformed"),
    (lambda p: item(p).update(limbs=0), "impossible level"),
    (lambda p: item(p).update(limbs=7), "impossible level"),
    (lambda p: item(p).update(limbs=-1), "impossible level"),
    (lambda p: item(p).update(limbs=2**62), "impossible level"),
    (lambda p: item(p).update(limbs=True), "impossible level"),
    (lambda p: item(p).update(limbs="6"), "impossible level"),
    (lambda p: item(p, 1).update(limbs=1), "impossible level"),
    (lambda p: item(p, 1).update(limbs=1, level=0), "wrong shape"),
    (lambda p: item(p, 1).update(level="1"), "impossible level"),
    (lambda p: item(p).update(scale="nan"), "impossible scale"),
    (lambda p: item(p).update(scale="inf"), "impossible scale"),
    *(
        (partial(lambda scale, p: item(p).update(scale=scale), value.hex()), "impossible scale")
        for value in (0.0, -(2.0**43), 0.5, 2.0**121)
    ),
    *(
        (partial(lambda scale, p: item(p).update(scale=scale), text), "malformed")
        for text in ("0x1p43", " +0x0.8P44 ", "99", "0X1.0000000000000P+43")
    ),
    (lambda p: item(p).update(scale="0x1p+99999"), "malformed"),
    (lambda p: item(p).update(scale="big"), "malformed"),
    (lambda p: item(p).update(scale=43), "malformed"),
    (lambda p: item(p).update(scale="0x1p43"), "malformed"),
    (lambda p: item(p).update(scale=" +0x0.8P44 "), "malformed"),
    (lambda p: item(p).update(scale="99"), "malformed"),
    (lambda p: p.arrays.update({"other/c": np.zeros(9, dtype=np.uint8)}), "belongs to no"),
    (lambda p: p.metadata.update(items=[]), "malformed"),
    (lambda p: p.metadata.update(items={}), "malformed"),
    (lambda p: p.metadata.update(items=[3]), "malformed"),
    (lambda p: p.metadata.update(items=p.metadata["items"] * 600), "malformed"),
    (lambda p: p.metadata.pop("items"), "malformed"),
    (lambda p: p.metadata.pop("facts"), "facts"),
    (lambda p: p.metadata.update(facts=[]), "facts"),
    (lambda p: p.metadata.pop("what"), "what"),
    (lambda p: p.metadata.update(what=3), "what"),
    (lambda p: p.metadata.update(what="score"), "holds an encrypted score"),
    (lambda p: p.metadata.pop("parameters"), "parameters"),
    (lambda p: p.metadata.update(parameters="safe2"), "does not have"),
    (lambda p: p.metadata.update(parameters="insecure-tiny"), "parameters"),
    (lambda p: setattr(p, "parameter_hash", "0" * 64), "parameters"),
    (lambda p: setattr(p, "kind", Kind.EVALUATION_KEYS), "ciphertext"),
]


@pytest.mark.parametrize(("damage", "message"), BUNDLE_DAMAGES)
def test_hostile_bundles(
    damage: Damage, message: str, short: Parameters, short_key: SecretKey, tmp_path: Path
) -> None:
    path = tmp_path / "face.ct"
    save_bundle(path, bundle_of(short, short_key))
    parts = Parts.of(path)
    damage(parts)
    path.unlink()  # a file of another kind is not replaced
    parts.write(path)
    with pytest.raises(ContainerError, match=message) as caught:
        load_bundle(path, "image", tiny.load)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def key_parts(
    short: Parameters, short_key: SecretKey, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Parts]:
    path = tmp_path_factory.mktemp("keys") / "evaluation.key"
    save_evaluation_keys(path, short_key, SPECIFICATIONS, {})
    return lambda: Parts.of(path)


KEY_DAMAGES: list[tuple[Damage, str]] = [
    (with_largest("key/0", 17, 3, 2 * KEY_BITS), "residue"),
    (with_largest("key/0", 1, 0, 2 * KEY_BITS), "residue"),
    (replaced("key/0", lambda a: a[: a.size // 2]), "wrong shape"),
    (replaced("key/1", lambda a: a[:-8]), "wrong shape"),
    (replaced("key/1", lambda a: a.view(np.uint64)), "wrong shape"),
    (replaced("seed", lambda a: a[:16]), "wrong shape"),
    (lambda p: p.arrays.pop("seed"), "missing"),
    (lambda p: p.arrays.pop("key/2"), "missing"),
    (lambda p: p.metadata.update(keys=p.metadata["keys"][::-1]), "wrong shape"),
    (lambda p: p.metadata.update(keys=[*p.metadata["keys"], [1, 0, 32]]), "missing"),
    (lambda p: p.arrays.update({"key/3": np.zeros(9, np.uint64)}), "'key/3', which nothing"),
    (lambda p: p.metadata["keys"].append(p.metadata["keys"][0]), "two keys"),
    (lambda p: p.metadata["keys"].append([3, 0, 32]), "two keys"),
    (lambda p: p.metadata.update(keys=None), "malformed"),
    (lambda p: p.metadata.update(keys={"a": 1}), "malformed"),
    (lambda p: p.metadata.update(keys=[[0, 0]]), "malformed"),
    (lambda p: p.metadata.update(keys=[["0", 0, 32]]), "malformed"),
    (lambda p: p.metadata.update(keys=[[True, 0, 32]]), "malformed"),
    (lambda p: p.metadata.update(keys=[[256, 0, 32]]), "does not fit"),
    (lambda p: p.metadata.update(keys=[[-1, 0, 32]]), "does not fit"),
    (lambda p: p.metadata.update(keys=[[0, 3, 32]]), "does not fit"),
    (lambda p: p.metadata.update(keys=[[0, -1, 32]]), "does not fit"),
    (lambda p: p.metadata.update(keys=[[0, 0, 0]]), "does not fit"),
    (lambda p: p.metadata.update(keys=[[0, 1, 16]]), "does not fit"),
    (lambda p: p.metadata.update(keys=[[0, 0, [5]]]), "malformed"),
    (lambda p: p.metadata.update(keys=[[0, 0, True]]), "malformed"),
    (lambda p: p.metadata.update(keys=[[0, 0, -1]]), "does not fit"),
    (lambda p: p.metadata.update(keys=[[0, 0, -32]]), "does not fit"),
    (lambda p: p.metadata.update(keys=[[0, 0, 64]]), "does not fit"),
    (lambda p: p.metadata.update(keys=[[0, 0, 32 + 8]]), "does not fit"),  # of two tiers
    (lambda p: p.metadata.update(keys=[[0, 0, 2**63]]), "does not fit"),
    (lambda p: p.metadata.update(parameters="other"), "does not have"),
    (lambda p: setattr(p, "parameter_hash", "1" * 64), "parameters"),
    (lambda p: setattr(p, "kind", Kind.CIPHERTEXT), "evaluation-keys"),
]


@pytest.mark.parametrize(("damage", "message"), KEY_DAMAGES)
def test_hostile_evaluation_keys(
    damage: Damage, message: str, key_parts: Callable[[], Parts], tmp_path: Path
) -> None:
    path = tmp_path / "evaluation.key"
    parts = key_parts()
    damage(parts)
    parts.write(path)
    with pytest.raises(ContainerError, match=message) as caught:
        load_evaluation_keys(path, None, tiny.load)
    assert str(path) in str(caught.value)


SECRET_DAMAGES: list[tuple[Damage, type[ContainerError]]] = [
    (lambda p: setattr(p, "key_id", OTHER), container.KeyMismatch),
    (with_residue("secret", (3,), 3), Corrupt),
    (with_residue("secret", (3,), 129), Corrupt),
    (with_residue("secret", (3,), 255), Corrupt),
    (replaced("secret", lambda a: a[1:]), Corrupt),
    (replaced("secret", lambda a: np.stack([a, a])), Corrupt),
    (replaced("secret", lambda a: a.astype(np.uint64)), Corrupt),
    (lambda p: p.arrays.update(other=p.arrays.pop("secret")), Corrupt),
    (lambda p: p.metadata.update(parameters="x"), container.ParameterMismatch),
    (lambda p: setattr(p, "kind", Kind.CIPHERTEXT), container.WrongKind),
]


@pytest.mark.parametrize(("damage", "error"), SECRET_DAMAGES)
def test_hostile_secret_keys(
    damage: Damage, error: type[ContainerError], short_key: SecretKey, tmp_path: Path
) -> None:
    path = tmp_path / "client.key"
    save_secret_key(path, short_key, {})
    parts = Parts.of(path)
    damage(parts)
    path.unlink()
    parts.write(path)
    with pytest.raises(error, match=str(path)):
        load_secret_key(path, tiny.load)


def test_truncated_and_flipped_files(
    short: Parameters, short_key: SecretKey, tmp_path: Path
) -> None:
    path = tmp_path / "face.ct"
    save_bundle(path, bundle_of(short, short_key))
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    for length in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ContainerError, match=str(path)):
            load_bundle(path, None, tiny.load)
    for position in generator.integers(0, len(whole), 40).tolist():
        damaged = bytearray(whole)
        damaged[position] ^= 1 << int(generator.integers(0, 8))
        path.write_bytes(damaged)
        with pytest.raises(ContainerError, match=str(path)):
            load_bundle(path, None, tiny.load)


# --- files that change while they are read --------------------------------------------------------


class Meddler:
    """Puts itself between a reader and its file, and changes the file at some read."""

    def __init__(self, path: Path, change: Callable[[Path], object], monkeypatch: Any) -> None:
        self.path, self.change, self.calls = path, change, 0
        read = os.preadv

        def preadv(descriptor: int, buffers: Any, offset: int) -> int:
            got = read(descriptor, buffers, offset)
            self.calls += 1
            self.change(path)
            return got

        monkeypatch.setattr(os, "preadv", preadv)


def test_keys_are_what_was_checked(
    short: Parameters, short_key: SecretKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A residue of 2^64 that is written after a section was read is not in the keys."""
    path = tmp_path / "evaluation.key"
    save_evaluation_keys(path, short_key, SPECIFICATIONS, {})
    right = load_evaluation_keys(path, None, tiny.load)
    body = path.read_bytes()

    def overwrite(file: Path) -> None:
        with open(file, "r+b") as opened:
            opened.seek(len(body) // 3)
            opened.write(b"\xff" * (len(body) // 3))

    meddler = Meddler(path, overwrite, monkeypatch)
    with pytest.raises(ContainerError):
        load_evaluation_keys(path, None, tiny.load)
    assert meddler.calls > 0
    monkeypatch.undo()
    path.write_bytes(body)
    again = load_evaluation_keys(path, None, tiny.load, threads=3)
    path.write_bytes(bytes(len(body)))  # no map of it is in use
    for name, key in right.keys.items():
        assert np.array_equal(again.keys[name].data, key.data)


def truncate(length: int, file: Path) -> None:
    os.truncate(file, length)


def test_a_file_that_shrinks_is_an_error(
    short: Parameters, short_key: SecretKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through a map it ended the process with SIGBUS."""
    keys, face = tmp_path / "evaluation.key", tmp_path / "face.ct"
    save_evaluation_keys(keys, short_key, SPECIFICATIONS, {})
    save_bundle(face, bundle_of(short, short_key))
    for path, load in ((keys, load_evaluation_keys), (face, load_bundle)):
        content = path.read_bytes()
        for kept in (len(content) // 2, len(content) - 1):
            path.write_bytes(content)
            Meddler(path, partial(truncate, kept), monkeypatch)
            with pytest.raises(ContainerError):
                load(path, None, tiny.load)
            monkeypatch.undo()


def test_a_shape_is_compared_before_a_digest_is_computed(
    key_parts: Callable[[], Parts], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "evaluation.key"
    parts = key_parts()
    parts.arrays["seed"] = np.zeros(1 << 20, dtype=np.uint8)
    parts.write(path)
    read: list[int] = []
    preadv = os.preadv

    def counting(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        read.append(sum(map(len, buffers)))
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", counting)
    with pytest.raises(Corrupt, match="wrong shape"):
        load_evaluation_keys(path, None, tiny.load)
    assert max(read) < 1 << 16
