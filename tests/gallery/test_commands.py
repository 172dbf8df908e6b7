"""The commands of galleries, on painted photos and a small ring: what they say and how they end."""

from __future__ import annotations

import io
import json
import re
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fhe_face.commands import gallery_opening
from fhe_face.commands.gallery_embedding import EmbedOptions
from fhe_face.gallery.embedders import Embedder
from fhe_face.gallery.gallery import Gallery
from fhe_face.local import searching
from tests.face.conftest import fhe_face
from tests.face.kit import Run
from tests.gallery import kit
from tests.gallery.test_search_process import COMMAND

__all__ = ["fhe_face"]


@pytest.fixture(autouse=True)
def painted(monkeypatch: pytest.MonkeyPatch) -> kit.Painted:
    """Commands open galleries of the small ring, find painted faces, and read them."""
    open_ = Gallery.open
    embedder = kit.Painted()

    def opened(folder: Any, **options: Any) -> Gallery:
        return kit.with_tiles(open_(folder, **(options | {"parameters": kit.SMALL})))

    @contextmanager
    def started(self: EmbedOptions, gallery: Gallery, *_: Any) -> Iterator[Embedder]:
        gallery.facts.require_model(embedder.model, "the weights")
        yield embedder

    monkeypatch.setattr(Gallery, "open", staticmethod(opened))
    monkeypatch.setattr(gallery_opening, "search_apart", lambda _gallery: None)
    monkeypatch.setattr(EmbedOptions, "started", started)
    return embedder


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery called `friends`, photos of three people, and another gallery that has them."""
    place = tmp_path_factory.mktemp("original")
    kit.people(place / "people", 3, 2)
    kit.make(place / "friends", names=True).close()
    shutil.copytree(place / "friends", place / "full")
    with kit.reopen(place / "full") as gallery:
        gallery.enroll(place / "people")
    return place


@pytest.fixture
def folder(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a person is: photos of three people, and an empty gallery."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(original / "people", tmp_path / "people")
    shutil.copytree(original / "friends", tmp_path / "friends")
    return tmp_path


@pytest.fixture
def enrolled(original: Path, folder: Path) -> Path:
    """The same, enrolled."""
    shutil.rmtree(folder / "friends")
    shutil.copytree(original / "full", folder / "friends")
    return folder


def shot(folder: Path, name: str, *people: int, photo: int = 7) -> Path:
    """A photo of people; beyond the third they are strangers."""
    return kit.save(folder / name, kit.photo(*(kit.face(person, photo) for person in people)))


# --- enrolling -----------------------------------------------------------------------------------


def test_enrolling_says_what_became_of_every_photo(folder: Path, fhe_face: Run) -> None:
    (folder / "people" / "person00" / "letter.jpg").write_text("dear")
    kit.save(folder / "people" / "person01" / "wall.png", kit.photo(np.zeros_like(kit.face(1))))
    bad = kit.photo(kit.face(2, 9, diverges=True))
    kit.save(folder / "people" / "person02" / "bad.png", bad)
    result = fhe_face("enroll", "people", "--gallery", "friends")
    assert result.status == 0, result.err
    assert "6 faces of 3 people" in result.out
    for name in ("letter.jpg", "wall.png", "bad.png"):
        assert name in result.out
    for reason in ("unreadable", "without a face", "refused by the health check"):
        assert reason in " ".join(result.out.split())
    again = fhe_face("enroll", "people", "--gallery", "friends", "--json").json()
    assert again["enrolled"] == []
    assert len(again["known"]) == 6
    assert {one["why"] for one in again["refused"]} == {"refused-before"}
    assert len(again["refused"]) == 3
    assert again["people"] == 3
    assert again["templates"] == 6


def test_only_new_photos_are_computed(enrolled: Path, fhe_face: Run, painted: kit.Painted) -> None:
    before = sum(painted.calls)
    kit.people(enrolled / "people", 1, 1, start=3)
    result = fhe_face("enroll", "people", "--gallery", "friends", "--json").json()
    assert sum(painted.calls) == before + 1
    assert [face["name"] for face in result["enrolled"]] == ["person03"]


def test_an_interruption_says_what_is_kept(
    folder: Path, fhe_face: Run, painted: kit.Painted, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = painted.embed

    def tired(faces: Any) -> Any:
        if painted.calls:
            raise KeyboardInterrupt
        return embed(faces)

    monkeypatch.setattr(painted, "embed", tired)
    result = fhe_face("enroll", "people", "--gallery", "friends", "--json")
    line = result.refused(130)
    assert line.startswith("interrupted: 4 faces enrolled before stay in the gallery")
    assert result.json()["interrupted"] is True
    monkeypatch.setattr(painted, "embed", embed)
    after = fhe_face("enroll", "people", "--gallery", "friends", "--json").json()
    assert len(after["enrolled"]) == 2
    assert after["templates"] == 6


def test_nothing_to_enrol(folder: Path, fhe_face: Run) -> None:
    (folder / "letter.jpg").write_text("dear")
    line = fhe_face("enroll", "letter.jpg", "--gallery", "friends").refused()
    assert line.startswith("nothing was enrolled: letter.jpg: ")
    assert "nowhere" in fhe_face("enroll", "nowhere", "--gallery", "friends").refused()
    (folder / "empty").mkdir()
    assert "empty" in fhe_face("enroll", "empty", "--gallery", "friends").refused()


def test_photos_of_one_person_are_added(enrolled: Path, fhe_face: Run) -> None:
    photo = shot(enrolled, "new.png", 2)
    result = fhe_face("gallery", "add", "friends", "person02", photo, "--json").json()
    assert [face["name"] for face in result["enrolled"]] == ["person02"]
    assert fhe_face("gallery", "show", "friends", "person02", "--json").json()["subject"] == {
        "subject": result["enrolled"][0]["subject"],
        "name": "person02",
        "templates": 3,
        "deleted": False,
    }
    other = fhe_face("gallery", "add", "friends", "person01", photo)
    assert "is enrolled for another person" in other.refused()
    typo = fhe_face("gallery", "add", "friends", "person01", photo, "typo.png")
    assert typo.refused() == "typo.png: no such file or folder"


# --- looking up ----------------------------------------------------------------------------------


@pytest.mark.parametrize("match", ["encrypted", "local"])
def test_every_face_gets_an_answer(enrolled: Path, fhe_face: Run, match: str) -> None:
    shot(enrolled, "group.png", 0, 9, 2)
    result = fhe_face("identify", "group.png", "--gallery", "friends", "--match", match)
    assert result.status == 4, result.err
    lines = result.out.splitlines()
    assert lines[0].startswith("group.png, face 1 (64x64 at 0,0): match person00 (")
    assert lines[1] == "group.png, face 2 (64x64 at 64,0): unknown"
    assert lines[2].startswith("group.png, face 3 (64x64 at 128,0): match person02 (")
    command = ("identify", "group.png", "--gallery", "friends", "--match", match, "--top", "2")
    data = fhe_face(*command, "--json").json()
    (photo,) = data["photos"]
    assert photo["error"] is None
    assert [face["answer"] for face in photo["faces"]] == ["match", "unknown", "match"]
    assert [face["name"] for face in photo["faces"]] == ["person00", None, "person02"]
    assert photo["faces"][0]["box"] == [0, 0, 64, 64]
    assert 0.5 < photo["faces"][0]["confidence"] <= 1
    assert len(photo["faces"][0]["candidates"]) == 2
    assert "score" not in json.dumps(data)
    assert data["galleries"][0]["people"] == 3
    asked = fhe_face(*command, "--scores", "--json").json()
    assert 0.5 < asked["photos"][0]["faces"][0]["candidates"][0]["score"] <= 1


@pytest.mark.parametrize(
    ("people", "status"), [((0, 1), 0), ((9,), 4), ((0, 9), 4), ((0,), 0)], ids=str
)
def test_the_status_is_that_of_the_answer(
    enrolled: Path, fhe_face: Run, people: tuple[int, ...], status: int
) -> None:
    shot(enrolled, "photo.png", *people)
    assert fhe_face("identify", "photo.png", "--gallery", "friends").status == status


def test_a_process_without_the_key_searches(
    enrolled: Path, fhe_face: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery_opening, "search_apart", searching.search_apart)
    monkeypatch.setattr(searching, "COMMAND", COMMAND)
    started: list[Any] = []
    start = subprocess.Popen.__init__

    def counted(self: Any, *words: Any, **options: Any) -> None:
        started.append(words[0])
        start(self, *words, **options)

    monkeypatch.setattr(subprocess.Popen, "__init__", counted)
    photos = [shot(enrolled, f"{n}.png", n) for n in (0, 2)]
    found = fhe_face("identify", *photos, "--gallery", "friends", "--json").json()
    names = [one["faces"][0]["name"] for one in found["photos"]]
    assert names == ["person00", "person02"]
    assert started == [COMMAND]
    fhe_face("identify", photos[0], "--gallery", "friends", "--match", "local", "--json").json()
    assert started == [COMMAND], "blocks are opened here, and nobody is asked"


def test_uncertain_and_refused(enrolled: Path, fhe_face: Run) -> None:
    with kit.reopen(enrolled / "friends") as gallery:
        decision = replace(gallery.finder.decision(), different_below=0.5, same_from=0.999)
        gallery.opened.save_settings(decision=decision)
    shot(enrolled, "photo.png", 0)
    result = fhe_face("identify", "photo.png", "--gallery", "friends")
    assert result.status == 5
    assert "photo.png: uncertain, perhaps person00 (" in result.out
    kit.save(enrolled / "bad.png", kit.photo(kit.face(1, 8, diverges=True)))
    bad = fhe_face("identify", "bad.png", "photo.png", "--gallery", "friends")
    assert bad.status == 3
    assert "bad.png: no answer: squared norm" in bad.out


def test_no_thresholds(enrolled: Path, fhe_face: Run) -> None:
    with kit.reopen(enrolled / "friends") as gallery:
        gallery.opened.save_settings(decision=None)
    photo = shot(enrolled, "photo.png", 0)
    for command in (("identify", photo), ("verify", photo, "--subject", "person00")):
        line = fhe_face(*command, "--gallery", "friends").refused()
        assert "fhe-face gallery calibrate friends" in line


def test_a_bad_photo_does_not_stop_the_others(enrolled: Path, fhe_face: Run) -> None:
    shot(enrolled, "good.png", 0)
    (enrolled / "bad.png").write_text("dear")
    result = fhe_face("identify", "bad.png", "good.png", "--gallery", "friends")
    assert result.refused().startswith("1 of 2 photos: bad.png: ")
    assert "good.png: match person00" in result.out
    alone = fhe_face("identify", "bad.png", "--gallery", "friends", "--json")
    assert alone.refused().startswith("bad.png: ")
    assert alone.json()["photos"][0]["error"]


def test_a_crop_that_was_made_in_another_way(enrolled: Path, fhe_face: Run) -> None:
    kit.save(enrolled / "crop.png", kit.face(0))
    shot(enrolled, "good.png", 0)
    result = fhe_face("identify", "crop.png", "good.png", "--gallery", "friends")
    assert "prepared in another way" in result.refused()
    assert "good.png: match person00" in result.out


def test_pictures_with_answers(enrolled: Path, fhe_face: Run) -> None:
    photo = shot(enrolled, "group.png", 0, 9)
    before = photo.read_bytes()
    command = ("identify", "group.png", "--gallery", "friends", "-o")
    assert fhe_face(*command, "answers.png").status == 4
    picture = Image.open(enrolled / "answers.png")
    assert min(picture.size) >= 480 // 2
    assert max(picture.size) >= 480
    assert stat.S_IMODE((enrolled / "answers.png").stat().st_mode) == 0o600
    again = fhe_face(*command, "answers.png")
    assert "replaced answers.png" in again.err
    for target, status in (("group.png", 2), ("friends/client/gallery.key", 2), ("a.jpg", 2)):
        line = fhe_face(*command, target).refused(status)
        assert target in line
    assert photo.read_bytes() == before
    shot(enrolled, "one.png", 1)
    result = fhe_face("identify", "group.png", "one.png", "--gallery", "friends", "-o", "out")
    assert result.status == 4, result.err
    assert sorted(path.name for path in (enrolled / "out").iterdir()) == ["group.png", "one.png"]
    assert fhe_face("identify", "one.png", "--gallery", "friends", "-o", "some").status == 0
    assert (enrolled / "some" / "one.png").is_file()


def test_verify_with_somebody(enrolled: Path, fhe_face: Run) -> None:
    shot(enrolled, "photo.png", 1)
    command = ("verify", "photo.png", "--gallery", "friends", "--subject")
    same = fhe_face(*command, "person01")
    assert same.status == 0, same.err
    assert same.out.startswith("same person: cosine 0.")
    different = fhe_face(*command, "person02", "--match", "local", "--json")
    assert different.status == 4
    data = different.json()
    assert data["verdict"] == "different"
    assert data["name"] == "person02"
    assert "'nobody'" in fhe_face(*command, "nobody").refused()
    meant = fhe_face(*command, "persn01", "--json")
    assert "did you mean 'person01'" in meant.refused()
    assert meant.json()["code"] == "unknown-subject"


@pytest.mark.parametrize(
    ("words", "right"),
    [
        ("a.png", "two photos"),
        ("a.png --subject Ann", "--gallery"),
        ("a.png --gallery friends", "--subject"),
        ("a.png b.png --gallery friends --subject Ann", "leave out --gallery"),
        ("a.png b.png --match local", "leave out --match"),
        ("a.png --gallery friends --subject Ann --flip", "leave out --flip"),
        ("a.png --gallery friends --subject Ann --twice", "leave out --twice"),
        ("a.png --gallery friends --subject Ann --match loud", "--match is 'loud'"),
        ("a.png --gallery friends --subject Ann --embed loud", "--embed is 'loud'"),
    ],
)
def test_wrong_combinations(folder: Path, fhe_face: Run, words: str, right: str) -> None:
    assert right in fhe_face("verify", *words.split()).refused(2)


def test_two_galleries(enrolled: Path, fhe_face: Run) -> None:
    kit.make(enrolled / "second", names=True).close()
    assert fhe_face("enroll", "people", "--gallery", "second").status == 0
    shot(enrolled, "photo.png", 1)
    both = ("identify", "photo.png", "--gallery", "friends", "--gallery", "second")
    result = fhe_face(*both, "--fuse", "0.6,0.4")
    assert result.status == 0, result.err
    assert "match person01" in result.out
    assert fhe_face(*both).status == 0
    for wrong in ("0.6", "0.6,x", "1,-1", "1,2,3", "1,inf"):
        assert "2 numbers above 0" in fhe_face(*both, "--fuse", wrong).refused(2)
    one = ("identify", "photo.png", "--gallery", "friends", "--fuse", "1,1")
    assert "several galleries" in fhe_face(*one).refused(2)


# --- correcting ----------------------------------------------------------------------------------


def test_correcting_people(enrolled: Path, fhe_face: Run) -> None:
    photo = "people/person00/1.png"
    moved = fhe_face("gallery", "move", "friends", photo, "--to", "Ann", "--json").json()
    assert moved["new"] is True
    assert moved["subject"]["templates"] == 1
    text = fhe_face("gallery", "move", "friends", moved["moved"][0][:6], "--to", "person00").out
    assert text.startswith("1 template moved to person00, who has 2 now")
    renamed = fhe_face("gallery", "rename", "friends", "person01", "Bob")
    assert renamed.out.startswith("person01 is called Bob now")
    assert fhe_face("gallery", "show", "friends", "person01", "--json").status == 0
    merged = fhe_face("gallery", "merge", "friends", "Bob", "--into", "person02", "--json").json()
    assert merged["subject"]["templates"] == 4
    assert fhe_face("gallery", "show", "friends", "--json").json()["people"] >= 2
    wrong = ("gallery", "move", "friends", "nothing", "--to", "Bob")
    assert "nothing" in fhe_face(*wrong).refused()


def test_deleting_is_undoable_until_compact(enrolled: Path, fhe_face: Run) -> None:
    shot(enrolled, "photo.png", 1)
    look = ("identify", "photo.png", "--gallery", "friends")
    assert fhe_face(*look).status == 0
    gone = fhe_face("gallery", "delete", "friends", "person01")
    assert "fhe-face gallery undelete brings it back" in gone.out
    assert fhe_face(*look).status == 4
    assert "deleted" in fhe_face("gallery", "show", "friends", "--deleted").out
    assert "had been deleted" in fhe_face("gallery", "delete", "friends", "person01").refused()
    back = fhe_face("gallery", "undelete", "friends", "person01", "--json").json()
    assert back["undeleted"] == 1
    assert fhe_face(*look).status == 0
    assert (
        "none of it is deleted" in fhe_face("gallery", "undelete", "friends", "person01").refused()
    )
    one = fhe_face("gallery", "delete", "friends", "--template", "people/person01/0.png", "--json")
    assert one.json()["templates"] == 5
    assert "name people" in fhe_face("gallery", "delete", "friends").refused(2)
    assert "'nobody'" in fhe_face("gallery", "delete", "friends", "nobody").refused()


# --- looking after -------------------------------------------------------------------------------


def test_showing(enrolled: Path, fhe_face: Run) -> None:
    text = fhe_face("gallery", "show", "friends").out
    for name in ("person00", "person01", "person02"):
        assert name in text
    data = fhe_face("gallery", "show", "friends", "--json").json()
    assert data["people"] == 3
    assert data["templates"] == 6
    assert [one["name"] for one in data["subjects"]] == ["person00", "person01", "person02"]
    listed = fhe_face("gallery", "list", "--json").json()["galleries"]
    assert [one["gallery"] for one in listed] == ["friends"]
    assert listed[0]["subjects"] == 3
    assert fhe_face("gallery", "list", "friends", "--json").json()["galleries"] == listed
    assert "friends" in fhe_face("gallery", "list").out
    assert "no galleries" in fhe_face("gallery", "list", "people").out
    assert "nowhere" in fhe_face("gallery", "list", "nowhere").refused()


def test_compacting_asks(enrolled: Path, fhe_face: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fhe_face("gallery", "compact", "friends").status == 0, "nothing to lose"
    assert fhe_face("gallery", "delete", "friends", "person01").status == 0
    refused = fhe_face("gallery", "compact", "friends", "--json").refused(2)
    assert "2 deleted templates and 1 subject" in refused
    assert "--yes" in refused
    monkeypatch.setattr("sys.stdin", _Typed("no\n"))
    assert fhe_face("gallery", "compact", "friends").err.endswith("error: nothing was done\n")
    assert fhe_face("gallery", "undelete", "friends", "person01").status == 0
    assert fhe_face("gallery", "delete", "friends", "person01").status == 0
    monkeypatch.setattr("sys.stdin", _Typed("y\n"))
    result = fhe_face("gallery", "compact", "friends")
    assert result.status == 0, result.err
    assert "Do it? [y/N]" in result.err
    assert "'person01'" in fhe_face("gallery", "undelete", "friends", "person01").refused()
    assert fhe_face("gallery", "check", "friends").status == 0


class _Typed(io.StringIO):
    """What somebody types on a terminal."""

    def isatty(self) -> bool:
        return True


def test_copies(enrolled: Path, fhe_face: Run) -> None:
    result = fhe_face("gallery", "backup", "friends", "copy")
    assert result.status == 0, result.err
    assert "with the key" in result.out
    assert "copy" in fhe_face("gallery", "backup", "friends", "copy").refused()
    assert fhe_face("gallery", "delete", "friends", "person00").status == 0
    restored = fhe_face("gallery", "restore", "copy", "again", "--json").json()
    assert (restored["gallery"], restored["templates"], restored["subjects"]) == ("again", 6, 3)
    photo = shot(enrolled, "photo.png", 0)
    assert fhe_face("identify", photo, "--gallery", "again").status == 0
    assert "again" in fhe_face("gallery", "restore", "copy", "again").refused()
    assert fhe_face("gallery", "restore", "people", "third").refused().startswith("people: ")
    assert not (enrolled / "third").exists()


def test_another_key(enrolled: Path, fhe_face: Run) -> None:
    before = fhe_face("gallery", "show", "friends", "--json").json()["key_id"]
    assert "--yes" in fhe_face("gallery", "rekey", "friends", "--json").refused(2)
    result = fhe_face("gallery", "rekey", "friends", "--yes", "--json").json()
    assert result["key_id_before"] == before != result["key_id"]
    assert result["protected"] is False
    photo = shot(enrolled, "photo.png", 0)
    assert fhe_face("identify", photo, "--gallery", "friends").status == 0


def test_a_new_key_is_protected_as_the_old_one(enrolled: Path, fhe_face: Run) -> None:
    for name, text in (("one", "correct horse"), ("two", "battery staple")):
        Path(name).write_text(text)
        Path(name).chmod(0o600)
    rekey = ("gallery", "rekey", "friends", "--yes")
    first = fhe_face(*rekey, "--new-passphrase-file", "one", "--json")
    assert first.json()["protected"] is True
    assert fhe_face(*rekey, "--passphrase-file", "one", "--json").json()["protected"] is True
    show = ("gallery", "show", "friends", "--passphrase-file")
    assert fhe_face(*show, "one").status == 0
    changed = ("--passphrase-file", "one", "--new-passphrase-file", "two")
    assert fhe_face(*rekey, *changed).status == 0
    assert "passphrase" in fhe_face(*show, "one").refused()
    assert fhe_face(*show, "two").status == 0


def test_calibrating(enrolled: Path, fhe_face: Run) -> None:
    assert "enrol more" in fhe_face("gallery", "calibrate", "friends").refused()
    kit.people(enrolled / "more", 12, 4)
    assert fhe_face("enroll", "more", "--gallery", "friends").status == 0
    data = fhe_face("gallery", "calibrate", "friends", "--json").json()["calibration"]
    assert data["centred"] is True
    assert data["people"] == 12
    assert data["suspects"] == []
    fhe_face("gallery", "move", "friends", "more/person05/1.png", "--to", "person06")
    wrong = fhe_face("gallery", "calibrate", "friends")
    assert "Look at these" in wrong.out
    assert re.search(r"person06 +person05", wrong.out), wrong.out
    text = fhe_face("gallery", "show", "friends").out
    assert "measured on the gallery's own photos" in " ".join(text.split())


def test_exporting(enrolled: Path, fhe_face: Run) -> None:
    result = fhe_face("gallery", "export", "friends", "-o", "matrix")
    assert result.status == 0, result.err
    assert "holds face templates in the clear" in result.err
    assert np.load(enrolled / "matrix" / "embeddings.npy").shape == (6, kit.FEATURES)
    assert stat.S_IMODE((enrolled / "matrix" / "embeddings.npy").stat().st_mode) == 0o600
    assert "not empty" in fhe_face("gallery", "export", "friends", "-o", "matrix").refused()
    small = fhe_face("gallery", "export", "friends", "-o", "small", "--type", "int8", "--json")
    assert small.json()["loss"] > 0
    wrong = ("gallery", "export", "friends", "-o", "x", "--type", "int4")
    assert "float32 or int8" in fhe_face(*wrong).refused(2)


def test_checking(enrolled: Path, fhe_face: Run) -> None:
    assert fhe_face("gallery", "check", "friends").out.startswith("sound: 6 templates, 1 block")
    blocks = (enrolled / "friends" / "server" / "blocks").rglob("*")
    (block,) = (path for path in blocks if path.is_file())
    block.chmod(0o600)
    block.write_bytes(block.read_bytes()[:-1])
    result = fhe_face("gallery", "check", "friends", "--json")
    assert f"block {block.name[:12]}" in result.refused()
    assert "--repair" in result.refused()
    assert result.json()["sound"] is False
    mended = fhe_face("gallery", "check", "friends", "--repair")
    assert mended.status == 0, mended.err
    assert "mended" in mended.out
    after = fhe_face("gallery", "check", "friends", "--json")
    assert after.status == 0
    assert {one["severity"] for one in after.json()["findings"]} <= {"notice"}


# --- what every command refuses ------------------------------------------------------------------

COMMANDS = (
    "show {}",
    "add {} Ann people",
    "move {} abcdef --to Ann",
    "rename {} Ann Bob",
    "merge {} Ann --into Bob",
    "delete {} Ann",
    "undelete {} Ann",
    "check {}",
    "compact {}",
    "calibrate {}",
    "export {} -o out",
    "backup {} copy",
    "rekey {} --yes",
    "rebuild {} people --yes",
)


@pytest.mark.parametrize("words", COMMANDS)
@pytest.mark.parametrize("where", ["nowhere", "people", "letter.txt"])
def test_what_is_no_gallery(folder: Path, fhe_face: Run, words: str, where: str) -> None:
    (folder / "letter.txt").write_text("dear")
    before = sorted(folder.rglob("*"))
    line = fhe_face("gallery", *words.format(where).split()).refused()
    assert line.startswith(f"{where}: ")
    assert "gallery create" in line
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("words", COMMANDS)
def test_a_gallery_without_its_key(enrolled: Path, fhe_face: Run, words: str) -> None:
    (enrolled / "friends" / "client" / "gallery.key").unlink()
    assert (
        "gallery.key is missing" in fhe_face("gallery", *words.format("friends").split()).refused()
    )
    listed = fhe_face("gallery", "list", "--json").json()["galleries"]
    assert listed[0]["has_key"] is False
    assert listed[0]["subjects"] == 3


def test_a_gallery_of_another_network(enrolled: Path, fhe_face: Run, painted: kit.Painted) -> None:
    painted.model = "cd" * 32
    photo = shot(enrolled, "photo.png", 0)
    for command in (("enroll", "people"), ("identify", photo)):
        line = fhe_face(*command, "--gallery", "friends").refused()
        assert "cdcdcdcd" in line
        assert "abababab" in line


def test_a_key_that_others_can_read(enrolled: Path, fhe_face: Run) -> None:
    (enrolled / "friends" / "client" / "gallery.key").chmod(0o644)
    result = fhe_face("gallery", "show", "friends")
    assert "gallery.key: other users can read it (mode 0644)" in result.err


def test_names_of_any_letters(enrolled: Path, fhe_face: Run) -> None:
    photo = shot(enrolled, "new.png", 5)
    for name in ("Zoë Ångström", "李小龍", "line\nbreak \x1b[31m"):
        assert fhe_face("gallery", "rename", "friends", "person00", name).status == 0
        result = fhe_face("gallery", "show", "friends", name)
        assert result.status == 0
        assert "\x1b" not in result.out
    assert fhe_face("gallery", "rename", "friends", "person00", "").status != 0
    assert photo.exists()
