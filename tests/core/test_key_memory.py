"""Keys in memory: laid out for the kernels, and read from a file straight into that order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fhe_core import container
from fhe_core.container import Corrupt
from fhe_core.formats.ciphertexts import load_evaluation_keys
from fhe_core.keys.evaluation import EvaluationKeys, expand_key
from fhe_core.keys.expand import uniform_row
from fhe_core.parameters import Parameters
from fhe_core.plan import KeyName, KeySpecification
from fhe_core.secret.files import save_evaluation_keys
from fhe_core.secret.key import SecretKey
from tests.core import tiny

SPECIFICATION = KeySpecification(KeyName(1, 0), (4,))


def test_residues_of_a_key_in_memory(short: Parameters, short_key: SecretKey) -> None:
    seed = bytes(32)
    bodies = list(short_key.evaluation_key(SPECIFICATION, seed, 3))
    key = expand_key(short, SPECIFICATION, bodies, seed, 3)
    residues = EvaluationKeys(short, "", {SPECIFICATION.name: key}).residues(1, 4)
    digits, rows, n = SPECIFICATION.shape(short)
    assert residues.shape == (digits, 2, rows, n)
    assert np.array_equal(residues[:, 0], np.stack(bodies))
    moduli, specials = [*short.moduli, *short.specials], short.special_rows(short.tiers[0])
    uniform = np.empty(n, dtype=np.uint64)
    for digit in range(digits):
        for row, index in enumerate([*range(5), *specials]):
            uniform_row(seed, 3, digit, index, moduli[index], uniform)
            assert np.array_equal(residues[digit, 1, row], uniform)


def test_a_body_that_is_not_reduced_is_refused(short: Parameters, short_key: SecretKey) -> None:
    bodies = list(short_key.evaluation_key(SPECIFICATION, bytes(32), 3))
    bodies[1][4, 7] = short.moduli[4]
    with pytest.raises(ValueError, match="not below its modulus"):
        expand_key(short, SPECIFICATION, bodies, bytes(32), 3)


def test_damage_is_called_damage(short: Parameters, short_key: SecretKey, tmp_path: Path) -> None:
    """A residue beyond its modulus, in a file whose digest does not fit."""
    path = tmp_path / "evaluation.key"
    save_evaluation_keys(path, short_key, [SPECIFICATION], {})
    header = container.read_header(path)
    start = header.payload_offset + header.section("key/0").offset
    with open(path, "r+b") as opened:
        opened.seek(start + 50 * 3)
        opened.write(bytes([255]) * 50)
    with pytest.raises(Corrupt, match="checksum"):
        load_evaluation_keys(path, None, tiny.load)
