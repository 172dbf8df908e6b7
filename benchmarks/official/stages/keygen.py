"""Stage ``client_key_generation SIZE``: the client's keys, secret and public apart."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Protocol

from benchmarks.official.stages.layout import Instance, make_folder, remove
from benchmarks.official.stages.program import Progress, for_instance
from fhe_core.container import ContainerError, Kind, read_header
from fhe_core.files import explain
from fhe_face.client.client import FaceClient
from fhe_face.client.keymaking import CLIENT_KEY, EVALUATION_KEY
from fhe_face.progress import Stage


class KeyMaker(Protocol):
    """Makes ``client.key`` and ``evaluation.key`` in a folder."""

    def __call__(self, folder: Path, *, stage: Stage) -> object: ...


def generate(instance: Instance, progress: Progress, make: KeyMaker = FaceClient.create) -> None:
    """New keys, unless a whole set is there already.

    Raises:
        FileError: a file cannot be written, or the disk is too small.
    """
    secret, public = instance.secret_key, instance.evaluation_key
    make_folder(secret.parent, private=True)
    make_folder(public.parent)
    if _belong_together(secret, public):
        progress.say("kept the keys of an earlier run")
        return
    instance.begin(instance.prepared)
    # Both appear in the private folder first; the secret key comes last and completes them.
    remove(secret)
    with tempfile.TemporaryDirectory(prefix=".keygen-", suffix=".tmp", dir=secret.parent) as work:
        make(Path(work), stage=progress.stage)
        try:
            os.replace(Path(work, EVALUATION_KEY), public)
            os.replace(Path(work, CLIENT_KEY), secret)
        except OSError as error:
            raise explain(instance.io, "write to", error) from error
    progress.say("made new keys")


def _belong_together(secret: Path, public: Path) -> bool:
    try:
        mine = read_header(secret, expect_kind=Kind.SECRET_KEY)
        theirs = read_header(public, expect_kind=Kind.EVALUATION_KEYS)
    except ContainerError:
        return False
    return mine.key_id == theirs.key_id


def main() -> None:
    for_instance("client_key_generation", generate)
