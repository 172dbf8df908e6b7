"""The small parts: ids, sealed texts, settings, decisions, ranks, and which photos are meant."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhe_core.secret.key import SecretKey
from fhe_face.gallery.decisions import Answer, Decision
from fhe_face.gallery.embedders import LocalEmbedder
from fhe_face.gallery.errors import GalleryError, RecordError
from fhe_face.gallery.faces import content_digest
from fhe_face.gallery.facts import Facts, Mode
from fhe_face.gallery.ids import Ids, checked
from fhe_face.gallery.index import Found
from fhe_face.gallery.photos import Person, find_items
from fhe_face.gallery.ranking import by_subject, ranked
from fhe_face.gallery.settings import Settings
from fhe_face.gallery.vault import Vault
from fhe_face.models.faces import Preparation
from fhe_face.models.templates import TemplateError, mean_template, unit
from fhe_face.network import bundled_weights
from tests.gallery.kit import MODEL, SMALL, face, photo, save

FACTS = Facts("0" * 32, "1" * 64, "2" * 32, MODEL, Preparation.as_given(64))


@pytest.fixture(scope="module")
def key() -> SecretKey:
    return SecretKey.generate(SMALL.parameters)


# --- ids and sealed texts -------------------------------------------------------------------------


def test_ids_are_opaque_and_steady() -> None:
    ids, other = Ids(b"a" * 32), Ids(b"b" * 32)
    assert ids.subject("Anna") == ids.subject("Anna") != other.subject("Anna")
    assert (
        len({ids.subject("x"), ids.source(b"x"), ids.template("x", 1), ids.stranger("x", 1)}) == 4
    )
    assert ids.template("s", 1) != ids.template("s", 2)
    assert len(ids.subject("")) == 32
    assert ids.subject("\udcff"), "a name of a folder need not be text"
    assert "aaaa" not in repr(ids)


@pytest.mark.parametrize("wrong", ["", "a" * 65, "a b", "ä", "a/b", "a\n"])
def test_own_ids_are_checked(wrong: str) -> None:
    assert checked("A-z_0.9", "subject") == "A-z_0.9"
    with pytest.raises(GalleryError, match="1 to 64 of the characters"):
        checked(wrong, "subject")


@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1))
def test_names_come_back(name: str) -> None:
    vault = Vault(SecretKey(SMALL.parameters, np.ones(16, np.int8)), FACTS, 32)
    if len(name.encode()) > 1024:
        return
    sealed = vault.seal_name("s", name)
    assert vault.open_name("s", sealed) == name
    assert (len(sealed) - 28) % 64 == 0, "its length tells little"


def test_sealed_texts_belong_to_their_place(key: SecretKey) -> None:
    vault = Vault(key, FACTS, 32)
    name, reason = vault.seal_name("s", "Anna"), vault.seal_reason("p", "no face")
    assert vault.open_reason("p", reason) == "no face"
    for owner, sealed in (("t", name), ("s", reason)):
        with pytest.raises(RecordError, match="cannot be opened"):
            vault.open_name(owner, sealed)
    with pytest.raises(RecordError, match=r"another gallery\.key"):
        vault.open_settings(name)
    for bad in ("", "x" * 1025):
        with pytest.raises(GalleryError, match="1 to 1024 bytes"):
            vault.seal_name("s", bad)
    other = Vault(key, replace(FACTS, gallery="f" * 32), 32)
    with pytest.raises(RecordError):
        other.open_name("s", name)
    assert vault.seal_name("s", "Anna") != name


def test_records_round_to_little(key: SecretKey) -> None:
    vault = Vault(key, FACTS, 256)
    vector = unit(np.random.default_rng(1).normal(size=256))
    record = vault.seal_record("t", vector)
    assert len(record) == 540
    assert np.abs(vault.open_record("t", record) - vector).max() <= 0.5 / 32767
    for wrong in (2 * vector / np.abs(vector).max(), vector[:-1], vector * np.nan):
        with pytest.raises(GalleryError, match="not a unit embedding"):
            vault.seal_record("t", wrong)


def test_settings_come_back() -> None:
    centre = np.random.default_rng(1).normal(size=8)
    settings = Settings(b"s" * 32, Decision(0.5, 0.3), centre, "official", {"eer": 0.1})
    again = Settings.from_bytes(settings.to_bytes())
    assert again.decision == settings.decision
    assert again.centre is not None
    assert np.array_equal(again.centre, centre)
    assert (again.secret, again.weights) == (b"s" * 32, "official")
    assert again.calibration == {"eer": 0.1}
    assert "ssss" not in repr(settings)
    assert b'"version": 1' in settings.to_bytes()
    with pytest.raises(GalleryError, match="version 3"):
        Settings.from_bytes(b'{"version": 3}')


def test_settings_of_a_crossed_gallery_are_for_those_who_know_it() -> None:
    """An older program would seal templates into it in other coordinates."""
    settings = Settings(b"s" * 32, crossing={"weights": "ab"})
    assert b'"version": 2' in settings.to_bytes()
    assert Settings.from_bytes(settings.to_bytes()).crossing == {"weights": "ab"}


def test_facts_come_back_or_are_damaged() -> None:
    assert Facts.from_json(FACTS.to_json()) == FACTS
    assert FACTS.to_json()["mode"] == "mean"
    for name, value, text in (
        ("version", 2, "has version '2'"),
        ("mode", "most", "damaged"),
        ("model", "zz", "damaged"),
        ("names", 1, "damaged"),
        ("preparation", {}, "damaged"),
        ("more", 1, "damaged"),
    ):
        with pytest.raises(GalleryError, match=text):
            Facts.from_json({**FACTS.to_json(), name: value})


# --- decisions ------------------------------------------------------------------------------------


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(-1, 1))
def test_answers_follow_the_thresholds(one: float, two: float, score: float) -> None:
    low, high = sorted((one, two))
    answer = Decision(high, low).answer(score)
    assert (answer is Answer.MATCH) == (score >= high)
    assert (answer is Answer.UNKNOWN) == (score < low)


@pytest.mark.parametrize("wrong", [(0.3, 0.5), (1.1, 0.0), (math.nan, 0.0), (0.5, -2.0)])
def test_thresholds_that_cannot_be(wrong: tuple[float, float]) -> None:
    with pytest.raises(GalleryError, match="thresholds"):
        Decision(*wrong)
    for temperature in (0.0, -1.0):
        with pytest.raises(GalleryError, match="temperature"):
            Decision(0.5, 0.3, temperature)
    with pytest.raises(GalleryError, match="nothing can be said"):
        Decision(0.5, 0.3).answer(math.nan)


def test_confidence_is_a_softmax_with_nobody_in_it() -> None:
    decision = Decision(0.5, 0.3, 0.1)
    shares = decision.confidences(np.array([0.9, 0.4, -0.2]))
    weights = np.exp(np.array([0.9, 0.4, -0.2, 0.4]) / 0.1)
    assert np.allclose(shares, (weights / weights.sum())[:3])
    assert decision.confidences(np.array([-0.5]))[0] < 0.01, "the only one is not sure"
    assert decision.confidences(np.zeros(0)).size == 0
    assert np.isfinite(Decision(0.5, 0.3, 1e-3).confidences(np.array([1.0, -1.0]))).all()


def test_ranks() -> None:
    decision = Decision(0.5, 0.3)
    scores = by_subject(Found(("b", "a", "c"), np.array([0.2, 0.2, 0.6])), None)
    answer, found = ranked(scores, decision, 2, {"c": "Carl"}.get)
    assert answer is Answer.MATCH
    assert [(one.subject, one.name) for one in found] == [("c", "Carl"), ("a", None)]
    assert found[0].label == "Carl"
    assert ranked(by_subject(Found((), np.zeros(0)), None), decision, 5, str) == (
        Answer.UNKNOWN,
        (),
    )
    assert len(ranked(scores, decision, 50, str)[1]) == 3


def test_the_best_template_of_a_subject_counts() -> None:
    found = Found(("t1", "t2", "t3", "gone"), np.array([0.1, 0.9, 0.5, 1.0]))
    scores = by_subject(found, {"t1": "a", "t2": "a", "t3": "b"})
    assert scores.subjects == ("a", "b")
    assert scores.scores.tolist() == [0.9, 0.5]
    assert scores.best == ("t2", "t3")


# --- templates ------------------------------------------------------------------------------------


def test_weighted_means() -> None:
    vectors = np.eye(3)
    assert np.allclose(mean_template(vectors), np.ones(3) / math.sqrt(3))
    assert np.allclose(mean_template(vectors, np.array([1.0, 0.0, 0.0])), vectors[0])
    for wrong in (np.zeros(3), np.array([1.0, -1.0, 0.0]), np.ones(2), np.full(3, np.nan)):
        with pytest.raises(TemplateError):
            mean_template(vectors, wrong)
    with pytest.raises(TemplateError):
        mean_template(np.zeros((0, 3)))
    with pytest.raises(TemplateError, match="not finite"):
        unit(np.array([np.inf, 0.0]))
    assert not unit(np.zeros(3)).any(), "without a direction, similar to nobody"


# --- photos ---------------------------------------------------------------------------------------


def test_which_photos_are_meant(tmp_path: Path) -> None:
    save(tmp_path / "flat" / "1.png", photo(face(1)))
    save(tmp_path / "flat" / "2.png", photo(face(2)))
    (tmp_path / "flat" / "read me.txt").write_text("x")
    found = find_items(tmp_path / "flat")
    assert [item.every for item in found.items] == [True, True]
    assert found.remarks == (f"{tmp_path / 'flat'}: 1 other file, not pictures",)
    owned = find_items(tmp_path / "flat", Person("Anna"))
    assert [item.every for item in owned.items] == [False, False]
    both = find_items([tmp_path / "flat", tmp_path / "flat" / "1.png"])
    assert len(both.items) == 3
    for one in (face(1), b"bytes", photo(face(1))):
        assert len(find_items(one).items) == 1
    save(tmp_path / "people" / "anna" / "1.png", photo(face(1)))
    (tmp_path / "people" / "empty").mkdir()
    (tmp_path / "people" / "text").mkdir()
    (tmp_path / "people" / "text" / "x.txt").write_text("x")
    named = find_items(tmp_path / "people")
    assert [item.person and item.person.name for item in named.items] == ["anna"]
    assert any("no picture in this person's folder" in remark for remark in named.remarks)
    everything = find_items(tmp_path / "people", Person("all"))
    assert [item.person and item.person.name for item in everything.items] == ["all"]


def test_a_photo_is_its_content(tmp_path: Path) -> None:
    one = save(tmp_path / "a.png", face(1))
    assert content_digest(one) == content_digest(one.read_bytes())
    assert content_digest(face(1)) == content_digest(face(1).copy())
    assert content_digest(face(1)) != content_digest(face(1).astype(np.float64))
    assert content_digest(face(1)) != content_digest(face(1).reshape(SIZES))


SIZES = (32, 128, 3)


# --- what embeds in the clear ---------------------------------------------------------------------


def test_the_bundled_weights_embed_and_refuse() -> None:
    from fhe_face.client.decryption import Embedding
    from fhe_face.client.health import HealthReport
    from fhe_face.photos.preparation import given as as_given

    embedder = LocalEmbedder.load(bundled_weights())
    assert (embedder.size, embedder.views, len(embedder.model)) == (64, 1, 64)
    grey = np.full((64, 64, 3), 128, np.uint8)
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8)[:, None, None] * 4, (64, 64, 3)).copy()
    found = embedder.embed([as_given(grey, 64), as_given(ramp, 64)])
    assert all(isinstance(one, Embedding | HealthReport) for one in found)
    assert embedder.embed([]) == []
    flipped = LocalEmbedder.load(bundled_weights(), views=2)
    pair = flipped.embed([as_given(ramp, 64), as_given(ramp[:, ::-1].copy(), 64)])
    assert all(isinstance(one, Embedding) for one in pair)
    one, two = (one.values for one in pair if isinstance(one, Embedding))
    assert np.allclose(one, two), "both views are of both"


def test_a_mode_is_a_word() -> None:
    assert [mode.value for mode in Mode] == ["mean", "each"]
