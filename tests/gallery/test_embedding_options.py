"""How commands embed for a gallery: one server process for all faces, and what goes together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fhe_face.commands import gallery_embedding
from fhe_face.commands.both_sides import KeyOptions
from fhe_face.commands.gallery_embedding import LOCAL, EmbedOptions, _Later
from fhe_face.failures import CommandError
from fhe_face.output import Output
from fhe_face.progress import silent
from tests.core.tiny import World, faces, make_world


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(images=2)


@pytest.mark.parametrize("twice", [False, True])
def test_one_server_computes_all_faces(
    world: World, monkeypatch: pytest.MonkeyPatch, twice: bool
) -> None:
    started: list[str] = []

    @contextmanager
    def sides(*_: Any) -> Iterator[tuple[Any, Any]]:
        started.append("server")
        yield world.client, world.server
        started.append("ended")

    monkeypatch.setattr(gallery_embedding, "standing_sides", sides)
    checkpoint: Any = SimpleNamespace(tensors_sha256="ab" * 32, input_size=64)
    keys = KeyOptions(None, None, False, None, 1)
    with ExitStack() as stack:
        later = _Later(checkpoint, 1, keys, Output(True), silent, stack, 4, twice)
        assert later.embed([]) == []
        assert started == [], "nothing is started before there is a face"
        for image in faces(world.images):
            assert len(later.embed([image])) == 1
        assert started == ["server"]
    assert started == ["server", "ended"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"keys": Path("keys")}, "--keys is for encrypted embedding"),
        ({"keys": None, "twice": True}, "--twice is for encrypted embedding"),
    ],
)
def test_what_belongs_to_encrypted_embedding(options: dict[str, Any], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        EmbedOptions(LOCAL, weights=None, **options)
