"""A gallery that is searched by a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fhe_face.client.ledger import FileLedger
from fhe_face.gallery.decisions import Answer
from fhe_face.gallery.gallery import Gallery
from fhe_face.local.process import ServerError
from fhe_face.local.searching import SearchProcess
from tests.gallery.kit import face, make, people, photo

ROOT = Path(__file__).resolve().parents[2]
RUN = f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.argv = ['x']; import runpy; " + (
    "runpy.run_module('tests.gallery.search_process', run_name='__main__')"
)
COMMAND = (sys.executable, "-c", RUN)


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    found = make(tmp_path / "g", names=True)
    found.enroll(people(tmp_path / "photos", 4, 2))
    return found


def apart(gallery: Gallery, command: tuple[str, ...] = COMMAND) -> list[SearchProcess]:
    made: list[SearchProcess] = []

    def make_one(opened: object) -> SearchProcess:
        made.append(SearchProcess(gallery.opened.folder.server, 1, command))
        return made[-1]

    gallery.search_by(make_one)
    return made


def test_one_process_answers_all_searches(gallery: Gallery) -> None:
    before = gallery.identify(photo(face(2, 7)))[0]
    made = apart(gallery)
    for person in (2, 1):
        (found,) = gallery.identify(photo(face(person, 7)))
        assert found.answer is Answer.MATCH
        assert found.best is not None
        assert found.best.name == f"person{person:02}"
    (again,) = gallery.identify(photo(face(2, 7)))
    assert before.best is not None
    assert again.best is not None
    assert abs(again.best.score - before.best.score) < 1e-3
    (stranger,) = gallery.identify(photo(face(20, 1)))
    assert stranger.answer is Answer.UNKNOWN
    assert gallery.verify(photo(face(3, 9)), "person03").answer is Answer.MATCH
    assert len(made) == 1
    process = made[0]._process._process
    gallery.delete(["person02"])  # the process sees changes
    (gone,) = gallery.identify(photo(face(2, 7)))
    assert gone.answer is Answer.UNKNOWN
    assert process is not None
    assert process.poll() is None
    gallery.close()
    assert process.poll() is not None


def test_a_gallery_without_blocks(tmp_path: Path) -> None:
    with make(tmp_path / "empty", names=True) as empty:
        apart(empty)
        (nobody,) = empty.identify(photo(face(2, 7)))
        assert nobody.answer is Answer.UNKNOWN


def test_its_answers_are_not_counted(gallery: Gallery) -> None:
    """Nobody else has chosen them: as in this process."""
    apart(gallery)
    gallery.identify(photo(face(2, 7)))
    ledger = gallery._counted.ledger
    assert isinstance(ledger, FileLedger)
    assert ledger.answers == 0
    gallery.close()


def test_it_is_told_of_the_servers_folder_alone(gallery: Gallery) -> None:
    server = gallery.opened.folder.server
    process = SearchProcess(server, 1)
    assert process._process.first == {"gallery": str(server.resolve()), "threads": 1}
    gallery.close()


def test_a_new_key_gets_a_new_process(gallery: Gallery) -> None:
    made = apart(gallery)
    gallery.identify(photo(face(2, 7)))
    gallery.rekey()
    (found,) = gallery.identify(photo(face(2, 7)))
    assert found.answer is Answer.MATCH
    assert len(made) == 2
    gallery.close()


def test_a_process_that_cannot_load(gallery: Gallery) -> None:
    made = apart(gallery, (sys.executable, "-c", "import sys; sys.exit(3)"))
    with pytest.raises(ServerError, match="status 3"):
        gallery.identify(photo(face(2, 7)))
    gallery.opened.folder.evaluation_key.unlink()
    made = apart(gallery)
    with pytest.raises(ServerError, match="the server says"):
        gallery.identify(photo(face(2, 7)))
    assert not made[0]._process.running
    gallery.close()


def test_it_loads_nothing_that_decrypts() -> None:
    code = "import sys, fhe_face.server.standing_search; print([m for m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout
    assert "fhe_face.server.searching" in loaded
    for room in ("fhe_core.secret", "fhe_face.client", "fhe_face.gallery"):
        assert f"'{room}" not in loaded
