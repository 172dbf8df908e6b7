"""A server that enrols and searches by itself, on small rings: from encrypted faces to answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fhe_core import container
from fhe_core.container import Corrupt, KeyMismatch, Kind, ParameterMismatch, WrongKind
from fhe_core.formats.ciphertexts import Bundle
from fhe_core.formats.switching import face_to_bytes, findings_to_bytes
from fhe_core.matching import AnswerMismatch, StaleAnswer
from fhe_core.matching.crossed import SwitchedFace, token_of
from fhe_core.matching.precision import predict_switched, product_deviation
from fhe_core.secret.key import SecretKey
from fhe_face.circuit import NoScoresError
from fhe_face.client.decryption import Embedding
from fhe_face.client.ledger import AnswerLimitError, MemoryLedger
from fhe_face.gallery import crossing, findings
from fhe_face.gallery.decisions import Answer
from fhe_face.gallery.embedders import EncryptedEmbedder
from fhe_face.gallery.errors import GalleryError
from fhe_face.gallery.gallery import Gallery
from fhe_face.keyfile import SWITCH_KEY
from fhe_face.models.templates import unit
from fhe_face.server.crossing import CrossingServer, NoSwitchKey, TooManyWaiting
from tests.core import tiny
from tests.gallery import kit
from tests.gallery.crossing_kit import RING, Both, F, both, crossed, empty, full, results, world

__all__ = ["both", "crossed", "empty", "full", "results", "world"]


# --- searching -----------------------------------------------------------------------------------


def test_a_server_alone_finds_what_its_owner_sealed(crossed: Both) -> None:
    """Scores are cosines, by the length that the server's vector has."""
    known = crossed.embedding(0)
    crossed.enrol("Dee", known.values + 0.02 * kit.direction(9, F))
    server = crossed.opened()
    try:
        (face,) = server.faces(crossed.result(0))
        found = crossed.answer(server.look_up(face))
    finally:
        server.close()
    assert found.identified.answer is Answer.MATCH
    assert found.identified.best is not None
    assert found.identified.best.label == "Dee"
    assert found.unsearched == 0
    probe = unit(known.values)
    exact = {"Ann": 1, "Bob": 2, "Cid": 3}
    scores = {one.label: one.score for one in found.identified.candidates}
    noise = 8 * predict_switched(server.switcher.plan).deviation
    for name, seed in exact.items():
        assert abs(scores[name] - probe @ kit.direction(seed, F)) < noise / 0.8


def test_the_client_finds_the_same_as_ever(crossed: Both) -> None:
    """Sealed in other coordinates, searched by sealed probes and in the clear."""
    kit.same_scores(crossed.gallery, kit.direction(7, F))
    kit.consistent(crossed.gallery)
    found, _ = crossed.gallery.scores(kit.direction(2, F), "encrypted")
    assert abs(max(found.scores) - 1) < 1e-3


def test_a_gallery_without_a_switching_key_is_sealed_as_ever(crossed: Both) -> None:
    assert crossing.remove_switch(crossed.gallery.opened)
    assert not (crossed.server / SWITCH_KEY).exists()
    kit.consistent(crossed.gallery)
    with pytest.raises(NoSwitchKey, match="only the gallery's owner"):
        crossed.opened()
    assert not crossing.remove_switch(crossed.gallery.opened)
    with pytest.raises(GalleryError, match="no switching key"):
        crossing.crossing_of(crossed.gallery.opened)


def test_a_new_key_of_the_gallery_ends_the_switching_key(crossed: Both) -> None:
    crossed.gallery.rekey()
    assert crossed.gallery.settings.crossing is None
    kit.consistent(crossed.gallery)
    with pytest.raises(NoSwitchKey):
        crossed.opened()


def test_a_copy_is_sealed_as_its_gallery_and_has_no_switching_key(
    crossed: Both, tmp_path: Path
) -> None:
    crossed.gallery.backup(tmp_path / "copy")
    Gallery.restore(tmp_path / "copy", tmp_path / "again")
    with Gallery.open(tmp_path / "again", parameters=RING, embedder=kit.Painted()) as again:
        kit.consistent(again)
        assert again.settings.crossing is not None
    with pytest.raises(NoSwitchKey):
        CrossingServer.load(tmp_path / "again" / "server", parameters=RING, engines=tiny.load)


