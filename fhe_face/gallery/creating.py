"""A new gallery, complete or not at all."""

from __future__ import annotations

import os
import secrets
import warnings
from dataclasses import dataclass
from pathlib import Path

from fhe_core.files import shown
from fhe_core.matching import MatchParameters, gallery_parameters
from fhe_core.secret.key import SecretKey
from fhe_face.client.ledger import FileLedger
from fhe_face.gallery.decisions import Decision
from fhe_face.gallery.embedders import Embedder, LocalEmbedder
from fhe_face.gallery.errors import GalleryError, OtherModel
from fhe_face.gallery.facts import Facts, Mode
from fhe_face.gallery.folders import Folder, new_folder, write_keys
from fhe_face.gallery.settings import Settings
from fhe_face.gallery.vault import Vault
from fhe_face.models.checkpoint import load
from fhe_face.models.faces import Aligner, Preparation
from fhe_face.network import caution, thresholds_of, weights_file
from fhe_face.store import Store
from fhe_face.system import default_threads


@dataclass(frozen=True)
class Model:
    """What a gallery is enrolled with. weights: what embeds by default, None: say it each time."""

    digest: str
    size: int
    views: int
    decision: Decision | None = None
    weights: str | None = None

    @classmethod
    def of_weights(cls, weights: str | os.PathLike[str] | None, flip: bool) -> Model:
        """Of a file, "official" or "bundled"; those of the bundled one come with a warning.

        Raises:
            CheckpointError, WeightsError: the weights cannot be used.
        """
        file = weights_file(weights)
        checkpoint = load(file)
        said = caution(checkpoint)
        if said is not None:
            warnings.warn(said, stacklevel=5)  # of who called Gallery.create
        measured = thresholds_of(checkpoint)
        decision = None if measured is None else Decision.of(measured)
        named = "bundled" if weights is None else os.fspath(weights)
        kept = named if named in ("bundled", "official") else str(file.resolve())
        views = 2 if flip else 1
        return cls(checkpoint.tensors_sha256, checkpoint.input_size, views, decision, kept)

    def embedder(self) -> Embedder:
        """What embeds with these weights, in the clear, on this machine.

        Raises:
            CheckpointError, WeightsError: they cannot be used.
        """
        return LocalEmbedder.load(self.weights, self.views)

    @classmethod
    def of(
        cls, weights: str | os.PathLike[str] | None, embedder: Embedder | None, flip: bool
    ) -> Model:
        """Of weights, of what embeds, or of both, which must be of one model.

        Raises:
            OtherModel: the embedder has other weights, or other views.
            CheckpointError, WeightsError: the weights cannot be used.
        """
        if embedder is None:
            return cls.of_weights(weights, flip)
        if weights is None:
            return cls.of_embedder(embedder)
        found = cls.of_weights(weights, embedder.views > 1)
        if (embedder.model, embedder.size) != (found.digest, found.size):
            raise OtherModel(
                f"{os.fspath(weights)}: weights {found.digest[:12]}... for faces of {found.size} "
                f"pixels; the embedder has {embedder.model[:12]}... for {embedder.size}"
            )
        return found

    @classmethod
    def of_embedder(cls, embedder: Embedder) -> Model:
        """Of what embeds."""
        return cls(embedder.model, embedder.size, embedder.views)


def preparation_of(given: Preparation | str, model: Model) -> Preparation:
    """How the faces of a gallery are prepared: "aligned", "as-given", or exactly like that.

    Raises:
        GalleryError: another word, or another size or number of views than the model's.
        DetectorError: aligned, and OpenCV or the detector's model file is missing.
    """
    if given == "aligned":
        found = Aligner(model.size).preparation()
    elif given == "as-given":
        found = Preparation.as_given(model.size)
    elif isinstance(given, Preparation):
        found = given
    else:
        raise GalleryError(f"a preparation is 'aligned' or 'as-given', not {given!r}")
    if found.size != model.size or found.fallback:
        raise GalleryError(
            f"faces of {found.size} pixels for a model that takes {model.size}; and photos without "
            "a face are no faces"
        )
    return found.with_flip(model.views > 1)


def create_gallery(
    path: str | os.PathLike[str],
    model: Model,
    preparation: Preparation,
    mode: Mode,
    names: bool,
    decision: Decision | None,
    url: str | None,
    passphrase: bytes | None,
    parameters: MatchParameters | None,
    threads: int | None,
) -> None:
    """Make the folder with keys and an empty store; errors as `Gallery.create`."""
    chosen = parameters or gallery_parameters()
    key = SecretKey.generate(chosen.parameters, threads or default_threads())
    facts = Facts(
        secrets.token_hex(16), chosen.digest, key.key_id, model.digest, preparation, mode, names
    )
    settings = Settings.fresh(decision or model.decision, model.weights)
    with new_folder(path) as folder:
        sealed = Vault(key, facts, chosen.features).seal_settings(settings.to_bytes())
        Store.create(folder.server, facts.to_json(), sealed, url).close()
        write_keys(folder, key, chosen, passphrase)
        FileLedger(folder.ledger, key.key_id).create()


def folder_of(path: str | os.PathLike[str]) -> Folder:
    """The folder of a gallery that is on this machine.

    Raises:
        GalleryError: it has no `server/`; the text says where the gallery is at a server.
    """
    folder = Folder(Path(path))
    if folder.is_here:
        return folder
    if folder.is_remote:
        raise GalleryError(
            f"{shown(folder.root)}: is of a gallery at a server; this takes one on this machine"
        )
    raise GalleryError(
        f"{shown(folder.root)}: holds no gallery (server/ is missing): fhe-face gallery create"
    )


def backup_of(path: str | os.PathLike[str]) -> Folder:
    """The folder of a backup, with its key.

    Raises:
        GalleryError: it is none.
    """
    folder = Folder(Path(path))
    for part in (folder.server, folder.key):
        if not part.exists():
            raise GalleryError(
                f"{shown(folder.root)}: is no backup of a gallery ({part.relative_to(folder.root)} "
                "is missing): fhe-face gallery backup, or remote gallery backup, makes one"
            )
    return folder
