"""How commands reach a server: profiles, galleries there, and what embeds through it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fhe_face.client import passphrases
from fhe_face.client.client import FaceClient
from fhe_face.client.keymaking import CLIENT_KEY
from fhe_face.commands.gallery_embedding import LOCAL, EmbedOptions
from fhe_face.commands.gallery_opening import Opening
from fhe_face.commands.gallery_options import ENCRYPTED
from fhe_face.commands.remote_transfer import Steps, Transfer
from fhe_face.commands.secrecy import hold_secrets
from fhe_face.failures import CommandError
from fhe_face.gallery.embedders import Embedder, EncryptedEmbedder
from fhe_face.models.checkpoint import Checkpoint
from fhe_face.network import load_network
from fhe_face.output import Output
from fhe_face.plaintexts import digest_of
from fhe_face.progress import Stage
from fhe_face.remote.connection import Connection
from fhe_face.remote.login import load
from fhe_face.remote.place import Place
from fhe_face.remote.server import RemoteServer
from fhe_face.system import default_threads


@contextmanager
def connected(profile: str) -> Iterator[Connection]:
    """To the server of a profile. LoginError: there is none."""
    with load(profile).connect() as connection:
        yield connection


def opening(
    gallery: Path, passphrase_file: Path | None = None, threads: int | None = None
) -> Opening:
    """A gallery at a server. GalleryError: the folder's is none, or another."""
    Place.load(gallery)  # says what else it is
    return Opening(gallery, passphrase_file, threads)


def embedding(
    keys: Path | None, weights: Path | None, gallery: Path, twice: bool = False
) -> EmbedOptions:
    """What embeds for it: its server where keys are given, and this machine otherwise."""
    return RemoteEmbedding(LOCAL if keys is None else ENCRYPTED, keys, weights, twice, gallery)


@dataclass(frozen=True)
class RemoteEmbedding(EmbedOptions):
    """As `EmbedOptions`; "encrypted" is computed by the server of the gallery."""

    gallery: Path = Path()

    @contextmanager
    def embedding(
        self, checkpoint: Checkpoint, views: int, opening: Opening, output: Output, stage: Stage
    ) -> Iterator[Embedder]:
        """See `EmbedOptions.embedding`."""
        if self.keys is None:
            with super().embedding(checkpoint, views, opening, output, stage) as embedder:
                yield embedder
            return
        client = client_of(self.keys, opening.passphrase_file, opening.threads, output)
        with Place.load(self.gallery).connect() as connection:
            server = server_for(connection, client, checkpoint, output, stage)
            model = checkpoint.tensors_sha256
            yield EncryptedEmbedder(client, server, model, twice=self.twice)


def client_of(
    keys: Path, passphrase_file: Path | None, threads: int | None, output: Output
) -> FaceClient:
    """The client of a folder from keygen, or of a client.key; memory is private from then on."""
    secret = keys / CLIENT_KEY if keys.is_dir() else keys
    hold_secrets(output, secret, passphrase_file)
    return FaceClient.load(
        secret,
        threads=threads or default_threads(),
        passphrase=passphrases.opener(passphrase_file, secret),
        warn=output.warn,
    )


def server_for(
    connection: Connection,
    client: FaceClient,
    checkpoint: Checkpoint,
    output: Output,
    stage: Stage,
) -> RemoteServer:
    """A server that must compute with these weights.

    Raises:
        CommandError: the keys are for faces of another size.
    """
    pixels = client.circuit.input_size
    if pixels != checkpoint.input_size:
        raise CommandError(
            f"{checkpoint.path}: a network for faces of {checkpoint.input_size} pixels; the keys "
            f"were made for {pixels}"
        )
    digest = digest_of(client.engine, load_network(checkpoint.path))
    steps = Steps(Transfer(output, stage))
    return RemoteServer(connection, client, weights=digest, stage=steps)