def test_what_opens_waiting_faces_does_not_change_under_them(crossed: Both) -> None:
    server = crossed.opened()
    server.enrol(server.faces(crossed.result(0), "x")[0])
    server.close()
    with pytest.raises(GalleryError, match="confirm or drop them first"):
        crossed.gallery.rekey()
    assert crossed.gallery.settings.crossing is not None
    with pytest.raises(GalleryError, match="for the network that it has now"):
        crossed.gallery.rebuild([])
    crossed.make_switch()  # the same again harms nobody
    assert len(crossing.waiting_faces(crossed.gallery.opened, MemoryLedger())) == 1


# --- enrolling -----------------------------------------------------------------------------------


def test_a_face_waits_until_its_owner_has_seen_it(crossed: Both) -> None:
    gallery, ledger = crossed.gallery, MemoryLedger()
    server = crossed.opened()
    try:
        (face,) = server.faces(crossed.result(1), subject="badge-7")
        digest = server.enrol(face)
        same, other = (server.faces(crossed.result(n))[0] for n in (1, 2))
        waiting = crossing.waiting_faces(gallery.opened, ledger)
        assert [(one.digest, one.subject, one.healthy) for one in waiting] == [
            (digest, "badge-7", True)
        ]
        assert ledger.answers == 1
        # It is searched already, and told apart.
        found = [crossed.answer(server.look_up(one), waiting=waiting) for one in (same, other)]
        beside = [one.waiting[0] for one in found]
        assert [one.subject for one in beside] == ["badge-7", "badge-7"]
        probes = [unit(crossed.embedding(n).values) for n in (1, 2)]
        noise = 10 * product_deviation(server.switcher.plan) + 2e-3
        assert abs(beside[0].score - 1) < noise
        assert abs(beside[1].score - probes[0] @ probes[1]) < noise
        assert all(one.identified.answer is not Answer.MATCH for one in found)
        # Confirmed, it is a template like others, under the name that the owner gives.
        template = crossing.confirm(gallery.opened, gallery.people, waiting[0], "Eve")
        gallery.seal()
        assert [one.id for one in gallery.templates("Eve")] == [template]
        assert not list(server.files.names())
        again = crossed.answer(server.look_up(same))
        assert again.identified.best is not None
        assert (again.identified.best.label, again.waiting) == ("Eve", ())
    finally:
        server.close()
    kit.consistent(gallery)


def test_confirmed_without_a_name_it_is_the_subject_that_the_server_was_told(
    crossed: Both,
) -> None:
    server, gallery = crossed.opened(), crossed.gallery
    for subject in ("badge-7", ""):
        server.enrol(server.faces(crossed.result(1), subject)[0])
    server.close()
    waiting = {one.subject: one for one in crossing.waiting_faces(gallery.opened, MemoryLedger())}
    crossing.confirm(gallery.opened, gallery.people, waiting["badge-7"])
    assert gallery.subject("badge-7").templates == 1
    with pytest.raises(GalleryError, match="a person has a name or an id"):
        crossing.confirm(gallery.opened, gallery.people, waiting[""])


def test_faces_are_dropped_and_found_by_the_beginning_of_their_name(crossed: Both) -> None:
    server, opened = crossed.opened(), crossed.gallery.opened
    digests = [server.enrol(one) for one in server.faces(crossed.result(0, 1), "x")]
    assert crossing.find_waiting(opened, [digests[0][:8]]) == [digests[0]]
    for given in ("", "ab", "zzzz"):
        with pytest.raises(GalleryError, match="no face of that name waits"):
            crossing.find_waiting(opened, [given])
    with pytest.raises(GalleryError, match="faces wait"):
        crossing.remove_switch(opened)
    assert crossing.drop(opened, digests) == 2
    assert not list(server.files.names())
    server.close()


def test_a_request_makes_one_template_and_no_confirmed_face_is_lost(crossed: Both) -> None:
    """The server says of which request a face is: the same one for two people, for example."""
    server, gallery = crossed.opened(), crossed.gallery
    for subject in ("badge-7", "badge-8"):
        server.enrol(server.faces(crossed.result(1), subject)[0])
    server.close()
    waiting = {one.subject: one for one in crossing.waiting_faces(gallery.opened, MemoryLedger())}
    one, other = waiting["badge-7"], waiting["badge-8"]
    template = crossing.confirm(gallery.opened, gallery.people, one)
    # As after a run that was killed before it removed the file.
    assert crossing.confirm(gallery.opened, gallery.people, one) == template
    with pytest.raises(GalleryError, match="confirmed before, and is of subject 'badge-7'"):
        crossing.confirm(gallery.opened, gallery.people, other)
    assert list(crossing.files_of(gallery.opened).names()) == [other.digest]
    assert [one.id for one in gallery.subjects()].count("badge-8") == 0
    gallery.delete(templates=[template])
    with pytest.raises(GalleryError, match="confirmed before, and is deleted since"):
        crossing.confirm(gallery.opened, gallery.people, one)


