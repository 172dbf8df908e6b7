"""What galleries have on disk can be read for ever: bytes that an earlier version has written.

A change of any of these is a new version of the format (docs/format.md), never an accident.
"""

from __future__ import annotations

import numpy as np

from fhe_core.secret.key import SecretKey
from fhe_face.gallery.facts import Facts, Mode
from fhe_face.gallery.ids import Ids
from fhe_face.gallery.settings import Settings
from fhe_face.gallery.vault import Vault
from fhe_face.models.faces import Preparation
from fhe_face.models.templates import unit
from tests.gallery.kit import SMALL

KEY = SecretKey(SMALL.parameters, (np.arange(16) % 3 - 1).astype(np.int8))
FACTS = Facts("0" * 32, "1" * 64, "2" * 32, "3" * 64, Preparation.as_given(64), Mode.MEAN, True)
VECTOR = unit(np.arange(1.0, 9.0))

RECORD = "000102030405060708090a0ba11b89974d74b4b62e7ab758a88e46ed6f818d6289f0160fda0261c3c97bed98"
NAME = (
    "000102030405060708090a0b9403e4c689e9a9286060aa7e061ccc9ed1e0f7f473f0246cc16e14003adbf38026cc2d"
    "60c78259c9d1a66ffe322c39bc5955906ff690aa28f373f24a443713be6fc4270437b93e4b1fcc48a68de899ab"
)
REASON = (
    "000102030405060708090a0b47ed9963f3e799311536df24f2dbfe6d6593e04ac07935b8ee106205a2a140b210b340"
    "3ee71526929bafaa93e857083243504430c9f762f9e065e8d03e07ba6dc8fdd8c0445e80b5303db14e950190a4"
)
SETTINGS = "000102030405060708090a0bc23edb8eeea1af156ca3633348ff45f4ae6c"
IDS = [
    "2766e1264cac9bead27e4225b44e1933",
    "ddd53b2faf19ed078f23f278f6fa9624",
    "9c125214b358485518713c61e9321dd9",
    "b16aad99d21009f9b7634fe5cf0c57cf",
]
PREPARATION = "8c3bc23b6c0382f16807c0c3cfc7911514046a6645b3178b452173c0411d95f6"
STORED = (
    b'{"calibration": {"eer_after": 0.0}, "centre": [0.5, -0.25], "decision": {"different_below": '
    b'0.3, "origin": "weights", "same_from": 0.4, "temperature": 0.05}, "secret": "'
    + b"00" * 32
    + b'", "version": 1, "weights": "official"}'
)


def test_sealed_texts() -> None:
    vault = Vault(KEY, FACTS, 8)
    opened = vault.open_record("template-1", bytes.fromhex(RECORD))
    assert np.abs(opened - VECTOR).max() <= 0.5 / 32767
    assert vault.open_name("s", bytes.fromhex(NAME)) == "Anna"
    assert vault.open_reason("p", bytes.fromhex(REASON)) == "no face found"
    assert vault.open_settings(bytes.fromhex(SETTINGS)) == b"{}"


def test_ids() -> None:
    ids = Ids(bytes(32))
    found = [ids.subject("Anna"), ids.source(bytes(32)), ids.template("s", 1)]
    assert [*found, ids.stranger("s", 1)] == IDS


def test_settings_and_facts() -> None:
    settings = Settings.from_bytes(STORED)
    assert settings.to_bytes() == STORED
    assert settings.decision is not None
    assert settings.decision.same_from == 0.4
    assert FACTS.preparation_digest == PREPARATION
    assert (
        Facts.from_json(
            {
                "gallery": "0" * 32,
                "parameters": "1" * 64,
                "key_id": "2" * 32,
                "model": "3" * 64,
                "preparation": Preparation.as_given(64).describe(),
                "mode": "mean",
                "names": True,
                "version": 1,
            }
        )
        == FACTS
    )
