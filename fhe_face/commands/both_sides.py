"""A client here and a server in a process of its own, for commands that play both."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from fhe_core.container import Kind, read_header, require_match
from fhe_core.secret.files import Passphrase
from fhe_face.circuit import normalisation_of
from fhe_face.client.client import FaceClient
from fhe_face.client.keymaking import CLIENT_KEY, EVALUATION_KEY
from fhe_face.commands.inputs import warn_of_little_memory
from fhe_face.engine import choose_engine
from fhe_face.failures import USAGE, CommandError
from fhe_face.local.sides import LocalServer, fresh_client
from fhe_face.local.standing import StandingServer
from fhe_face.models.checkpoint import Checkpoint
from fhe_face.network import recommended_normalisation
from fhe_face.output import Output
from fhe_face.progress import Stage
from fhe_face.system import temporary_folder


@dataclass(frozen=True)
class KeyOptions:
    """By which keys faces are embedded.

    folder: from keygen; None: fresh keys for this command; passphrase: of its client.key.
    CommandError: options that belong to keys, for keys that exist.
    """

    folder: Path | None
    passphrase: Passphrase
    flip: bool
    coefficients: Path | None
    threads: int

    def __post_init__(self) -> None:
        if self.folder is not None and (self.flip or self.coefficients is not None):
            raise CommandError(
                "--flip and --coefficients belong to keys, and those of --keys have theirs: give "
                "them to keygen, or leave out --keys",
                USAGE,
            )


@dataclass(frozen=True)
class Prepared:
    """A client, and what a server process on this machine is given. folder: for what is sent."""

    client: FaceClient
    evaluation_key: Path
    weights: Path
    folder: Path
    threads: int


@contextmanager
def _prepared(
    keys: KeyOptions, checkpoint: Checkpoint, output: Output, stage: Stage
) -> Iterator[Prepared]:
    with temporary_folder("fhe-face-") as new:
        folder = new.resolve()
        if keys.folder is None:
            client, own = _fresh(keys, checkpoint, folder, stage), folder
        else:
            client, own = _kept(keys, keys.folder, checkpoint, output), keys.folder.resolve()
        weights = checkpoint.path.resolve()
        warn_of_little_memory(output, client.engine.keys(), client.engine.parameters)
        yield Prepared(client, own / EVALUATION_KEY, weights, folder, keys.threads)


@contextmanager
def both_sides(
    keys: KeyOptions, checkpoint: Checkpoint, output: Output, stage: Stage
) -> Iterator[tuple[FaceClient, LocalServer]]:
    """The client, and a server process for each request; nothing of both is left behind."""
    with _prepared(keys, checkpoint, output, stage) as made:
        server = LocalServer(
            *(made.client, made.evaluation_key, made.weights, made.folder, made.threads, stage)
        )
        yield made.client, server


@contextmanager
def standing_sides(
    keys: KeyOptions, checkpoint: Checkpoint, output: Output, stage: Stage
) -> Iterator[tuple[FaceClient, StandingServer]]:
    """The client, and one server process for all requests; nothing of both is left behind."""
    with _prepared(keys, checkpoint, output, stage) as made:
        server = StandingServer(
            *(made.client, made.evaluation_key, made.weights, made.folder, made.threads, stage)
        )
        with closing(server):
            yield made.client, server


def _fresh(keys: KeyOptions, checkpoint: Checkpoint, folder: Path, stage: Stage) -> FaceClient:
    given = None if keys.coefficients is None else normalisation_of(keys.coefficients)
    stage("compiling the plan", 0, 0)
    normalisation = given or recommended_normalisation(checkpoint)
    engine = choose_engine(normalisation, checkpoint.input_size, 2 if keys.flip else 1)
    stage("compiling the plan", 1, 1)
    remedy = "; set TMPDIR to a folder elsewhere"
    return fresh_client(engine, folder, keys.threads, remedy, stage)


def _kept(keys: KeyOptions, folder: Path, checkpoint: Checkpoint, output: Output) -> FaceClient:
    """The client of a folder from keygen, after checking that the folder's files fit."""
    client = FaceClient.load(
        folder / CLIENT_KEY,
        threads=keys.threads,
        passphrase=keys.passphrase,
        warn=output.warn,
    )
    header = read_header(folder / EVALUATION_KEY, expect_kind=Kind.EVALUATION_KEYS)
    require_match(header, key_id=client.key_id)
    pixels = client.circuit.input_size
    if pixels != checkpoint.input_size:
        raise CommandError(
            f"{checkpoint.path}: a network for faces of {checkpoint.input_size} pixels; the keys "
            f"in {folder} were made for {pixels}"
        )
    return client
