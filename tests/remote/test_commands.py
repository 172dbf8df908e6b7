"""``fhe-face remote`` against the real service; galleries in their real ring, photos drawn."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from fhe_core.matching import gallery_parameters
from fhe_core.parameters import presets
from fhe_core.secret.files import save_secret_key
from fhe_core.secret.key import SecretKey
from fhe_face.commands import remote_jobs, remote_keys
from fhe_face.demo_faces import demo_faces
from fhe_face.gallery.errors import GalleryError
from fhe_face.gallery.gallery import Gallery
from fhe_face.remote import jobs, login, waiting
from fhe_face.remote.pushing import push_keys
from tests.face.kit import Run
from tests.remote.live import Live, live
from tests.service import kit


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(tmp_path_factory.mktemp("live") / "data", gallery_parameters()) as found:
        yield found


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def token(service: Live, tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(service.token() + "\n")
    return path


@pytest.fixture
def logged_in(service: Live, token: Path, fhe_face: Run) -> None:
    assert fhe_face("remote", "login", service.url, "--token-file", token).status == 0


def test_the_token_is_tried_and_kept_private(service: Live, token: Path, fhe_face: Run) -> None:
    done = fhe_face("remote", "login", service.url, "--token-file", token, "--json")
    assert done.json()["tenant"] == "anna"
    secret = token.read_text().strip()
    assert secret not in done.out + done.err
    path = Path(done.json()["file"])
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0
    assert fhe_face("remote", "status", "--json").json()["url"] == service.url
    path.chmod(0o644)
    assert "others can read" in fhe_face("remote", "status").refused()
    assert fhe_face("remote", "logout", "--json").json()["known"]
    assert not path.exists()
    assert "not logged in" in fhe_face("remote", "status").refused()
    assert not fhe_face("remote", "logout", "--json").json()["known"]


def test_a_wrong_token_is_not_kept(service: Live, tmp_path: Path, fhe_face: Run) -> None:
    path = tmp_path / "wrong"
    path.write_text("fhe_" + "x" * 43)
    assert "HTTP 401" in fhe_face("remote", "login", service.url, "--token-file", path).refused()
    assert not login.profile_path().exists()
    path.write_text("two words\n")
    said = fhe_face("remote", "login", service.url, "--token-file", path).refused()
    assert f"what stands in {path} is no token" in said
    assert "--token-file" in fhe_face("remote", "login", service.url).refused()
    path.write_text("fhe_" + "x" * 43)
    said = fhe_face("remote", "login", "http://faces.example", "--token-file", path).refused()
    assert "in the clear" in said
    nobody = ("remote", "login", "http://127.0.0.1:9", "--token-file", path, "--profile")
    assert "64 of" in fhe_face(*nobody, "../up").refused()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"version": 9}', "[" * 9000, '{"url": 5}'])
def test_a_damaged_profile_is_told(content: str, fhe_face: Run) -> None:
    path = login.profile_path()
    path.parent.mkdir(parents=True)
    path.write_text(content)
    path.chmod(0o600)
    assert "default.json" in fhe_face("remote", "status").refused()


@pytest.mark.usefixtures("logged_in")
def test_keys_are_pushed_and_secrets_are_not(tmp_path: Path, fhe_face: Run) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    shutil.copy(kit.files().keys.path, folder / "evaluation.key")
    save_secret_key(folder / "client.key", SecretKey.generate(presets.load("lean")), {})
    first = fhe_face("remote", "push-keys", folder, "--json").json()
    assert first["id"] == kit.files().key.key_id
    assert fhe_face("remote", "push-keys", folder, "--json").json()["sent_bytes"] == 0
    said = fhe_face("remote", "push-keys", folder / "client.key").refused()
    assert "secret key" in said
    files = fhe_face("remote", "status", "--json").json()["files"]
    assert [one["id"] for one in files if one["room"] == "keys"] == [first["id"]]
    assert "nothing: they were there" in fhe_face("remote", "push-keys", folder).out


@pytest.mark.usefixtures("logged_in")
def test_jobs_are_listed(fhe_face: Run) -> None:
    assert fhe_face("remote", "jobs", "--json").json() == {"jobs": []}
    assert "no jobs" in fhe_face("remote", "jobs").out
    assert "HTTP 404" in fhe_face("remote", "jobs", "ab" * 16).refused()
    assert "no id" in fhe_face("remote", "jobs", "../../x").refused()
    assert "give its id" in fhe_face("remote", "jobs", "--cancel").refused(2)
    assert "together" in fhe_face("remote", "jobs", "a", "--sent", "x.ct").refused(2)


@pytest.fixture
def own_keys(service: Live, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The client.key of the tiny ring, which commands load as the program does real ones."""
    monkeypatch.setattr(remote_keys, "client_of", lambda *_: service.client())
    monkeypatch.setattr(remote_jobs, "client_of", lambda *_: service.client())
    push_keys(service.connect(), kit.files().keys.path)
    save_secret_key(tmp_path / "client.key", kit.files().key, {})
    return tmp_path / "client.key"


