"""The engine of a person's machine: fresh keys, or a folder of keys, and a server process."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from fhe_core.formats.ciphertexts import Bundle
from fhe_face.client.client import FaceClient
from fhe_face.client.keymaking import EVALUATION_KEY
from fhe_face.local.sides import fresh_client
from fhe_face.local.standing import StandingServer
from fhe_face.photos.preparation import PreparedFace
from fhe_face.studio.engine import Computed, Tell, Travels
from fhe_face.studio.network import REMEDY, OwnNetwork, Wanted, telling
from fhe_face.studio.progress import Side
from fhe_face.system import temporary_folder


class LocalEngine(OwnNetwork):
    """Both sides on one machine; the server is a process that is given no secret."""

    def __init__(self, wanted: Wanted) -> None:
        """As `OwnNetwork`."""
        super().__init__(wanted)
        self._stack = ExitStack()
        self._sides: tuple[FaceClient, StandingServer] | None = None

    def prepare(self, tell: Tell) -> None:
        """As `Engine.prepare`.

        Raises:
            FileError: the disk is too small. ServerError: the server's process cannot start.
            LockedKey, ContainerError: the keys cannot be used.
        """
        _, server = self._both(tell)
        server.start(telling(Side.SERVER, tell))

    def encrypted(self, faces: Sequence[PreparedFace], tell: Tell, travels: Travels) -> Computed:
        """As `Engine.encrypted`; also raises what `FaceClient.embed` does."""
        client, server = self._both(tell)
        server.start(telling(Side.SERVER, tell))
        server.stage = telling(Side.SERVER, tell)
        before = server.sent, server.received, server.seconds
        tell(Side.CLIENT, "encrypting", 0, 0)
        found = client.embed(list(faces), _Watched(server, tell, travels))
        return Computed(
            found.results,
            server.sent - before[0],
            server.received - before[1],
            server.seconds - before[2],
            len(found.rounds),
        )

    def close(self) -> None:
        """As `Engine.close`; fresh keys are removed."""
        if self._sides is not None:
            self._sides[1].close()
            self._sides = None
        self._stack.close()

    def _both(self, tell: Tell) -> tuple[FaceClient, StandingServer]:
        if self._sides is None:
            wanted = self.wanted
            folder = self._stack.enter_context(temporary_folder("fhe-face-studio-")).resolve()
            keys = folder if wanted.keys is None else wanted.keys.resolve()
            client = self.kept
            if client is None:
                tell(Side.CLIENT, "making the secret key", 0, 0)
                stage = telling(Side.CLIENT, tell)
                client = fresh_client(self.circuits, folder, wanted.threads, REMEDY, stage)
            weights = self.checkpoint.path.resolve()
            server = StandingServer(client, keys / EVALUATION_KEY, weights, folder, wanted.threads)
            self._sides = client, server
        return self._sides


@dataclass(frozen=True)
class _Watched:
    """Shows what goes to a server, and when its answer is decrypted."""

    server: StandingServer
    tell: Tell
    travels: Travels

    def embed(self, bundle: Bundle, /) -> Bundle:
        self.tell(Side.CLIENT, "encrypting", 1, 1)
        self.travels(bundle)
        self.tell(Side.SERVER, "reading ciphertexts", 0, 0)
        answer = self.server.embed(bundle)
        self.tell(Side.CLIENT, "decrypting", 0, 0)
        return answer
