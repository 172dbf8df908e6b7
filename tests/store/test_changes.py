"""What adding, deleting, moving and merging do to subjects, templates and the index."""

from __future__ import annotations

import time

import pytest

from fhe_face.store import NotStored, Refusal, StoredSubject, StoreError, Subject, Template
from tests.store.conftest import Make
from tests.store.kit import enrol, found, record_of, seal, waiting


def test_what_is_added_is_there(make: Make) -> None:
    store = make()
    added = enrol(store, anna=["a1", "a2"], ben=["b1"])
    assert added == (["anna", "ben"], ["a1", "a2", "b1"], [])
    assert list(store.subjects()) == [
        StoredSubject("anna", b"<name of anna>", 2, False),
        StoredSubject("ben", b"<name of ben>", 1, False),
    ]
    stored = store.template("a2")
    assert stored[:5] == ("a2", "anna", "photo-a2", record_of("a2"), False)
    assert abs(stored.added - time.time()) < 60
    assert [t.id for t in store.templates("anna")] == ["a1", "a2"]
    assert [t.id for t in store.templates(batch=1)] == ["a1", "a2", "b1"]
    assert store.sources() == {"photo-a1", "photo-a2", "photo-b1"}
    assert store.settings == b"settings"
    assert store.facts == {"mode": "mean"}


def test_adding_twice_adds_once(make: Make) -> None:
    store = make()
    enrol(store, anna=["a1"])
    seal(store)
    assert enrol(store, anna=["a1"]) == ([], [], [])
    assert waiting(store) == []  # nothing changed, so the entry stays
    other = [Template("a1", "anna", None, b"other")] * 2
    assert store.add([Subject("anna", b"other")], other) == ([], [], [])
    assert store.template("a1").record == record_of("a1")
    assert store.subject("anna").name == b"<name of anna>"
    twice = [Template("a2", "anna", None, b"first"), Template("a2", "anna", None, b"second")]
    assert store.add([], twice).templates == ["a2"]
    assert store.template("a2").record == b"first"


def test_a_template_of_nobody_adds_nothing(make: Make) -> None:
    store = make()
    before = store.counts()
    with pytest.raises(NotStored, match="'b1': there is no subject 'ben'"):
        store.add(
            [Subject("anna")], [Template("a1", "anna", None, b""), Template("b1", "ben", None, b"")]
        )
    assert store.counts() == before


@pytest.mark.parametrize("id", ["", "x" * 513, "a\0b", "a\nb", "\ud800"])
def test_ids_that_no_database_can_hold_are_refused(make: Make, id: str) -> None:
    store = make()
    for people, faces, refused in (
        ([Subject(id)], [], []),
        ([Subject("s")], [Template(id, "s", None, b"")], []),
        ([Subject("s")], [Template("t", "s", id, b"")], []),
        ([], [], [Refusal(id, b"")]),
    ):
        with pytest.raises(StoreError, match=r"an id has (1 to 512|only) printable characters"):
            store.add(people, faces, refused)
    assert sum(store.counts()) == 0


def test_what_is_too_large_is_refused(make: Make) -> None:
    store = make()
    large = bytes((1 << 20) + 1)
    with pytest.raises(StoreError, match="record of template 't' has 1048577 bytes; at most"):
        store.add([Subject("s")], [Template("t", "s", None, large)])
    with pytest.raises(StoreError, match="name of subject 's'"):
        store.add([Subject("s", large)])
    assert sum(store.counts()) == 0


# --- The index -----------------------------------------------------------------------------------


def test_in_mean_mode_a_subject_has_one_entry(make: Make) -> None:
    store = make("mean")
    enrol(store, anna=["a1", "a2"], ben=["b1"], cleo=[])
    assert waiting(store) == ["anna", "ben"]
    digest = seal(store)
    assert waiting(store) == []
    assert found(store) == {"anna": digest, "ben": digest}
    enrol(store, anna=["a3"])
    assert (waiting(store), found(store)) == (["anna"], {"ben": digest})


def test_in_each_mode_a_template_has_one_entry(make: Make) -> None:
    store = make("each")
    enrol(store, anna=["a1", "a2"], ben=["b1"])
    digest = seal(store)
    assert found(store) == dict.fromkeys(("a1", "a2", "b1"), digest)
    enrol(store, anna=["a3"])
    assert waiting(store) == ["a3"]
    assert len(found(store)) == 3
    store.move(["a1"], "ben")  # only a name changes
    assert len(found(store)) == 3
    assert store.template("a1").subject == "ben"


@pytest.mark.parametrize("mode", ["mean", "each"])
def test_deleted_templates_are_found_no_more_and_come_back(make: Make, mode: str) -> None:
    store = make(mode)
    enrol(store, anna=["a1", "a2"], ben=["b1"])
    seal(store)
    assert store.delete_templates(["a2", "b1"]) == 2
    assert store.delete_templates(["a2"]) == 0
    owners = {"mean": ([], ["anna"]), "each": (["a1"], [])}[mode]
    assert (sorted(found(store)), waiting(store)) == owners
    assert [t.id for t in store.templates()] == ["a1"]
    assert [t.deleted for t in store.templates(include_deleted=True)] == [False, True, True]
    assert "photo-a2" in store.sources()  # enrolling again does not bring it back
    assert enrol(store, anna=["a2"]).templates == []
    assert store.undelete_templates(["a2", "b1"]) == 2
    assert waiting(store) == {"mean": ["anna", "ben"], "each": ["a2", "b1"]}[mode]