@pytest.mark.usefixtures("logged_in")
def test_faces_are_embedded(service: Live, own_keys: Path, tmp_path: Path, fhe_face: Run) -> None:
    target = tmp_path / "face.emb.ct"
    asked = ("remote", "embed", kit.files().faces.path, "--key", own_keys, "-o", target)
    done = fhe_face(*asked, "--json").json()
    assert done["embedding_bytes"] == target.stat().st_size > 0
    assert done["key_id"] == kit.files().key.key_id
    others = fhe_face(*asked[:2], kit.files().keys.path, *asked[3:])
    assert "ciphertext" in others.refused()
    assert "secret-key" in fhe_face(*asked[:4], kit.files().keys.path, *asked[5:]).refused()


@pytest.mark.usefixtures("logged_in")
def test_an_interruption_leaves_the_job(
    service: Live, own_keys: Path, tmp_path: Path, fhe_face: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while the server computes: the job goes on, and the same command fetches it."""
    target = tmp_path / "face.emb.ct"
    asked = ("remote", "embed", kit.files().faces.path, "--key", own_keys, "-o", target)

    def interrupt(job: jobs.Job, _stage: object) -> None:
        raise KeyboardInterrupt

    service.working.clear()
    monkeypatch.setattr(waiting, "tell", interrupt)
    left = fhe_face(*asked)
    assert left.status == 130
    (job,) = [one for one in jobs.every(service.connect()) if not one.state.ended]
    assert f"interrupted; job {job.id} goes on at the server: the same command again" in left.err
    cancelled = fhe_face(*asked, "--cancel")
    assert cancelled.status == 130
    assert jobs.find(service.connect(), str(job.id)).state is jobs.State.CANCELLED
    assert fhe_face(*asked).status == 130
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(remote_keys, "client_of", lambda *_: service.client())
    service.working.set()
    assert fhe_face(*asked).status == 0
    assert target.exists()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two people who are drawn, aligned, in a folder each."""
    for name, pixels in zip(("Ann", "Bob"), demo_faces(64), strict=True):
        (tmp_path / "people" / name).mkdir(parents=True)
        Image.fromarray(pixels).save(tmp_path / "people" / name / "1.png")
    return tmp_path / "people"


@pytest.mark.usefixtures("logged_in")
def test_people_are_enrolled_and_found(tmp_path: Path, photos: Path, fhe_face: Run) -> None:
    friends = tmp_path / "friends"
    made = fhe_face("remote", "gallery", "create", friends, "--names", "--aligned", "--json").json()
    assert made["gallery"] == str(friends)
    assert not (friends / "server").exists()
    done = fhe_face("remote", "enroll", photos, "--gallery", friends, "--json").json()
    assert len(done["enrolled"]) == 2
    face = photos / "Ann" / "1.png"
    found = fhe_face("remote", "identify", face, "--gallery", friends, "--json")
    assert found.status == 0
    assert found.json()["photos"][0]["faces"][0]["name"] == "Ann"
    cosines = []
    for name in ("Ann", "Bob"):
        asked = ("--gallery", friends, "--subject", name, "--json")
        cosines.append(fhe_face("remote", "verify", face, *asked).json()["cosine"])
    assert cosines[0] > 0.999 > cosines[1]  # the bundled network takes drawn faces for alike
    listed = fhe_face("remote", "gallery", "list", "--json").json()["galleries"]
    assert [(one["name"], one["subjects"]) for one in listed] == [("friends", 2)]
    checked = fhe_face("remote", "gallery", "check", friends, "--json").json()
    assert checked["checked_templates"] == 2
    assert len(checked["digest"]) == 64
    # The commands of galleries take it, too.
    assert fhe_face("gallery", "rename", friends, "Ann", "Anna").status == 0
    assert "Anna" in fhe_face("remote", "gallery", "show", friends).out
    assert fhe_face("gallery", "list", tmp_path, "--json").json()["galleries"][0]["subjects"] == 2
    assert fhe_face("gallery", "delete", friends, "Bob").status == 0
    made = fhe_face("remote", "gallery", "backup", friends, tmp_path / "copy", "--json").json()
    assert made["templates"] == 1
    old = made["key_id"]
    assert "--yes" in fhe_face("remote", "gallery", "rekey", friends).refused(2)
    done = fhe_face("gallery", "rekey", friends, "--yes", "--json").json()
    assert (done["key_id_before"], done["key_id"] != old) == (old, True)
    done = fhe_face("remote", "gallery", "rebuild", friends, photos, "--yes", "--json").json()
    assert done["embedded"] == 1
    again = ("remote", "gallery", "restore", tmp_path / "copy")
    assert "already" in fhe_face(*again, tmp_path / "a", "--name", "friends").refused()
    assert fhe_face(*again, tmp_path / "again", "--json").json()["templates"] == 1
    assert fhe_face("remote", "identify", face, "--gallery", tmp_path / "again").status == 0
    assert "remote gallery create" in fhe_face(*again[:2], "rebuild", photos, photos).refused()
    assert "is no backup" in fhe_face(*again[:3], friends, tmp_path / "b").refused()
    assert fhe_face("remote", "gallery", "remove", tmp_path / "again", "--yes").status == 0
    assert fhe_face("remote", "gallery", "accept", friends, "--yes", "--json").status == 0
    assert "--yes" in fhe_face("remote", "gallery", "remove", friends).refused(2)
    assert fhe_face("remote", "gallery", "remove", friends, "--yes").status == 0
    assert fhe_face("remote", "gallery", "list", "--json").json()["galleries"] == []
    for command in ("check", "show", "accept --yes", "remove --yes", "rekey --yes"):
        said = fhe_face("remote", "gallery", *command.split(), friends).refused()
        assert "HTTP 404" in said
        assert "friends" in said, command


@pytest.mark.usefixtures("logged_in")
def test_what_makes_no_sense_is_told(tmp_path: Path, photos: Path, fhe_face: Run) -> None:
    face = photos / "Ann" / "1.png"
    assert "--keys" in fhe_face("remote", "verify", face, face).refused(2)
    assert "--subject" in fhe_face("remote", "verify", face).refused(2)
    said = fhe_face("remote", "verify", face, face, "--subject", "Ann").refused(2)
    assert "second photo" in said
    bad = tmp_path / "a b"
    assert "--name" in fhe_face("remote", "gallery", "create", bad).refused()
    assert not bad.exists()


TAKE_A_GALLERY = (
    "enroll PHOTO --gallery",
    "identify PHOTO --gallery",
    "verify PHOTO --subject Ann --gallery",
    "gallery show",
    "gallery check",
    "gallery accept --yes",
    "gallery remove --yes",
    "gallery backup",
    "gallery rekey --yes",
    "gallery rebuild",
)


@pytest.mark.parametrize("command", TAKE_A_GALLERY)
def test_a_folder_that_is_of_no_gallery_at_a_server(
    command: str, tmp_path: Path, fhe_face: Run
) -> None:
    """The hint is about servers; a gallery on this machine is not taken for one at a server."""
    face = tmp_path / "face.png"
    Image.fromarray(demo_faces(64)[0]).save(face)
    more = {"gallery backup": [tmp_path / "copy"], "gallery rebuild": [face]}.get(command, [])
    asked = ("remote", *(face if part == "PHOTO" else part for part in command.split()))
    said = fhe_face(*asked, tmp_path / "none", *more).refused()
    assert said.endswith("(remote.json is missing): fhe-face remote gallery create")
    (tmp_path / "here" / "server").mkdir(parents=True)
    (tmp_path / "here" / "server" / "gallery.evaluation.key").touch()
    said = fhe_face(*asked, tmp_path / "here", *more).refused()
    assert "here: is a gallery on this machine, at no server" in said
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("there", ["gallery", "remote gallery"])
def test_what_is_no_backup_is_told_as_such(there: str, tmp_path: Path, fhe_face: Run) -> None:
    said = fhe_face(*there.split(), "restore", tmp_path / "none", tmp_path / "new").refused()
    assert "none: is no backup of a gallery (server is missing)" in said
    (tmp_path / "old" / "server").mkdir(parents=True)
    said = fhe_face(*there.split(), "restore", tmp_path / "old", tmp_path / "new").refused()
    assert "old: is no backup of a gallery (client/gallery.key is missing)" in said
    assert not (tmp_path / "new").exists()


def test_a_gallery_at_a_server_is_none_on_this_machine(tmp_path: Path, fhe_face: Run) -> None:
    (tmp_path / "remote.json").write_text("{}")
    assert "remote.json: is damaged" in fhe_face("gallery", "show", tmp_path).refused()
    with pytest.raises(GalleryError, match="is of a gallery at a server"):
        Gallery.open(tmp_path)


def test_nothing_of_the_network_is_loaded_for_help() -> None:
    script = (
        "import sys\nfrom fhe_face.cli import main\n"
        "try:\n    main(['remote', '--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'httpx', 'ssl', 'numpy', 'sqlalchemy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
