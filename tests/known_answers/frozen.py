"""One small file of every kind, from fixed randomness: always the same bytes.

    python -m tests.known_answers.frozen FOLDER

writes them as hexadecimal text, for a new version of the format; files of released versions are
never written again.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from fhe_core import encoding
from fhe_core.formats import matching as formats
from fhe_core.formats import switching
from fhe_core.formats.ciphertexts import Bundle, save_bundle
from fhe_core.matching import Matcher, MatchParameters, Probe
from fhe_core.matching.crossed import Findings, SwitchedFace, token_of
from fhe_core.parameters import Parameters, Ring, Specification, Tier, build
from fhe_core.plan import KeyName, KeySpecification
from fhe_core.secret.files import save_evaluation_keys, save_secret_key
from fhe_core.secret.gallery_files import save_gallery_key, save_gallery_keys
from fhe_core.secret.key import SecretKey
from fhe_core.secret.matching import Sealer
from fhe_core.secret.switching import switch_bodies
from tests.core import tiny
from tests.core.switch_kit import SCALE as RESULT_SCALE
from tests.core.switch_kit import Crossing, crossing_of

SPECIFICATION = Specification(
    name="insecure-frozen",
    log_ring_dimension=4,
    limb_bits=(40, 30),
    special_bits=(40,),
    tiers=(Tier(2, 1, 1),),
)
SCALE = 2.0**30
ROTATION = 1
PASSPHRASE = b"frozen"
KEYS = (KeySpecification(KeyName(0, 0), (1,)), KeySpecification(KeyName(ROTATION, 0), (1,)))
FACTS = {"about": "frozen"}
#: Small enough that an encoding in floating point rounds to these numbers on any machine.
COEFFICIENTS = (np.arange(16) * 7919 % 101 - 50) * 2**20

#: Of a gallery: one limb that fits six bytes, as in the real one.
GALLERY = Specification(
    name="insecure-frozen-gallery",
    log_ring_dimension=4,
    limb_bits=(48,),
    special_bits=(50,),
    tiers=(Tier(1, 1, 1),),
    ring=Ring.STANDARD,
)
VECTOR = np.array([0.6, -0.8])
TEMPLATES = np.array([[1.0, 0.0], [0.0, 1.0], [-0.6, 0.8]])
BLOCK = "0a" * 32
REQUEST = "0c" * 48
SWITCH_FACTS = switching.KeyFacts(("normalise", "health"), {"degree": 2}, "0d" * 16)
LIVE = np.arange(16) < 2


def load(name: str) -> Parameters:
    """A ParameterLoader for these files."""
    if name != SPECIFICATION.name:
        raise KeyError(name)
    return build(SPECIFICATION)


def slots() -> NDArray[Any]:
    return encoding.decode(COEFFICIENTS.astype(np.float64), SCALE)


@contextmanager
def fixed_randomness(label: str) -> Iterator[None]:
    """The operating system's randomness, replaced by SHAKE-256 of a label and a counter."""
    count = 0

    def urandom(size: int) -> bytes:
        nonlocal count
        count += 1
        return hashlib.shake_256(f"{label} {count}".encode()).digest(size)

    with mock.patch.object(os, "urandom", urandom):
        yield


def secret() -> SecretKey:
    with fixed_randomness("secret"):
        return SecretKey.generate(build(SPECIFICATION))


def _image(path: Path) -> None:
    key = secret()
    fresh, seed = key.encrypt(slots(), SCALE)
    bundle = Bundle("image", key.parameters, key.key_id, {"a": fresh}, FACTS, {"a": seed})
    save_bundle(path, bundle)


def _embedding(path: Path) -> None:
    """Without a seed, and with fewer limbs."""
    key = secret()
    low = key.encrypt(slots(), SCALE)[0].drop_to(0, key.parameters)
    save_bundle(path, Bundle("embedding", key.parameters, key.key_id, {"e": low}, FACTS, {}))


def gallery() -> MatchParameters:
    """Blocks of 16 templates of two numbers."""
    return MatchParameters(build(GALLERY), 2, 1, 2.0**17, 9.0e8, 24)


