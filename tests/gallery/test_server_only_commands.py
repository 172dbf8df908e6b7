"""``fhe-face gallery server-only``: what the commands say and how they end, on small rings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fhe_core.formats.ciphertexts import save_bundle
from fhe_face.commands import gallery_opening, gallery_switching
from fhe_face.gallery.gallery import Gallery
from fhe_face.keyfile import SWITCH_KEY
from fhe_face.server.crossing import CrossingServer
from tests.core import tiny
from tests.face.conftest import fhe_face
from tests.face.kit import Run
from tests.gallery.crossing_kit import RING, Both, both, crossed, empty, full, results, world

__all__ = ["both", "crossed", "empty", "fhe_face", "full", "results", "world"]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands open galleries and servers of the small rings."""
    open_, load = Gallery.open, CrossingServer.load

    def opened(folder: Any, **options: Any) -> Gallery:
        gallery = open_(folder, **(options | {"parameters": RING}))
        gallery.opened.engines = tiny.load
        return gallery

    def loaded(folder: Any, **options: Any) -> CrossingServer:
        return load(folder, **(options | {"parameters": RING, "engines": tiny.load}))

    monkeypatch.setattr(Gallery, "open", staticmethod(opened))
    monkeypatch.setattr(CrossingServer, "load", staticmethod(loaded))
    monkeypatch.setattr(gallery_opening, "search_apart", lambda _gallery: None)


@pytest.fixture
def files(crossed: Both, tmp_path: Path) -> list[str]:
    """Results of three faces, each in a file of its own."""
    crossed.gallery.close()
    names = []
    for image in range(3):
        names.append(str(tmp_path / f"{image}.ct"))
        save_bundle(names[-1], crossed.result(image))
    return names


def asked(fhe_face: Run, *arguments: str) -> dict[str, Any]:
    """What a command says as JSON."""
    return fhe_face(*arguments, "--json").json()


def test_from_a_result_to_an_answer(
    crossed: Both, files: list[str], tmp_path: Path, fhe_face: Run
) -> None:
    g, server, out = str(crossed.folder), str(crossed.server), str(tmp_path / "out.findings")
    only = ("gallery", "server-only")
    fhe_face(*only, "enroll", server, files[0], "--subject-id", "badge-7")
    told = asked(fhe_face, *only, "waiting", g)
    (waits,) = told["waiting"]
    assert (waits["subject"], waits["healthy"], waits["reason"]) == ("badge-7", True, None)
    found = asked(fhe_face, *only, "search", server, files[0], "-o", out)
    assert (found["waiting"], found["blocks"]) == (1, 1)
    assert found["bytes"] == Path(out).stat().st_size
    # Nobody is known yet, but the face that waits is this one.
    said = asked(fhe_face, *only, "answer", g, out, "--scores")
    assert said["waiting"][0]["subject"] == "badge-7"
    assert abs(said["waiting"][0]["score"] - 1) < 1e-2
    fhe_face(*only, "confirm", g, waits["face"][:8], "--subject", "Eve")
    fhe_face(*only, "search", server, files[0], "-o", out)
    said = asked(fhe_face, *only, "answer", g, out)
    assert said["answer"] == "match"
    assert said["candidates"][0]["name"] == "Eve"
    assert "score" not in said["candidates"][0]
    assert "no face waits" in fhe_face(*only, "waiting", g).out
    # Of another ring than galleries of this version have.
    assert "other parameters" in fhe_face("info", crossed.server / SWITCH_KEY).refused()


def test_faces_that_wait_are_dropped(crossed: Both, files: list[str], fhe_face: Run) -> None:
    only, g = ("gallery", "server-only"), str(crossed.folder)
    for file in files[:2]:
        fhe_face(*only, "enroll", str(crossed.server), file, "--subject-id", "x")
    assert asked(fhe_face, *only, "drop", g, "--all")["dropped"] == 2
    assert asked(fhe_face, *only, "waiting", g)["waiting"] == []
    assert asked(fhe_face, *only, "key", g, "--remove")["removed"] is True
    failed = fhe_face(*only, "search", str(crossed.server), files[0], "-o", "x")
    assert "only the gallery's owner can let a server" in failed.refused()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("key", "G"), "either --key with client.key, or --remove"),
        (("key", "G", "--remove", "--key", "K"), "either --key with client.key, or --remove"),
        (("enroll", "S", "R", "--subject-id", "a b"), "--subject-id is 'a b'"),
        (("confirm", "G"), "name faces that wait, or give --all"),
        (("drop", "G", "abcd", "--all"), "name faces that wait, or give --all"),
    ],
)
def test_what_was_not_asked_for_is_said(
    arguments: tuple[str, ...], text: str, crossed: Both, files: list[str], fhe_face: Run
) -> None:
    named = {"G": str(crossed.folder), "S": str(crossed.server), "R": files[0]}
    given = [named.get(one, one) for one in arguments]
    assert text in fhe_face("gallery", "server-only", *given).refused(2)


def test_another_file_than_findings_is_refused(
    crossed: Both, files: list[str], fhe_face: Run
) -> None:
    only = ("gallery", "server-only")
    failed = fhe_face(*only, "answer", str(crossed.folder), files[0])
    assert "ciphertext" in failed.refused()
    failed = fhe_face(*only, "search", str(crossed.server), files[0], "-o", files[0])
    assert "read by this command" in failed.refused(2)


def test_the_key_is_made_of_both_secrets(
    both: Both, tmp_path: Path, fhe_face: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks first, and says what such a key is worth."""
    both.gallery.close()
    client = tmp_path / "client.key"
    client.write_bytes(b"")
    monkeypatch.setattr(gallery_switching, "read_header", lambda *_, **__: None)
    monkeypatch.setattr(gallery_switching, "engine_for", lambda _: both.world.engine)
    monkeypatch.setattr(gallery_switching, "load_secret_key", lambda *_: both.world.key)
    monkeypatch.setattr(gallery_switching, "_network", lambda *_: "ab" * 16)
    arguments = ("gallery", "server-only", "key", str(both.folder), "--key", str(client))
    assert "give --yes" in fhe_face(*arguments).refused(2)
    assert not (both.server / SWITCH_KEY).exists()
    told = asked(fhe_face, *arguments, "--yes")
    assert told["bytes"] == (both.server / SWITCH_KEY).stat().st_size
    assert (told["engine_key"], told["parts"]) == (both.world.key.key_id, 32)
    assert "as if it were client.key" in fhe_face(*arguments, "--yes").err
