"""Stage ``client_encode_encrypt_input SIZE``: prepared faces to ciphertexts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, Protocol

from benchmarks.official.stages.faces import Pixels, require
from benchmarks.official.stages.layout import Instance
from benchmarks.official.stages.program import Progress, for_instance
from fhe_core.container import ContainerError, Kind, read_header
from fhe_core.formats.ciphertexts import Bundle, known_facts, save_bundle
from fhe_face.client.client import FaceClient
from fhe_face.system import require_space

#: In the facts of a ciphertext: the tag of the prepared pair that it was made from.
SOURCE: Final = "benchmark pair"


class Encryptor(Protocol):
    """The client, as far as this stage needs it."""

    @property
    def key_id(self) -> str: ...

    def encrypt(self, image: Pixels) -> Bundle: ...


def encrypt(
    instance: Instance,
    progress: Progress,
    load: Callable[[Path], Encryptor] = FaceClient.load,
) -> None:
    """Encrypt all faces; those of an earlier run are kept where they belong to pair and key.

    Raises:
        FileError: faces are missing, or the disk is too small.
        ContainerError: the secret key cannot be used.
    """
    count = instance.prepared.require("client_preprocess_input")
    client = load(instance.secret_key)
    uploads = instance.uploads
    instance.begin(uploads)
    kept = 0
    for number in range(count):
        pair = require(instance.prepared, number)
        files = [uploads.file(number, face) for face in range(2)]
        if all(_is_kept(file, client.key_id, pair.tag.hex()) for file in files):
            kept += 1
        else:
            for file, face in zip(files, pair.faces, strict=True):
                bundle = client.encrypt(face)
                facts = {**bundle.facts, SOURCE: pair.tag.hex()}
                save_bundle(file, replace(bundle, facts=facts))
            written = sum(file.stat().st_size for file in files)
            require_space(uploads.path, (count - number - 1) * written)
        progress.pairs(number + 1, count, kept)
    uploads.drop_from(count)
    uploads.complete(count)


def _is_kept(file: Path, key_id: str, tag: str) -> bool:
    try:
        header = read_header(file, expect_kind=Kind.CIPHERTEXT)
    except ContainerError:
        return False
    return header.key_id == key_id and known_facts(header).get(SOURCE) == tag


def main() -> None:
    for_instance("client_encode_encrypt_input", encrypt)
