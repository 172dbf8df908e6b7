"""Files of sealed blocks, probes and scores, and the key files of a gallery."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fhe_core import container
from fhe_core.container import (
    ContainerError,
    Corrupt,
    KeyMismatch,
    Kind,
    ParameterMismatch,
    Section,
    TooLarge,
    WrongKind,
)
from fhe_core.container.reader import Reader
from fhe_core.formats import matching as formats
from fhe_core.formats.ciphertexts import load_evaluation_keys
from fhe_core.matching import AnswerMismatch, Asked, MatchPlan, Probe, Scores, SealedBlock
from fhe_core.secret.files import load_secret_key, save_evaluation_keys, save_secret_key
from fhe_core.secret.gallery_files import load_gallery_key, save_gallery_key, save_gallery_keys
from fhe_core.secret.protection import Scheme
from fhe_face.circuit import circuit_of
from tests.core import tiny
from tests.core.matching_kit import Sides, make_sides

NAMES = ("0a" * 32, "0b" * 32)
Sent = SealedBlock | Probe | Scores


@pytest.fixture(scope="module")
def sides() -> Sides:
    return make_sides(tiny.gallery())


@pytest.fixture(scope="module")
def block(sides: Sides) -> SealedBlock:
    p = sides.parameters
    return sides.sealer.seal_block(tiny.unit_vectors(p.templates, p.features))


@pytest.fixture(scope="module")
def probe(sides: Sides) -> Probe:
    return sides.sealer.seal_probe(tiny.unit_vectors(1, sides.parameters.features, 2)[0])


@pytest.fixture(scope="module")
def scores(sides: Sides, block: SealedBlock, probe: Probe) -> Scores:
    return sides.answer(probe, [block, block], list(NAMES))


@pytest.fixture(scope="module")
def asked(sides: Sides, probe: Probe) -> Asked:
    return sides.sealer.asked(probe, NAMES, sides.masks(2))


def test_blocks_and_probes_come_back(
    sides: Sides, block: SealedBlock, probe: Probe, tmp_path: Path
) -> None:
    p, key_id = sides.parameters, sides.sealer.key.key_id
    file = tmp_path / "block"
    formats.save(file, block)
    assert file.read_bytes() == formats.to_bytes(block)
    for found in (
        formats.load_block(file, p, key_id),
        formats.block_from_bytes(file.read_bytes(), p, key_id),
    ):
        assert (found.seed, found.key_id) == (block.seed, key_id)
        assert np.array_equal(found.bodies, block.bodies)
    formats.save(tmp_path / "probe", probe)
    for other in (
        formats.load_probe(tmp_path / "probe", p, key_id),
        formats.probe_from_bytes(formats.to_bytes(probe), p, key_id),
    ):
        assert (other.seed, other.token) == (probe.seed, probe.token)
        assert np.array_equal(other.bodies, probe.bodies)


def test_scores_come_back(scores: Scores, asked: Asked, tmp_path: Path) -> None:
    formats.save(tmp_path / "scores", scores)
    for found in (
        formats.load_scores(tmp_path / "scores", asked),
        formats.scores_from_bytes(formats.to_bytes(scores), asked),
    ):
        asked.require_scores(found)
        assert np.array_equal(found.words, scores.words)


def test_scores_of_no_blocks_come_back(
    sides: Sides, probe: Probe, scores: Scores, tmp_path: Path
) -> None:
    asked = sides.sealer.asked(probe, [], [])
    none = replace(scores, blocks=(), masks=asked.masks, words=scores.words[:0])
    formats.save(tmp_path / "scores", none)
    assert formats.load_scores(tmp_path / "scores", asked).words.shape[0] == 0
    assert formats.scores_from_bytes(formats.to_bytes(none), asked).words.size == 0


def test_a_file_is_little_larger_than_what_it_holds(
    sides: Sides, block: SealedBlock, probe: Probe, scores: Scores
) -> None:
    plan = MatchPlan(sides.parameters)
    held: dict[bytes, int] = {
        formats.to_bytes(block): plan.block_bytes,
        formats.to_bytes(probe): plan.probe_bytes,
        formats.to_bytes(scores): 2 * plan.result_bytes,
    }
    for data, size in held.items():
        assert size < len(data) < size + 1500


def test_one_kind_is_not_another(
    sides: Sides, block: SealedBlock, probe: Probe, scores: Scores, asked: Asked
) -> None:
    p, key_id = sides.parameters, sides.sealer.key.key_id
    read: dict[Kind, Callable[[bytes], object]] = {
        Kind.SEALED_BLOCK: lambda data: formats.block_from_bytes(data, p, key_id),
        Kind.PROBE: lambda data: formats.probe_from_bytes(data, p, key_id),
        Kind.SCORES: lambda data: formats.scores_from_bytes(data, asked),
    }
    sent: dict[Kind, Sent] = {Kind.SEALED_BLOCK: block, Kind.PROBE: probe, Kind.SCORES: scores}
    for kind, value in sent.items():
        for other, reader in read.items():
            if other is kind:
                reader(formats.to_bytes(value))
            else:
                # What is larger than the reader's kind can be is refused even before that.
                with pytest.raises((WrongKind, TooLarge)):
                    reader(formats.to_bytes(value))


def test_other_parameters_and_keys_are_refused(sides: Sides, block: SealedBlock) -> None:
    p, key_id, data = sides.parameters, sides.sealer.key.key_id, formats.to_bytes(block)
    with pytest.raises(ParameterMismatch):
        formats.block_from_bytes(data, tiny.gallery(roots=4), key_id)
    with pytest.raises(KeyMismatch, match=r"a\.block: belongs to key"):
        formats.block_from_bytes(data, p, "00" * 16, "a.block")


# --- headers that do not fit ----------------------------------------------------------------------


def rewritten(
    data: bytes,
    sections: dict[str, Any] | None = None,
    drop: str | None = None,
    **metadata: Any,
) -> bytes:
    """The file with other metadata (None: left out) or sections, and right digests."""
    with container.loads(data) as reader:
        header = reader.header
        arrays = {name: reader.array(name) for name in reader.names if name != drop}
    facts = {k: v for k, v in ({**header.metadata} | metadata).items() if v is not None}
    arrays |= sections or {}
    return container.dumps(
        header.kind,
        header.parameter_hash,
        header.key_id,
        facts,
        [Section.from_array(name, np.asarray(array)) for name, array in arrays.items()],
    )


@pytest.mark.parametrize(
    "change",
    [
        {"more": 1},
        {"parameters": None},
        {"parameters": "lean"},
        {"parameters": 1},
        {"sections": {"more": np.zeros(1, np.uint8)}},
        {"sections": {"seed": np.zeros(31, np.uint8)}},
        {"sections": {"seed": np.zeros(4, np.uint64)}},
        {"sections": {"bodies": np.zeros((15, 384), np.uint8)}},
        {"sections": {"bodies": np.zeros((384, 16), np.uint8)}},
        {"sections": {"bodies": np.zeros(16 * 384, np.uint8)}},
        {"drop": "seed"},
        {"drop": "bodies"},
    ],
)
def test_a_block_with_another_header_is_refused(
    sides: Sides, block: SealedBlock, change: dict[str, Any]
) -> None:
    data = rewritten(formats.to_bytes(block), **change)
    with pytest.raises((Corrupt, TooLarge)) as caught:
        formats.block_from_bytes(data, sides.parameters, sides.sealer.key.key_id)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("token", [None, 1, "", "0a" * 31, "0A" * 32, "zz" * 32, "0a" * 33])
def test_a_malformed_token_is_refused(sides: Sides, probe: Probe, token: Any) -> None:
    data = rewritten(formats.to_bytes(probe), token=token)
    with pytest.raises(Corrupt):
        formats.probe_from_bytes(data, sides.parameters, sides.sealer.key.key_id)


def test_what_is_large_is_refused_before_it_is_read(
    sides: Sides, block: SealedBlock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_arguments: Any, **_more: Any) -> None:
        raise AssertionError("a section was read")

    p, key_id = sides.parameters, sides.sealer.key.key_id
    data = rewritten(formats.to_bytes(block), {"bodies": np.zeros((4096, 384), np.uint8)})
    monkeypatch.setattr(Reader, "array", read)
    monkeypatch.setattr(Reader, "verify", read)
    with pytest.raises(TooLarge):
        formats.block_from_bytes(data, p, key_id)
    for count in (17, 15):
        bodies = Section.from_array("bodies", np.zeros((count, 384), np.uint8))
        seed = Section.from_array("seed", np.zeros(32, np.uint8))
        facts = {"parameters": p.parameters.name}
        small = container.dumps(Kind.SEALED_BLOCK, p.digest, key_id, facts, [seed, bodies])
        with pytest.raises(Corrupt, match="nothing else"):
            formats.block_from_bytes(small, p, key_id)


# --- people and key files -------------------------------------------------------------------------


def test_what_a_file_says_of_itself(
    block: SealedBlock, probe: Probe, scores: Scores, tmp_path: Path
) -> None:
    sent: dict[str, Sent] = {"block": block, "probe": probe, "scores": scores}
    found = {}
    for name, value in sent.items():
        formats.save(tmp_path / name, value)
        header = container.read_header(tmp_path / name)
        found[name] = (header.kind.label, formats.describe(header))
    named = {"parameters": "insecure-gallery"}
    assert found["block"] == ("sealed-block", named)
    assert found["probe"] == ("probe", {**named, "token": probe.token.hex()})
    assert found["scores"] == ("scores", {**named, "token": probe.token.hex(), "blocks": 2})


@pytest.mark.parametrize("change", [{"blocks": None}, {"blocks": [1]}, {"token": None}])
def test_what_cannot_be_said_of_a_file_is_an_error(scores: Scores, change: dict[str, Any]) -> None:
    data = rewritten(formats.to_bytes(scores), **change)
    with container.loads(data) as reader, pytest.raises(Corrupt):
        formats.describe(reader.header)


def test_the_keys_of_a_gallery_come_back(sides: Sides, tmp_path: Path) -> None:
    p, key = sides.parameters, sides.sealer.key
    secret, public = tmp_path / "gallery.key", tmp_path / "gallery.evaluation.key"
    for word in (None, b"word"):
        save_gallery_key(
            secret, key, {"about": "x"}, passphrase=word, scheme=Scheme(14), overwrite=True
        )
        assert load_gallery_key(secret, p, passphrase=word).key_id == key.key_id
    assert secret.stat().st_mode & 0o777 == 0o600
    save_gallery_keys(public, key, p, {"about": "x"})
    keys = formats.load_gallery_keys(public, p, key.key_id)
    assert keys.memory_bytes == MatchPlan(p).key_memory_bytes
    assert container.read_header(public).metadata["about"] == "x"
    with pytest.raises(KeyMismatch):
        formats.load_gallery_keys(public, p, "00" * 16)
    with pytest.raises(KeyMismatch, match="lacks the key"):
        formats.load_gallery_keys(public, tiny.gallery(6, 64, 2))


def test_keys_of_engines_and_galleries_are_told_apart(sides: Sides, tmp_path: Path) -> None:
    p, key = sides.parameters, sides.sealer.key
    engine = tmp_path / "client.key", tmp_path / "evaluation.key"
    gallery = tmp_path / "gallery.key", tmp_path / "gallery.evaluation.key"
    save_secret_key(engine[0], key, {})
    save_evaluation_keys(engine[1], key, MatchPlan(p).keys(), {})
    save_gallery_key(gallery[0], key, {})
    save_gallery_keys(gallery[1], key, p, {})
    with pytest.raises(WrongKind, match=r"client\.key: is the secret-key of an engine"):
        load_gallery_key(engine[0], p)
    with pytest.raises(WrongKind, match="is the evaluation-keys of an engine"):
        formats.load_gallery_keys(engine[1], p)
    with pytest.raises(WrongKind, match=r"gallery\.key: is the secret-key of a gallery"):
        load_secret_key(gallery[0])
    with pytest.raises(WrongKind, match="is the evaluation-keys of a gallery"):
        load_evaluation_keys(gallery[1])
    for file in gallery:
        with pytest.raises(WrongKind, match="of a gallery, expected that of an engine"):
            circuit_of(container.read_header(file))


def test_an_answer_of_another_request_is_refused_from_its_header(
    scores: Scores, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_arguments: Any, **_more: Any) -> None:
        raise AssertionError("a section was read")

    data = formats.to_bytes(scores)
    monkeypatch.setattr(Reader, "array", read)
    monkeypatch.setattr(Reader, "verify", read)
    other = (
        replace(asked, token=b"x" * 32),
        replace(asked, blocks=NAMES[::-1]),
        replace(asked, blocks=(NAMES[0], NAMES[0])),
        replace(asked, blocks=(*NAMES, "0c" * 32)),
        replace(asked, masks="00" * 32),
    )
    for expected in other:
        with pytest.raises(AnswerMismatch, match=r"a\.scores: "):
            formats.scores_from_bytes(data, expected, "a.scores")
    with pytest.raises(ContainerError):  # too large for one block
        formats.scores_from_bytes(data, replace(asked, blocks=NAMES[:1]))
