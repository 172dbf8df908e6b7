"""Files of every released format version are read for ever; this version's bytes do not change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fhe_core import container
from fhe_core.ciphertext import Ciphertext
from fhe_core.formats import matching as formats
from fhe_core.formats import switching
from fhe_core.formats.ciphertexts import load_bundle, load_evaluation_keys
from fhe_core.matching import Asked, Matcher, masks_digest
from fhe_core.matching.crossed import token_of
from fhe_core.matching.switching import Switcher
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.secret.files import load_secret_key
from fhe_core.secret.gallery_files import load_gallery_key
from fhe_core.secret.key import SecretKey
from fhe_core.secret.switching import open_embedding, open_products
from tests.known_answers import frozen

VERSIONS = range(1, container.FORMAT_VERSION + 1)
Unpack = Callable[[str], Path]
#: Noise of encryption and of a key switch, in slots.
TOLERANCE = 1e-5


def stored(version: int, name: str) -> bytes:
    folder = Path(__file__).with_name(f"format-{version}")
    return bytes.fromhex((folder / f"{name}.hex").read_text(encoding="ascii"))


@pytest.fixture(params=VERSIONS)
def unpack(request: pytest.FixtureRequest, tmp_path: Path) -> Unpack:
    """Puts a frozen file of one version into a folder, by name."""

    def write(name: str) -> Path:
        path = tmp_path / name
        path.write_bytes(stored(request.param, name))
        return path

    return write


def error(key: SecretKey, ciphertext: Ciphertext, rotation: int = 0) -> float:
    return float(np.max(np.abs(key.decrypt(ciphertext) - np.roll(frozen.slots(), -rotation))))


@pytest.mark.parametrize("name", frozen.WRITERS)
def test_this_version_still_writes_the_same_bytes(name: str) -> None:
    """A change of the bytes needs a new FORMAT_VERSION and a new folder of frozen files, made with
    ``python -m tests.known_answers.frozen tests/known_answers/format-N``.
    """
    data = frozen.written(name)
    assert data == stored(container.FORMAT_VERSION, name)
    assert frozen.written(name) == data


@pytest.mark.parametrize("version", VERSIONS)
def test_frozen_files_have_their_version_and_are_small(version: int) -> None:
    total = 0
    for name in frozen.WRITERS:
        data = stored(version, name)
        assert int.from_bytes(data[8:10], "little") == version
        total += len(data)
    assert total < 20_000


@pytest.mark.parametrize("name", ["secret-key", "protected-key", "image", "evaluation-keys"])
def test_engines_of_the_standard_ring_are_refused(name: str, tmp_path: Path) -> None:
    """Files from before the real ring: one message, before anything is read or asked for."""
    folder = Path(__file__).with_name("standard-ring")
    path = tmp_path / name
    path.write_bytes(bytes.fromhex((folder / f"{name}.hex").read_text(encoding="ascii")))

    def ask() -> bytes:
        raise AssertionError("no passphrase is needed to refuse it")

    read: dict[str, Callable[[], object]] = {
        "image": lambda: load_bundle(path, "image", frozen.load),
        "evaluation-keys": lambda: load_evaluation_keys(path, frozen.KEYS, frozen.load),
    }
    call = read.get(name, lambda: load_secret_key(path, frozen.load, passphrase=ask))
    with pytest.raises(container.ParameterMismatch, match="make new keys") as caught:
        call()
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_secret_keys_are_read(unpack: Unpack) -> None:
    key = load_secret_key(unpack("secret-key"), frozen.load)
    assert np.array_equal(key.secret_coefficients(), frozen.secret().secret_coefficients())


def test_protected_keys_are_read(unpack: Unpack) -> None:
    key = load_secret_key(unpack("protected-key"), frozen.load, passphrase=frozen.PASSPHRASE)
    assert np.array_equal(key.secret_coefficients(), frozen.secret().secret_coefficients())


def test_ciphertexts_are_read(unpack: Unpack) -> None:
    key = load_secret_key(unpack("secret-key"), frozen.load)
    image = load_bundle(unpack("image"), "image", frozen.load)
    assert image.items["a"].limbs == 2
    assert error(key, image.items["a"]) < TOLERANCE
    embedding = load_bundle(unpack("embedding"), "embedding", frozen.load)
    assert embedding.items["e"].limbs == 1
    assert error(key, embedding.items["e"]) < TOLERANCE
    assert image.facts == embedding.facts == frozen.FACTS


def test_evaluation_keys_are_read_and_work(unpack: Unpack) -> None:
    key = load_secret_key(unpack("secret-key"), frozen.load)
    keys = load_evaluation_keys(unpack("evaluation-keys"), frozen.KEYS, frozen.load)
    assert keys.key_id == key.key_id
    image = load_bundle(unpack("image"), "image", frozen.load).items["a"]
    (turned,) = Evaluator(key.parameters, keys, 1).rotate_many(image, [frozen.ROTATION])
    assert error(key, turned, frozen.ROTATION) < TOLERANCE
    assert error(key, turned) > 1e-3


def test_the_keys_of_a_gallery_are_read(unpack: Unpack) -> None:
    key = load_gallery_key(unpack("gallery-key"), frozen.gallery())
    assert np.array_equal(key.secret_coefficients(), frozen.gallery_secret().secret_coefficients())


def test_a_gallery_is_read_and_searched(unpack: Unpack) -> None:
    parameters, sealer = frozen.gallery(), frozen.sealer()
    key_id = sealer.key.key_id
    keys = formats.load_gallery_keys(unpack("gallery-evaluation-keys"), parameters, key_id)
    matcher = Matcher(parameters, keys, 1)
    block = formats.load_block(unpack("sealed-block"), parameters, key_id)
    probe = formats.load_probe(unpack("probe"), parameters, key_id)
    assert np.max(np.abs(sealer.open_block(block)[:3] - frozen.TEMPLATES)) < 22 / 2**17
    loaded = matcher.load(block)
    answer = matcher.answer(matcher.expand(probe), [(frozen.BLOCK, loaded, frozen.LIVE)])
    stored_answer = formats.load_scores(
        unpack("scores"), sealer.asked(probe, [frozen.BLOCK], [frozen.LIVE])
    )
    for scores in (answer, stored_answer):
        (found,) = sealer.open_scores(scores, probe, [frozen.BLOCK], [frozen.LIVE])
        assert found[:2] == pytest.approx(frozen.VECTOR, abs=TOLERANCE * 10)
        assert np.all(np.isnan(found[2:]))


def test_files_of_a_server_alone_are_read(unpack: Unpack) -> None:
    own, face = frozen.crossing(), frozen.face()
    p, key_id = own.plan.gallery, own.gallery.key_id
    key, facts = switching.load_switch_key(unpack("gallery-switch"), p, key_id, frozen.load)
    assert (key.engine_key, facts) == (own.engine.key_id, frozen.SWITCH_FACTS)
    again = Switcher(key, own.keys, 1).embedding(own.result(np.array([0.6, -0.8])))
    assert np.abs(open_embedding(own.gallery, own.plan, again) - [0.6, -0.8]).max() < 1e-3
    read = switching.face_from_bytes(unpack("switched-face").read_bytes(), p, key_id)
    assert (read.request, read.subject) == (face.request, face.subject)
    assert np.array_equal(read.embedding, face.embedding)
    masks = masks_digest([frozen.LIVE])
    asked = Asked(p, key_id, token_of(frozen.REQUEST), (frozen.BLOCK,), masks)
    found = switching.findings_from_bytes(unpack("findings").read_bytes(), asked)
    assert found.waiting == ("0b" * 32,)
    products = open_products(own.gallery, own.plan, found.products)
    assert abs(products[0] - products[1]) < 1e-2
