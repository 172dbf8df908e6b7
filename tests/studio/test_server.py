"""The studio through a server on the network: a real service on the tiny ring, over a socket."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fhe_core.secret.files import save_evaluation_keys
from fhe_core.secret.key import SecretKey
from fhe_face import cli
from fhe_face.client.client import FaceClient
from fhe_face.client.embedding import Embedded, Embedder
from fhe_face.photos.preparation import PreparedFace
from fhe_face.remote.errors import RemoteError
from fhe_face.remote.resources import Room, every
from fhe_face.studio import network, remote
from fhe_face.studio.comparing import Comparing
from fhe_face.studio.drawn import PEOPLE, Look, portrait
from fhe_face.studio.jobs import Job
from fhe_face.studio.network import Wanted
from fhe_face.studio.photos import Looks
from fhe_face.studio.pictures import Pictures
from fhe_face.studio.progress import Cancelled, Side
from fhe_face.studio.readiness import Readiness
from fhe_face.studio.remote import RemoteEngine
from tests.core.tiny import World
from tests.remote.live import Live, live
from tests.service import kit as services
from tests.studio.kit import SIZE, TinyEngine, _small, png, running, thresholds
from tests.studio.visitor import Visitor


class SmallClient(FaceClient):
    """Whose faces are a quarter of real ones, as the tiny network's are."""

    def embed(self, faces: Any, server: Embedder, **options: Any) -> Embedded:
        return super().embed([_small(face) for face in faces], server, **options)


@dataclass
class Clear:
    """The tiny network in the clear."""

    engine: TinyEngine

    def embed(self, faces: Sequence[PreparedFace]) -> list[Any]:
        return self.engine.in_the_clear(faces)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with live(tmp_path_factory.mktemp("live") / "data") as found:
        yield found


@pytest.fixture
def through(
    service: Live, small_world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[RemoteEngine]:
    """The engine as it is, around the tiny network and ring."""

    def fresh(engine: Any, folder: Path, *_: Any) -> FaceClient:
        key = SecretKey.generate(services.PARAMETERS)
        save_evaluation_keys(folder / "evaluation.key", key, engine.keys(), engine.facts())
        return SmallClient(key, engine)

    checkpoint = SimpleNamespace(tensors_sha256="cd" * 32, input_size=SIZE, path=tmp_path)
    monkeypatch.setattr(network, "load", lambda _file: checkpoint)
    monkeypatch.setattr(network, "caution", lambda _checkpoint: None)
    monkeypatch.setattr(network, "thresholds_of", lambda _checkpoint: thresholds())
    monkeypatch.setattr(network, "_circuits", lambda *_: services.engine())
    monkeypatch.setattr(network, "LocalEmbedder", lambda *_: Clear(TinyEngine(small_world)))
    monkeypatch.setattr(remote, "fresh_client", fresh)
    monkeypatch.setattr(remote, "network_of", lambda _checkpoint: services.NETWORK)
    wanted = Wanted(Path("bundled"), None, None, 1, lambda _text: None)
    engine = RemoteEngine(wanted, service.connect())
    yield engine
    engine.close()


def looks() -> list[Any]:
    one, *_ = PEOPLE.values()
    found = Looks(SIZE, Pictures())
    return [found.of(png(portrait(one, Look())), "drawn") for _ in range(2)]


def test_two_photos_are_compared(service: Live, through: RemoteEngine) -> None:
    job = Job("compare")
    answer = Comparing(through, Readiness(through), Pictures()).run(job, looks(), encrypted=True)
    assert answer.verdict == "same"
    steps = [(step.side, step.what) for step in job.progress.steps()]
    for wanted in (
        (Side.CLIENT, "encrypting"),
        (Side.CLIENT, "sending faces"),
        (Side.SERVER, "waiting for the server"),
        (Side.CLIENT, "decrypting"),
    ):
        assert wanted in steps
    assert any(side is Side.SERVER and "at the server" in what for side, what in steps)
    facts = {fact.name: fact.value for fact in answer.facts}
    assert facts["Sent to the server"] != "0 B"
    assert float(facts["Precision"].split()[0]) > 4
    assert not [
        one for room in (Room.FACES, Room.EMBEDDINGS) for one in every(service.connect(), room)
    ]


def test_keys_are_sent_once_and_removed_at_the_end(service: Live, through: RemoteEngine) -> None:
    told: list[str] = []

    def tell(_side: Side, what: str, _done: int, _total: int) -> None:
        told.append(what)

    through.prepare(tell)
    assert "sending keys" in told
    kept = [one.id for one in every(service.connect(), Room.KEYS)]
    told.clear()
    through.prepare(tell)
    assert told == []
    through.close()
    assert len(kept) - len(list(every(service.connect(), Room.KEYS))) == 1


def test_giving_up_cancels_the_job(service: Live, through: RemoteEngine) -> None:
    through.prepare(lambda *_: None)
    faces = [look.face for look in looks()]

    def tell(side: Side, _what: str, _done: int, _total: int) -> None:
        if side is Side.SERVER:
            raise Cancelled("given up")

    service.working.clear()
    try:
        with pytest.raises(Cancelled):
            through.encrypted(faces, tell, lambda _bundle: None)
        states = [job["state"] for job in services_jobs(service)]
        assert states[0] == "cancelled"
    finally:
        service.working.set()
    assert len(through.encrypted(faces, lambda *_: None, lambda _bundle: None).results) == 2


def services_jobs(service: Live) -> list[dict[str, Any]]:
    answer = service.connect().get("v1/jobs").fields()
    return [dict(one.values) for one in answer.objects("items", 100)]


def test_a_server_that_does_not_compute_this(
    through: RemoteEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RemoteError("this server does not compute that")

    monkeypatch.setattr(remote, "push_keys", refuse)
    readiness, job = Readiness(through), Job("compare")
    with pytest.raises(RemoteError, match="does not compute"):
        Comparing(through, readiness, Pictures()).run(job, looks(), encrypted=True)
    clear = Comparing(through, readiness, Pictures()).run(job, looks(), encrypted=False)
    assert clear.verdict == "same"


def test_the_pages_say_where_the_server_is(service: Live, through: RemoteEngine) -> None:
    with running(through) as run:  # type: ignore[arg-type]
        visitor = Visitor(run)
        visitor.enter()
        for page in ("/", "/privacy"):
            status, text = visitor.ask("GET", page)[:2]
            assert status == 200
            assert service.url in str(text)
        assert "Two processes" not in str(visitor.ask("GET", "/privacy")[1])


def test_a_profile_that_there_is_not(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        cli.main(["studio", "--no-browser", "--server", "nowhere"])
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "not logged in: fhe-face remote login URL --profile nowhere" in said
