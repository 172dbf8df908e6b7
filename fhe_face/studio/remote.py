"""The engine with a server on the network: encrypted faces go there, everything else stays."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fhe_core.formats.ciphertexts import Bundle
from fhe_face.client.client import FaceClient
from fhe_face.client.keymaking import EVALUATION_KEY
from fhe_face.local.sides import fresh_client
from fhe_face.network import network_of
from fhe_face.photos.preparation import PreparedFace
from fhe_face.plaintexts import digest_of
from fhe_face.progress import Stage
from fhe_face.remote.connection import Connection
from fhe_face.remote.errors import RemoteError
from fhe_face.remote.pushing import push_keys
from fhe_face.remote.resources import Room, remove
from fhe_face.remote.server import RemoteServer
from fhe_face.studio.engine import Computed, Tell, Travels
from fhe_face.studio.network import REMEDY, OwnNetwork, Wanted, telling
from fhe_face.studio.progress import Side
from fhe_face.system import temporary_folder

#: What of a server's stages this side does; they are told bytes.
_TRANSFERS: Final = ("sending", "receiving")
_MEGABYTE: Final = 1_000_000


class RemoteEngine(OwnNetwork):
    """The server is somebody else's: it gets evaluation keys and ciphertexts."""

    def __init__(self, wanted: Wanted, connection: Connection) -> None:
        """connection: closed with this. Errors: as `OwnNetwork`."""
        super().__init__(wanted)
        self.server = connection.url
        self._connection = connection
        self._stack = ExitStack()
        self._stack.callback(connection.close)
        self._through: RemoteServer | None = None

    def prepare(self, tell: Tell) -> None:
        """As `Engine.prepare`: keys are made, and sent where they are not there yet.

        Raises:
            FileError: the disk is too small. RemoteError: the server cannot be used, or does not
                compute this circuit. LockedKey, ContainerError: the keys cannot be used.
        """
        self._server(tell)

    def encrypted(self, faces: Sequence[PreparedFace], tell: Tell, travels: Travels) -> Computed:
        """As `Engine.encrypted`; also raises what `FaceClient.embed` does, and RemoteError."""
        server = self._server(tell)
        before = server.sent, server.received, server.seconds
        tell(Side.CLIENT, "encrypting", 0, 0)
        server.stage = _stage(tell)
        found = server.client.embed(list(faces), _Watched(server, tell, travels))
        return Computed(
            found.results,
            server.sent - before[0],
            server.received - before[1],
            server.seconds - before[2],
            len(found.rounds),
        )

    def close(self) -> None:
        """As `Engine.close`; fresh keys are removed here and at the server."""
        server, self._through = self._through, None
        if server is not None and self.wanted.keys is None:
            with suppress(RemoteError):  # they open nothing
                remove(self._connection.hasty(), Room.KEYS, server.client.key_id)
        self._stack.close()

    def _server(self, tell: Tell) -> RemoteServer:
        if self._through is None:
            client, keys = self._client(tell)
            push_keys(self._connection, keys, stage=_stage(tell))
            tell(Side.CLIENT, "reading the network", 0, 0)
            digest = digest_of(client.engine, network_of(self.checkpoint))
            self._through = RemoteServer(self._connection, client, weights=digest)
        return self._through

    def _client(self, tell: Tell) -> tuple[FaceClient, Path]:
        """The client, and the file of its evaluation keys."""
        if self.kept is not None and self.wanted.keys is not None:
            return self.kept, self.wanted.keys / EVALUATION_KEY
        folder = self._stack.enter_context(temporary_folder("fhe-face-studio-")).resolve()
        tell(Side.CLIENT, "making the secret key", 0, 0)
        stage = telling(Side.CLIENT, tell)
        client = fresh_client(self.circuits, folder, self.wanted.threads, REMEDY, stage)
        return client, folder / EVALUATION_KEY


@dataclass(frozen=True)
class _Watched:
    """Shows what goes to the server, and when its answer is decrypted."""

    server: RemoteServer
    tell: Tell
    travels: Travels

    @property
    def rounds(self) -> int:
        """As `RemoteServer.rounds`: a refused face is not tried again."""
        return self.server.rounds

    def embed(self, bundle: Bundle, /) -> Bundle:
        self.tell(Side.CLIENT, "encrypting", 1, 1)
        self.travels(bundle)
        answer = self.server.embed(bundle)
        self.tell(Side.CLIENT, "decrypting", 0, 0)
        return answer


def _stage(tell: Tell) -> Stage:
    def stage(what: str, done: int, total: int) -> None:
        if not what.startswith(_TRANSFERS):
            tell(Side.SERVER, what, done, total)
            return
        tell(Side.CLIENT, what, -(-done // _MEGABYTE), -(-total // _MEGABYTE))

    return stage
