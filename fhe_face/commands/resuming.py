"""Many files: what an earlier run has finished is kept, and nothing is replaced."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from fhe_core.container import ContainerError, Kind, read_header
from fhe_core.files import FileError, shown
from fhe_core.formats.ciphertexts import known_facts, load_bundle
from fhe_face.failures import CommandError
from fhe_face.places import EMBEDDING
from fhe_face.senders import ENTRY as SENDERS
from fhe_face.senders import described, owner_of
from fhe_face.tokens import ENTRY


def finished(
    files: Sequence[Path], targets: Sequence[Path], weights: Callable[[], str]
) -> tuple[bool, ...]:
    """Of each file of images, whether its embeddings are there already.

    weights: the digest that an embedding of these weights carries; asked for only where a target
    exists. An embedding carries the request tokens of its images, so it is known whose it is.

    Raises:
        CommandError: a target is another file, or damaged; the text names it.
    """
    there = [os.path.lexists(target) for target in targets]
    if not any(there):
        return tuple(there)
    digest = weights()
    for image, target, exists in zip(files, targets, there, strict=True):
        if exists:
            _require_result(image, target, digest)
    return tuple(there)


def _require_result(image: Path, target: Path, weights: str) -> None:
    try:
        given = read_header(image, expect_kind=Kind.CIPHERTEXT)
        found = read_header(target, expect_kind=Kind.CIPHERTEXT)
        tokens = known_facts(given).get(ENTRY)
        facts = known_facts(found)
        owner = owner_of(given.source, given.key_id, known_facts(given))
        sender = described([None if owner is None else given.key_id])
        same = (
            found.text("what") == EMBEDDING
            and found.parameter_hash == given.parameter_hash
            and found.key_id == (owner or given.key_id)
            and facts.get(SENDERS) == sender.get(SENDERS)
            and bool(tokens)
            and facts.get(ENTRY) == tokens
            and facts.get("weights") == weights
        )
        if same:
            load_bundle(target, EMBEDDING)  # whole
    except (ContainerError, FileError) as error:
        raise CommandError(f"{_told(target, image)} ({error})") from None
    if not same:
        raise CommandError(_told(target, image))


def _told(target: Path, image: Path) -> str:
    return (
        f"{shown(target)}: exists, and is not the embedding of {shown(image)} with these weights: "
        "nothing is replaced; name another folder, or remove it"
    )
