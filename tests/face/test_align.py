"""``fhe-face align`` and ``fhe-face encrypt`` with photos, as a person runs them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fhe_core.formats.ciphertexts import load_bundle, save_bundle
from fhe_face.models.faces import (
    DETECTOR_SHA256,
    DETECTOR_VARIABLE,
    Aligner,
    DetectorError,
    Preparation,
)
from fhe_face.photos.images import aligned_crop, load_photo, to_unit
from fhe_face.photos.people import find_photos
from fhe_face.photos.preparation import prepare
from tests.face.kit import Kit, Run


@pytest.fixture(autouse=True)
def _detector() -> None:
    try:
        Aligner()
    except DetectorError as error:
        pytest.skip(str(error))


@pytest.fixture
def photo(shared: Path, tmp_path: Path) -> Path:
    photos = sorted((shared / "faces" / "johns").glob("*/*.jpg"))
    if not photos:
        pytest.skip("no test data: faces/johns is missing")
    path = tmp_path / "photos" / "a.jpg"
    path.parent.mkdir()
    path.write_bytes(photos[0].read_bytes())
    return path


def two_faces(photo: Path) -> Path:
    scene = Image.new("RGB", (500, 300), (90, 90, 90))
    with Image.open(photo) as face:
        scene.paste(face, (20, 60))
        scene.paste(face.resize((120, 120)), (330, 90))
    path = photo.parent / "two.png"
    scene.save(path)
    return path


def contents(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_align(fhe_face: Run, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    result = fhe_face("align", photo, two_faces(photo), "-o", out, "--json")
    assert result.status == 0
    answer = result.json()
    assert "two.png: several faces found; the largest was taken" in result.err
    assert contents(out) == {"a.png", "two.png", "contact-sheet.png", "manifest.json"}
    written = json.loads((out / "manifest.json").read_text())
    assert {key: answer[key] for key in written} == written
    assert written["preparation"] == Preparation.aligned(64, DETECTOR_SHA256).describe()
    one, two = written["images"]
    assert (one["faces"], two["faces"]) == (1, 2)
    assert one["crops"][0]["file"] == "a.png"
    assert two["crops"][0]["flags"] == ["several-faces"]
    assert np.shape(one["crops"][0]["landmarks"]) == (5, 2)
    # A crop is what encrypting the photo would have used, and says so.
    crop, direct = prepare(out / "a.png"), prepare(photo)
    assert np.array_equal(crop.unit, direct.unit)
    assert crop.preparation == direct.preparation
    with Image.open(out / "contact-sheet.png") as sheet:
        assert sheet.width > 500
        assert len(np.unique(np.array(sheet))) > 50


def test_align_for_people(fhe_face: Run, photo: Path, tmp_path: Path) -> None:
    result = fhe_face("align", photo, "-o", tmp_path / "out", "--size", "128")
    assert result.status == 0
    for text in ("a.png", "1 of 1", f"look at {tmp_path / 'out' / 'contact-sheet.png'}"):
        assert text in result.out
    with Image.open(tmp_path / "out" / "a.png") as crop:
        assert crop.size == (128, 128)


def test_failures_are_told_and_the_others_done(fhe_face: Run, photo: Path, tmp_path: Path) -> None:
    broken, empty = photo.parent / "broken.jpg", photo.parent / "empty.png"
    broken.write_bytes(photo.read_bytes()[:2000])
    Image.new("RGB", (90, 80)).save(empty)
    files = (broken, photo, empty, photo.parent / "none.png")
    result = fhe_face("align", *files, "-o", tmp_path / "out", "--json")
    line = result.refused()
    answer: dict[str, Any] = result.json()
    assert line == answer["error"]
    assert "3 of 4 images failed" in line
    for text in ("broken.jpg: truncated", "empty.png: no face found", "none.png: no such file"):
        assert text in line
    assert contents(tmp_path / "out") == {"a.png", "contact-sheet.png", "manifest.json"}
    assert [bool(entry["crops"]) for entry in answer["images"]] == [False, True, False, False]
    shown = fhe_face("align", *files, "-o", tmp_path / "again")
    assert shown.status == 1
    assert "no face found" in shown.out


def test_names_never_collide(fhe_face: Run, photo: Path, tmp_path: Path) -> None:
    names = ("x/a.jpg", "y/a.jpg", "A.jpg", "contact-sheet.jpg", "manifest.jpg", ".hidden.jpg")
    more = ("long" * 50 + ".jpg", "a~2.jpg")
    files = [tmp_path / "in" / name for name in (*names, *more)]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(photo.read_bytes())
    out = tmp_path / "out"
    answer = fhe_face("align", *files, files[0], "-o", out, "--json").json()
    crops = [entry["crops"][0]["file"] for entry in answer["images"]]
    assert len({crop.casefold() for crop in crops}) == len(files) + 1
    assert contents(out) == {*crops, "contact-sheet.png", "manifest.json"}
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert "is not empty" in fhe_face("align", photo, "-o", out).refused()
    assert "is a file" in fhe_face("align", photo, "-o", photo).refused()
    assert before == {path.name: path.read_bytes() for path in out.iterdir()}


def test_all_faces(fhe_face: Run, photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    answer = fhe_face("align", two_faces(photo), "-o", out, "--all-faces", "--json").json()
    crops = answer["images"][0]["crops"]
    assert [crop["file"] for crop in crops] == ["two-face1.png", "two-face2.png"]
    assert {crop["file"] for crop in crops} < contents(out)
    assert answer["images"][0]["warnings"] == []


def test_many_pages(
    fhe_face: Run, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fhe_face.photos.contact_sheet.ROWS", 1)
    answer = fhe_face("align", *[photo] * 7, "-o", tmp_path / "out", "--json").json()
    sheets = answer["contact_sheets"]
    assert sheets == ["contact-sheet.png", "contact-sheet-2.png", "contact-sheet-3.png"]
    assert set(sheets) < contents(tmp_path / "out")


def test_usage_and_detector_errors(
    fhe_face: Run, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (
        "one of 64, 96, 128"
        in fhe_face("align", photo, "-o", tmp_path / "out", "--size", "80").refused()
    )
    monkeypatch.setenv(DETECTOR_VARIABLE, str(tmp_path / "none.onnx"))
    line = fhe_face("align", photo, "-o", tmp_path / "out").refused()
    assert "none.onnx: the detector cannot be read" in line
    assert not (tmp_path / "out").exists()


def test_encrypt_a_photo(fhe_face: Run, kit: Kit, photo: Path, tmp_path: Path) -> None:
    target = tmp_path / "face.ct"
    arguments = ("encrypt", "--key", kit.client_key, "-o", target)
    result = fhe_face(*arguments, two_faces(photo), "--json")
    answer = result.json()
    assert result.err.count("warning: ") == 1
    assert "2 faces found; the largest was taken (--face N takes another)" in result.err
    (one,) = answer["faces"]
    assert (one["prepared"], one["fallback"], one["face"]) == ("aligned", False, 1)
    how = load_bundle(target, "image").facts["preparation"]
    assert how == answer["preparation"] == Preparation.aligned(64, DETECTOR_SHA256).describe()
    assert "face 2 of 2" in fhe_face(*arguments, two_faces(photo), "--face", 2).out
    empty = tmp_path / "empty.png"
    Image.new("RGB", (90, 80)).save(empty)
    line = fhe_face(*arguments, empty).refused()
    assert "no face found" in line
    assert "--whole" in line
    result = fhe_face(*arguments, empty, "--whole", "--json")
    assert "warning: " in result.err
    assert "no face found" in result.err
    assert result.json()["faces"][0]["fallback"] is True
    assert load_bundle(target, "image").facts["preparation"]["fallback"] is True
    line = fhe_face(*arguments, photo, "--face", 1, "--resize").refused(2)
    assert "leave out --face or --resize" in line
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(photo.read_bytes())
    assert len(fhe_face(*arguments, folder, "--json").json()["faces"]) == 2


def test_an_aligned_crop_of_another_size(
    fhe_face: Run, kit: Kit, photo: Path, tmp_path: Path
) -> None:
    crop = tmp_path / "crops" / "a.png"
    assert fhe_face("align", photo, "-o", crop.parent, "--size", "128").status == 0
    arguments = ("encrypt", "--key", kit.client_key, "-o", tmp_path / "face.ct", crop)
    assert "--aligned (in Python aligned=True) takes it as it is" in fhe_face(*arguments).err
    result = fhe_face(*arguments, "--aligned", "--json")
    assert result.err == f"replaced {tmp_path / 'face.ct'}\n"
    assert result.json()["faces"][0]["prepared"] == "as-given"
    expected = aligned_crop(load_photo(crop), 64, crop)
    assert np.array_equal(prepare(crop, aligned=True).unit, to_unit(expected))
    wide = tmp_path / "wide.png"
    Image.new("RGB", (112, 96)).save(wide)
    assert "an aligned crop is square" in fhe_face(*arguments[:-1], wide, "--aligned").refused()
    assert "leave out" in fhe_face(*arguments, "--aligned", "--face", 1).refused(2)


def test_align_a_folder(fhe_face: Run, photo: Path, tmp_path: Path) -> None:
    people = tmp_path / "people"
    for name in ("anna/1.jpg", "bob/1.jfif", "bob/2.jpe", "bob/.hidden.jpg"):
        (people / name).parent.mkdir(parents=True, exist_ok=True)
        (people / name).write_bytes(photo.read_bytes())
    (people / "anna" / "notes.txt").write_text("nothing")
    result = fhe_face("align", people, "-o", tmp_path / "out", "--json")
    assert "1 files in the folders are no pictures" in result.err
    crops = [entry["crops"][0]["file"] for entry in result.json()["images"]]
    assert crops == ["anna/1.png", "bob/1.png", "bob/2.png"]
    found = find_photos(tmp_path / "out")
    assert [str(one) for one in found.photos] == crops
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "a folder without pictures" in fhe_face("align", empty, "-o", tmp_path / "b").refused()
    assert not (tmp_path / "b").exists()


def test_a_failed_align_leaves_nothing(fhe_face: Run, photo: Path, tmp_path: Path) -> None:
    empty, out = photo.parent / "empty.png", tmp_path / "out"
    Image.new("RGB", (90, 80)).save(empty)
    assert "no face found" in fhe_face("align", empty, "-o", out).refused()
    assert not out.exists()
    out.mkdir()
    assert "no face found" in fhe_face("align", empty, "-o", out).refused()
    assert contents(out) == set()
    assert fhe_face("align", photo, empty, "-o", out).status == 1
    line = fhe_face("align", photo, "-o", out).refused()
    assert "--force replaces what an earlier align wrote" in line
    assert fhe_face("align", two_faces(photo), "-o", out, "--force").status == 0
    assert contents(out) == {"two.png", "contact-sheet.png", "manifest.json"}
    whole = fhe_face("align", empty, "-o", tmp_path / "whole", "--whole", "--json")
    assert whole.json()["images"][0]["crops"][0]["flags"] == ["no-face"]
    assert prepare(tmp_path / "whole" / "empty.png").preparation == Preparation.letterboxed(64)


@pytest.mark.parametrize("file", ["../mine.png", "mine.txt", "/mine.png"])
def test_force_removes_only_crops(fhe_face: Run, photo: Path, tmp_path: Path, file: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    named = out / file if not file.startswith("/") else tmp_path / "mine.png"
    named.write_text("mine")
    claimed = str(named) if file.startswith("/") else file
    manifest = {"images": [{"crops": [{"file": claimed}]}], "contact_sheets": []}
    (out / "manifest.json").write_text(json.dumps(manifest))
    assert "is not empty" in fhe_face("align", photo, "-o", out, "--force").refused()
    assert named.read_text() == "mine"


def test_faces_prepared_differently_do_not_match(fhe_face: Run, kit: Kit, tmp_path: Path) -> None:
    plain = load_bundle(kit.embedding_ct, "embedding")
    files: list[Path] = []
    for how in (Preparation.aligned(64, DETECTOR_SHA256), Preparation.letterboxed(64)):
        file = tmp_path / f"{len(files)}.ct"
        save_bundle(file, replace(plain, facts={**plain.facts, "preparation": how.describe()}))
        files.append(file)
    arguments = ("match", "--keys", kit.evaluation_key, "-o", tmp_path / "score.ct")
    line = fhe_face(*arguments, *files, "--json").refused()
    for text in ("prepared differently", "fallback False and True", "template 'arcface-112' and"):
        assert text in line
    line = fhe_face(*arguments, files[0], kit.embedding_ct).refused()
    assert "the second embedding does not say" in line
    assert not (tmp_path / "score.ct").exists()