def gallery_secret() -> SecretKey:
    with fixed_randomness("gallery secret"):
        return SecretKey.generate(build(GALLERY))


def sealer() -> Sealer:
    return Sealer(gallery_secret(), gallery())


def probe() -> Probe:
    with fixed_randomness("probe"):
        return sealer().seal_probe(VECTOR)


def _block(path: Path) -> None:
    formats.save(path, sealer().seal_block(TEMPLATES))


def _scores(path: Path) -> None:
    """As a server answers it, of one block with one dead position."""
    keys = tiny.gallery_keys(gallery_secret(), gallery())
    matcher = Matcher(gallery(), keys, 1)
    block = matcher.load(sealer().seal_block(TEMPLATES))
    formats.save(path, matcher.answer(matcher.expand(probe()), [(BLOCK, block, LIVE)]))


def crossing() -> Crossing:
    """From the engine's key to the gallery's; two parts, and one key of the expansion."""
    ring = replace(gallery(), probe_scale=2.0**22)
    with fixed_randomness("crossing"):
        return crossing_of(secret(), gallery_secret(), ring)


def face() -> SwitchedFace:
    """Its squared norm is its embedding: what they hold is nobody's."""
    own = crossing()
    with fixed_randomness("face"):
        words = own.switcher.embedding(secret().encrypt(slots(), RESULT_SCALE)[0])
    key_id = own.gallery.key_id
    return SwitchedFace(own.plan.gallery, key_id, REQUEST, "badge-7", words, words)


def findings() -> Findings:
    """Of one block with dead positions, and of one face that waits."""
    own, sent = crossing(), face()
    matcher = Matcher(own.plan.gallery, own.keys, 1)
    block = matcher.load(Sealer(own.gallery, own.plan.gallery, True).seal_block(TEMPLATES))
    constants = own.switcher.constants(sent.embedding, token_of(sent.request))
    scores = matcher.answer(constants, [(BLOCK, block, LIVE)])
    products = own.switcher.products(sent.embedding, [sent.embedding] * 2)
    return Findings(scores, sent.norm, products, ("0b" * 32,))


def _switch(path: Path) -> None:
    own = crossing()
    plan, seed = own.plan, os.urandom(32)
    bodies = list(switch_bodies(own.engine, own.gallery, plan, seed))
    description = switching.described(plan, own.engine.key_id, SWITCH_FACTS)
    key_id = own.gallery.key_id
    switching.save_switch_key(path, plan.gallery, key_id, description, seed, bodies)


WRITERS: dict[str, Callable[[Path], object]] = {
    "secret-key": lambda path: save_secret_key(path, secret(), FACTS),
    "protected-key": lambda path: save_secret_key(path, secret(), FACTS, passphrase=PASSPHRASE),
    "evaluation-keys": lambda path: save_evaluation_keys(path, secret(), KEYS, FACTS),
    "image": _image,
    "embedding": _embedding,
    "gallery-key": lambda path: save_gallery_key(path, gallery_secret(), FACTS),
    "gallery-evaluation-keys": lambda path: save_gallery_keys(
        path, gallery_secret(), gallery(), FACTS
    ),
    "sealed-block": _block,
    "probe": lambda path: formats.save(path, probe()),
    "scores": _scores,
    "gallery-switch": _switch,
    "switched-face": lambda path: path.write_bytes(switching.face_to_bytes(face())),
    "findings": lambda path: path.write_bytes(switching.findings_to_bytes(findings())),
}


def written(name: str) -> bytes:
    """The bytes of one file, as this version writes it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        with fixed_randomness(name):
            WRITERS[name](path)
        return path.read_bytes()


def as_text(data: bytes) -> str:
    """Hexadecimal, 64 bytes a line."""
    return "".join(data[i : i + 64].hex() + "\n" for i in range(0, len(data), 64))


def main(folder: Path) -> None:
    folder.mkdir()
    for name in WRITERS:
        Path(folder, f"{name}.hex").write_text(as_text(written(name)), encoding="ascii")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