def test_faces_that_are_named_are_judged_however_many_wait(
    crossed: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server may let more files lie there than it should."""
    server, opened = crossed.opened(), crossed.gallery.opened
    digests = sorted(server.enrol(one) for one in server.faces(crossed.result(0, 1, 2), "x"))
    server.close()
    monkeypatch.setattr(crossing, "MOST_WAITING", 1)
    assert len(crossing.waiting_faces(opened, MemoryLedger())) == 2
    last = digests[2]
    assert crossing.find_waiting(opened, [last[:8], last]) == [last]
    (found,) = crossing.waiting_faces(opened, MemoryLedger(), [last])
    assert (found.digest, found.healthy) == (last, True)


# --- health --------------------------------------------------------------------------------------


def switched(crossed: Both, server: CrossingServer, norm: float, length: float) -> SwitchedFace:
    """A face of a squared norm and length that somebody chose."""
    (face,) = server.faces(crossed.result(0))
    key, plan = crossed.world.key, server.switcher.plan
    slots = key.parameters.slots
    rows = [np.tile(length * kit.direction(4, F), slots // F), np.full(slots, norm)]
    forms, made = [plan.embedding, plan.norm], []
    for row, form in zip(rows, forms, strict=True):
        fresh, _ = key.encrypt(row, form.scale)
        made.append(fresh.drop_to(form.level, key.parameters))
    return replace(
        face, embedding=server.switcher.embedding(made[0]), norm=server.switcher.norm(made[1])
    )


@pytest.mark.parametrize(
    ("norm", "length", "text"),
    [
        (1.0, 1.0, "outside"),
        (500.0, 1.0, "outside"),
        (-20.0, 1.0, "outside"),
        (1e7, 1.0, "outside"),
        (20.0, 3.0, "norm of the embedding"),
        (20.0, 0.1, "norm of the embedding"),
    ],
)
def test_what_is_not_healthy_gives_no_answer(
    crossed: Both, norm: float, length: float, text: str
) -> None:
    server = crossed.opened()
    face = switched(crossed, server, norm, length)
    found = crossed.answer(server.look_up(face))
    assert found.identified.answer is None
    assert found.identified.reason is not None
    assert text in found.identified.reason
    assert not found.identified.candidates
    server.enrol(replace(face, subject="x"))
    server.close()
    (waiting,) = crossing.waiting_faces(crossed.gallery.opened, MemoryLedger())
    assert not waiting.healthy
    assert text in str(waiting.to_json()["reason"])
    with pytest.raises(GalleryError, match="must not be used"):
        crossing.confirm(crossed.gallery.opened, crossed.gallery.people, waiting)


def test_a_healthy_face_of_another_length_has_the_same_scores(crossed: Both) -> None:
    """The normalisation leaves lengths that differ; the reader divides them out."""
    server = crossed.opened()
    scores = []
    for norm in (4.0, 30.0, 150.0):
        length = float(np.sqrt(norm) * tiny.ROOT.evaluate(norm))
        found = crossed.answer(server.look_up(switched(crossed, server, norm, length)))
        assert found.identified.answer is not None, found.identified.reason
        scores.append({one.label: one.score for one in found.identified.candidates})
    server.close()
    for name, seed in (("Ann", 1), ("Bob", 2), ("Cid", 3)):
        exact = kit.direction(4, F) @ kit.direction(seed, F)
        assert all(abs(one[name] - exact) < 2e-3 for one in scores)


# --- what is refused -----------------------------------------------------------------------------


def edited(bundle: Bundle, **facts: Any) -> Bundle:
    return replace(bundle, facts={**bundle.facts, **facts})


def renamed(bundle: Bundle) -> Bundle:
    return replace(bundle, items={f"x{name}": item for name, item in bundle.items.items()})


def rescaled(bundle: Bundle) -> Bundle:
    items = {name: replace(item, scale=item.scale * 2) for name, item in bundle.items.items()}
    return replace(bundle, items=items)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        (lambda b: replace(b, what="score"), WrongKind, "not embeddings"),
        (lambda b: replace(b, key_id="0" * 32), KeyMismatch, "switching key is for"),
        (lambda b: edited(b, weights="0" * 32), ParameterMismatch, "another network"),
        (lambda b: edited(b, normalisation={}), ParameterMismatch, "normalised"),
        (lambda b: edited(b, embedding=16), Corrupt, "length"),
        (lambda b: edited(b, preparation=None), ParameterMismatch, "prepared"),
        (lambda b: edited(b, preparation={"size": 3}), ParameterMismatch, "prepared"),
        (lambda b: edited(b, runs=[["batch", 1]]), ParameterMismatch, "batch"),
        (lambda b: edited(b, runs=[["alone", 1]] * 2), Corrupt, "request tokens"),
        (lambda b: edited(b, runs=7), Corrupt, "packed"),
        (lambda b: edited(b, requests=["0"]), Corrupt, "request tokens"),
        (renamed, Corrupt, "does not hold what the engine"),
        (rescaled, Corrupt, "does not hold what the engine"),
    ],
)
def test_results_that_do_not_belong_here_are_refused(
    crossed: Both, change: Callable[[Bundle], Bundle], error: type[Exception], text: str
) -> None:
    server, result = crossed.opened(), crossed.result(0)
    try:
        assert len(server.faces(result)) == 1
        with pytest.raises(error, match=text):
            server.faces(change(result))
    finally:
        server.close()


@pytest.mark.parametrize("subject", ["Ann Smith", "a/b", "x" * 65, "x\n"])
def test_nobody_waits_under_what_is_no_id(crossed: Both, subject: str) -> None:
    """Its file could never be read again."""
    server = crossed.opened()
    with pytest.raises(ValueError, match="an id has 1 to 64 of the characters"):
        server.faces(crossed.result(0), subject)
    server.close()


def test_so_many_wait_and_no_more(crossed: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fhe_face.server.crossing.MOST_WAITING", 1)
    server = crossed.opened()
    first, second = server.faces(crossed.result(0, 1), "x")
    server.enrol(first)
    with pytest.raises(TooManyWaiting, match="wait for the gallery's owner"):
        server.enrol(second)
    server.close()


def test_centred_scores_and_a_server_alone_do_not_go_together(both: Both) -> None:
    for name, seed in (("Ann", 1), ("Bob", 2)):
        both.enrol(name, kit.direction(seed, F))
    opened = both.gallery.opened
    opened.save_settings(centre=kit.direction(5, F) / 10)
    with pytest.raises(GalleryError, match="subtracts its mean"):
        both.make_switch()
    assert opened.settings.crossing is None
    assert not (both.server / SWITCH_KEY).exists()


def test_a_key_whose_client_normalises_does_not_lead_to_a_gallery(both: Both) -> None:
    """A server alone compares embeddings, so that somebody must have normalised them."""
    own = both.world.engine
    raw = replace(own, circuit=replace(own.circuit, client_normalises=True))
    with pytest.raises(NoScoresError, match="cannot be compared"):
        crossing.make_switch(both.gallery.opened, both.world.key, raw, "0" * 32)
    assert both.gallery.opened.settings.crossing is None
    assert not (both.server / SWITCH_KEY).exists()


def test_an_answer_is_of_the_face_and_of_the_gallery_as_it_is(crossed: Both) -> None:
    server = crossed.opened()
    (face,) = server.faces(crossed.result(0))
    found = server.look_up(face)
    assert found.scores.token == token_of(face.request)
    assert crossed.answer(found, request=face.request).identified.answer is Answer.UNKNOWN
    with pytest.raises(AnswerMismatch, match="of another face"):
        crossed.answer(found, request="00" * 48)
    crossed.gallery.delete(["Ann"])
    with pytest.raises((StaleAnswer, AnswerMismatch)):
        crossed.answer(found)
    strange = replace(found, scores=replace(found.scores, blocks=("1" * 64,)))
    with pytest.raises(AnswerMismatch, match="blocks that the gallery does not have"):
        crossed.answer(strange)
    server.close()


def test_scores_that_nothing_can_have_are_refused(crossed: Both) -> None:
    """Of templates and of faces that wait alike: both are a server's word."""
    server, opened = crossed.opened(), crossed.gallery.opened
    server.enrol(server.faces(crossed.result(1), "badge-7")[0])
    found = server.look_up(server.faces(crossed.result(0))[0])
    server.close()
    waiting = crossing.waiting_faces(opened, MemoryLedger())
    assert len(crossed.answer(found, waiting=waiting).waiting) == 1
    products, words = found.products.copy(), found.scores.words.copy()
    products[1, 0] ^= 1 << RING.result_bits - 1
    with pytest.raises(AnswerMismatch, match="larger than any of this gallery"):
        crossed.answer(replace(found, products=products), waiting=waiting)
    words[:, 0, :, -1] ^= 0x80
    with pytest.raises(AnswerMismatch, match="larger than any of this gallery"):
        crossed.answer(replace(found, scores=replace(found.scores, words=words)))


def test_answers_are_counted_before_they_are_opened(crossed: Both) -> None:
    server = crossed.opened()
    data = findings_to_bytes(server.look_up(server.faces(crossed.result(0))[0]))
    server.close()
    ledger = MemoryLedger(limit=10)
    finder = crossed.gallery.finder
    findings.answer(finder, ledger, data)
    assert ledger.answers == 2  # seven outcomes: two names each, sure or not, and nobody
    findings.answer(finder, ledger, data)  # the same again is free
    with pytest.raises(AnswerLimitError):
        findings.answer(finder, MemoryLedger(limit=1), data)


@pytest.mark.parametrize("what", ["face", "findings", "key"])
def test_damage_is_one_clear_error(crossed: Both, what: str) -> None:
    """Every bit counts: of the header's beginning, its end, and of what is behind it."""
    server = crossed.opened()
    (face,) = server.faces(crossed.result(0), "x")
    path = crossed.server / SWITCH_KEY
    data = {
        "face": face_to_bytes(face),
        "findings": findings_to_bytes(server.look_up(face)),
        "key": path.read_bytes(),
    }[what]
    kinds = {"face": Kind.SWITCHED_FACE, "findings": Kind.FINDINGS, "key": Kind.GALLERY_SWITCH}
    with container.loads(data, expect_kind=kinds[what]) as reader:
        reader.verify_all()

    def use(damaged: bytes) -> None:
        if what == "findings":
            crossed.answer(damaged)
        elif what == "key":
            path.write_bytes(damaged)
            crossed.opened().close()
        else:
            digest = server.files.write(damaged)
            (waiting,) = crossing.waiting_faces(crossed.gallery.opened, MemoryLedger(), [digest])
            assert waiting.error is not None
            assert digest not in server.waiting()
            raise Corrupt(waiting.error)

    for place in (0, 9, 20, len(data) // 2, len(data) - 1):
        damaged = bytearray(data)
        damaged[place] ^= 1
        with pytest.raises(container.ContainerError):
            use(bytes(damaged))
    for length in (0, 15, 100, len(data) - 1):
        with pytest.raises(container.ContainerError):
            use(data[:length])
    server.close()


def test_a_file_that_is_no_face_is_not_read(crossed: Both) -> None:
    """Its owner looks at the size first."""
    digest = crossing.files_of(crossed.gallery.opened).write(b"x" * 100_000)
    (found,) = crossing.waiting_faces(crossed.gallery.opened, MemoryLedger())
    assert (found.digest, found.healthy) == (digest, False)
    assert found.error == "its file is larger than any face that waits"
    assert crossed.gallery.server_only.drop() == 1


def test_nothing_of_the_server_alone_is_a_secret(crossed: Both) -> None:
    """Neither secret stands in its folder, nor can another key of the engine make a switch."""
    names = sorted(path.name for path in crossed.server.iterdir())
    assert "gallery.key" not in names
    other = SecretKey.generate(tiny.gallery(6).parameters)
    with pytest.raises(ParameterMismatch):
        crossing.make_switch(crossed.gallery.opened, other, crossed.world.engine, "0" * 32)


def test_what_the_embedder_enrols_is_found_by_the_server_alone(crossed: Both) -> None:
    """The two ways meet: a client that opens embeddings, and a server that does not."""
    world = crossed.world
    embedder = EncryptedEmbedder(world.client, world.server, kit.MODEL, None)
    (found,) = embedder.embed(tiny.faces(world.images[3]))
    assert isinstance(found, Embedding)
    crossed.enrol("Fay", found.values)
    server = crossed.opened()
    answered = crossed.answer(server.look_up(server.faces(crossed.result(3))[0]))
    server.close()
    assert answered.identified.best is not None
    assert answered.identified.best.label == "Fay"
    assert answered.identified.best.score > 0.99