@pytest.mark.parametrize("mode", ["mean", "each"])
def test_a_deleted_subject_comes_back_as_it_was(make: Make, mode: str) -> None:
    store = make(mode)
    enrol(store, anna=["a1", "a2"], ben=["b1"])
    seal(store)
    store.delete_templates(["a2"])
    assert store.delete_subjects(["anna"]) == 1
    assert list(found(store)) == ["ben" if mode == "mean" else "b1"]
    assert waiting(store) == []
    assert [s.id for s in store.subjects()] == ["ben"]
    assert store.subject("anna") == ("anna", b"<name of anna>", 1, True)
    assert enrol(store, anna=["a3"]) == ([], [], ["a3"])
    with pytest.raises(NotStored):
        store.template("a3")
    assert store.undelete_subjects(["anna"]) == 1
    assert [t.id for t in store.templates("anna")] == ["a1"]
    assert waiting(store) == ["anna" if mode == "mean" else "a1"]


@pytest.mark.parametrize("mode", ["mean", "each"])
def test_moving_keeps_ids_and_touches_who_changed(make: Make, mode: str) -> None:
    store = make(mode)
    enrol(store, anna=["a1", "a2"], ben=["b1"], cleo=["c1"])
    seal(store)
    store.move(["a2", "b1"], "ben")
    assert [t.id for t in store.templates("ben")] == ["a2", "b1"]
    assert waiting(store) == (["anna", "ben"] if mode == "mean" else [])
    store.delete_subjects(["cleo"])
    with pytest.raises(StoreError, match="'cleo' is deleted: undelete it first"):
        store.move(["a1"], "cleo")
    store.move(["c1"], "anna")  # out of the deleted subject: it lives again
    assert "anna" in waiting(store) if mode == "mean" else waiting(store) == ["c1"]
    for ids, subject in ((["no"], "anna"), (["a1"], "no")):
        with pytest.raises(NotStored, match="'no'; nothing was changed"):
            store.move(ids, subject)


@pytest.mark.parametrize("mode", ["mean", "each"])
def test_merged_subjects_stay_known(make: Make, mode: str) -> None:
    store = make(mode)
    enrol(store, anna=["a1"], anna2=["a2"], anna3=["a3"], ben=["b1"])
    seal(store)
    store.merge(["anna3"], "anna2")
    store.merge(["anna2", "anna"], "anna")
    assert [s.id for s in store.subjects()] == ["anna", "ben"]
    assert store.subject("anna3") == ("anna", b"<name of anna>", 3, False)
    assert sorted(t.id for t in store.templates("anna2")) == ["a1", "a2", "a3"]
    assert waiting(store) == (["anna"] if mode == "mean" else [])
    # Enrolling the same folders again neither brings them back nor loses a new photo.
    assert enrol(store, anna2=["a2", "a4"]).templates == ["a4"]
    assert store.template("a4").subject == "anna"
    store.delete_subjects(["anna2"])
    assert store.subject("anna").deleted
    with pytest.raises(StoreError, match="'anna' is deleted"):
        store.merge(["ben"], "anna")
    with pytest.raises(StoreError, match="'anna3' is deleted: undelete it before"):
        store.merge(["anna3"], "ben")


def test_a_name_changes_and_nothing_else(make: Make) -> None:
    store = make()
    enrol(store, anna=["a1"])
    seal(store)
    store.rename("anna", b"new")
    assert store.subject("anna") == ("anna", b"new", 1, False)
    store.rename("anna", None)
    assert store.subject("anna").name is None
    assert list(found(store)) == ["anna"]
    with pytest.raises(NotStored, match="'no'"):
        store.rename("no", b"")


def test_a_template_ends_the_refusal_of_its_source(make: Make) -> None:
    store = make()
    store.add(refusals=[Refusal("p1", b"no face"), Refusal("p2", b"blurred")])
    store.add(refusals=[Refusal("p2", b"dark")])
    assert store.refusals() == [("p1", b"no face"), ("p2", b"dark")]
    assert store.sources() == {"p1", "p2"}
    store.add([Subject("anna")], [Template("a1", "anna", "p1", b"")], [Refusal("p3", b"")])
    assert [r.source for r in store.refusals()] == ["p2", "p3"]


def test_where_the_templates_of_a_photo_are(make: Make) -> None:
    store = make()
    enrol(store, anna=["a1", "a2"], ben=["b1"])
    store.add([], [Template("b2", "ben", "photo-a1", b"")], [Refusal("photo-x", b"")])
    store.delete_templates(["a1"])
    store.merge(["ben"], "anna")
    assert store.from_sources(["photo-a1", "photo-b1", "photo-x", "no"]) == {
        "photo-a1": [("a1", "anna", True), ("b2", "anna", False)],
        "photo-b1": [("b1", "anna", False)],
    }
    assert store.from_sources([]) == {}


def test_many_rows_pass_every_limit_of_a_statement(make: Make) -> None:
    store = make("each")
    ids = [f"t{number:05}" for number in range(4500)]
    store.add([Subject("s")], (Template(id, "s", None, b"") for id in ids))
    assert waiting(store) == ids
    assert sum(len(found) for _, found in store.templates_of(ids)) == 4500
    digest = seal(store)
    assert [e.position for e in store.entries(digest)] == list(range(4500))
    assert store.delete_templates(ids) == 4500
    assert store.entries(digest) == []
