"""Stage ``client_decrypt_decode SIZE``: encrypted scores to numbers that stay with the client."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from benchmarks.official.stages.layout import Instance, make_folder, write_json
from benchmarks.official.stages.program import Progress, for_instance
from fhe_core.formats.ciphertexts import Bundle, load_bundle
from fhe_face.client.client import FaceClient
from fhe_face.client.decryption import Score
from fhe_face.client.health import UnhealthyResultError
from fhe_face.places import SCORE


class Decryptor(Protocol):
    """The client, as far as this stage needs it."""

    def score(self, bundle: Bundle, /) -> Score: ...


def decrypt(
    instance: Instance,
    progress: Progress,
    load: Callable[[Path], Decryptor] = FaceClient.load,
    read: Callable[[Path, str], Bundle] = load_bundle,
) -> None:
    """Decrypt all scores. A pair on which the network diverged has a reason in place of one.

    Raises:
        FileError: scores are missing, or a file cannot be written.
        ContainerError: the secret key or a score cannot be used.
    """
    count = instance.downloads.require("server_encrypted_compute")
    client = load(instance.secret_key)
    make_folder(instance.decrypted.parent, private=True)
    instance.begin(instance.decrypted)
    rows: list[dict[str, Any]] = []
    for number in range(count):
        bundle = read(instance.downloads.file(number), SCORE)
        try:
            score = client.score(bundle)
        except UnhealthyResultError as error:
            rows.append({"refused": str(error)})
            progress.say(f"warning: pair {number + 1} has no score: the health check failed")
        else:
            rows.append({"cosine": score.cosine, "inner_product": score.value})
        progress.pairs(number + 1, count, 0)
    write_json(instance.decrypted, {"pairs": rows}, private=True)


def main() -> None:
    for_instance("client_decrypt_decode", decrypt)
