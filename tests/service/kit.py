"""A service on the small ring, and files as clients send them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

from fastapi.testclient import TestClient
from httpx import Client, Response

from fhe_core import container
from fhe_core.container import Header, Limits
from fhe_core.matching import MatchPlan
from fhe_core.secret.files import save_evaluation_keys
from fhe_core.secret.gallery_files import save_gallery_keys
from fhe_core.secret.key import SecretKey
from fhe_face.client.client import FaceClient
from fhe_face.engine import Engine
from fhe_face.models.synthetic import random_fused
from fhe_face.service.admission import Circuits
from fhe_face.service.app import build_app
from fhe_face.service.context import Context
from fhe_face.service.opening import Service, create_service
from fhe_face.service.queueing import Queue
from fhe_face.service.rows import Quotas, Room, Scope
from fhe_face.service.settings import Settings
from fhe_face.service.tenants import make_tenant
from fhe_face.service.tokens import create_token
from fhe_face.service.uploads import Uploads
from tests.core import tiny
from tests.service.fake_queue import FakeQueue

RING = tiny.gallery()
NETWORK = random_fused(0)
PARAMETERS = tiny.load(tiny.TINY.name)
QUOTAS = Quotas(1 << 40, 100, 100_000)


@lru_cache(1)
def engine() -> Engine:
    return tiny.engine_for(NETWORK, PARAMETERS)


def circuits() -> Circuits:
    """What a service on the small ring computes."""
    return Circuits((engine().circuit.describe(),), RING, lambda _circuit, _packings: engine())


@dataclass(frozen=True)
class Sent:
    """A file of a client, as it is sent: its front, and its sections by digest."""

    path: Path
    header: Header
    front: bytes
    sections: dict[str, bytes]

    @classmethod
    def of(cls, path: Path) -> Sent:
        header = container.read_header(path)
        data = path.read_bytes()
        start = header.payload_offset
        _, front = container.parse_front(data[:start])
        places = {
            s.digest: (start + s.offset, start + s.offset + s.length) for s in header.sections
        }
        return cls(path, header, front, {d: data[a:b] for d, (a, b) in places.items()})


@dataclass(frozen=True)
class Files:
    """One client's files."""

    key: SecretKey
    keys: Sent
    faces: Sent
    gallery_keys: Sent


@lru_cache(4)
def files(number: int = 0) -> Files:
    """Those of client `number`, made once."""
    folder = Path(mkdtemp(prefix="service-files-"))
    key = SecretKey.generate(PARAMETERS)
    save_evaluation_keys(folder / "keys", key, engine().keys(), engine().facts())
    faces = tiny.faces(tiny.images_for(NETWORK, 1, number))
    FaceClient(key, engine()).encrypt(faces).save(folder / "faces")
    ring_key = SecretKey.generate(RING.parameters)
    save_gallery_keys(folder / "gallery", ring_key, RING, {})
    assert MatchPlan(RING).keys()
    return Files(key, *(Sent.of(folder / name) for name in ("keys", "faces", "gallery")))


def uploads(service: Service, *, limits: Limits | None = None, free_bytes: int = 0) -> Uploads:
    chosen = limits or Limits()
    return Uploads(service.database, service.blobs, circuits(), chosen, free_bytes)


def send(part: Uploads, tenant: str, room: Room, id: str, sent: Sent) -> None:
    """All of a file."""
    part.begin(tenant, room, id, sent.front)
    for digest, content in sent.sections.items():
        send_section(part, tenant, room, id, digest, content)


def send_section(
    part: Uploads, tenant: str, room: Room, id: str, digest: str, content: bytes
) -> bool:
    """One section; whether its bytes were asked for."""
    incoming = part.receive(tenant, room, id, digest)
    if incoming is None:
        return False
    incoming.write(content)
    incoming.finish()
    return True


def make(folder: Path, url: str | None = None, tenants: Iterable[str] = ("anna", "ben")) -> Service:
    """A service with tenants."""
    service = create_service(folder, url)
    for name in tenants:
        make_tenant(service.database, name, QUOTAS)
    return service


def token(service: Service, tenant: str = "anna", scopes: Iterable[Scope] = tuple(Scope)) -> str:
    return create_token(service.database, tenant, set(scopes))[1]


class World:
    """A service with its app, and clients of tenants."""

    def __init__(
        self, service: Service, settings: Settings | None = None, queue: Queue | None = None
    ) -> None:
        """queue: a real one; else jobs wait in memory until a test ends them."""
        self.service = service
        self.queue = FakeQueue(service)
        chosen = settings or Settings(free_bytes=0)
        self.context = Context(service, chosen, queue or self.queue, circuits())
        self.app = build_app(self.context)

    def client(
        self, tenant: str | None = "anna", scopes: Iterable[Scope] = (Scope.ADMIN,)
    ) -> TestClient:
        """Somebody with a token of a tenant, or without one."""
        secret = "" if tenant is None else token(self.service, tenant, scopes)
        headers = {"Authorization": f"Bearer {secret}"} if tenant else {}
        return TestClient(self.app, headers=headers, raise_server_exceptions=True)


def push(client: Client, room: str, id: str, sent: Sent) -> None:
    """Send a file over HTTP."""
    answer = client.put(f"/v1/{room}/{id}", content=sent.front)
    assert answer.status_code in (200, 201), answer.text
    for one in answer.json()["missing"]:
        content = sent.sections[one["digest"]]
        done = client.put(f"/v1/{room}/{id}/sections/{one['digest']}", content=content)
        assert done.status_code == 204, done.text


def problem(answer: Response, status: int, code: str) -> None:
    """The answer is a problem of this kind, in the shape of all problems."""
    assert answer.status_code == status, answer.text
    content = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert content["code"] == code
    assert content["type"] == f"urn:fhe-face:{code}"
    assert content["status"] == status
    assert content["request"] == answer.headers["x-request-id"]
    assert "/" not in content["detail"].replace("application/", "")  # no path of the server
