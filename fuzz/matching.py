"""Targets: sealed blocks, probes, scores and key files of galleries, at an insecure ring."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fhe_core import container
from fhe_core.container import ContainerError
from fhe_core.formats import matching as formats
from fhe_core.matching import Matcher, MatchParameters, MatchPlan
from fhe_core.secret.gallery_files import load_gallery_key, save_gallery_key, save_gallery_keys
from fhe_core.secret.key import SecretKey
from fhe_core.secret.matching import Sealer
from fhe_core.secret.protection import Scheme
from fuzz.mutators import mutate_container
from fuzz.target import Scratch, Target
from tests.core import tiny

NAMES = ("0a" * 32, "0b" * 32)


def _sealer() -> tuple[MatchParameters, Sealer]:
    """The same key each time, so that a kept corpus stays valid."""
    parameters = tiny.gallery()
    ternary = np.random.default_rng(7).integers(-1, 2, parameters.templates, dtype=np.int8)
    return parameters, Sealer(SecretKey(parameters.parameters, ternary), parameters)


def _matcher(parameters: MatchParameters, sealer: Sealer) -> Matcher:
    return Matcher(parameters, tiny.gallery_keys(sealer.key, parameters), 1)


def sealed_block_target(_folder: Path) -> Target:
    """Into memory, as a server takes it, and opened, as its client does."""
    parameters, sealer = _sealer()
    matcher = _matcher(parameters, sealer)
    seeds = [formats.to_bytes(sealer.seal_block(tiny.unit_vectors(5, parameters.features)))]

    def parse(data: bytes) -> None:
        found = formats.block_from_bytes(data, parameters, sealer.key.key_id)
        matcher.load(found)
        assert sealer.open_block(found).shape == (parameters.templates, parameters.features)

    return Target("sealed-block", parse, (ContainerError,), seeds, mutate_container)


def probe_target(_folder: Path) -> Target:
    parameters, sealer = _sealer()
    matcher = _matcher(parameters, sealer)
    seeds = [formats.to_bytes(sealer.seal_probe(tiny.unit_vectors(1, parameters.features)[0]))]

    def parse(data: bytes) -> None:
        matcher.expand(formats.probe_from_bytes(data, parameters, sealer.key.key_id))

    return Target("probe", parse, (ContainerError,), seeds, mutate_container)


def scores_target(_folder: Path) -> Target:
    """Opened by the client that asked."""
    parameters, sealer = _sealer()
    matcher = _matcher(parameters, sealer)
    probe = sealer.seal_probe(tiny.unit_vectors(1, parameters.features)[0])
    block = matcher.load(sealer.seal_block(tiny.unit_vectors(5, parameters.features)))
    live = np.arange(parameters.templates) < 5
    answer = matcher.answer(matcher.expand(probe), [(name, block, live) for name in NAMES])

    def parse(data: bytes) -> None:
        with container.loads(data) as reader:
            formats.describe(reader.header)
        found = formats.scores_from_bytes(data, sealer.asked(probe, NAMES, [live, live]))
        scores = sealer.open_scores(found, probe, NAMES, [live, live])
        assert np.all(np.isfinite(scores[:, :5]))

    return Target("scores", parse, (ContainerError,), [formats.to_bytes(answer)], mutate_container)


def gallery_keys_target(folder: Path) -> Target:
    """Both key files of a gallery; each parser sees the other's seed as well."""
    parameters, sealer = _sealer()
    secret, public = Scratch(folder, "gallery.key"), Scratch(folder, "gallery.evaluation.key")
    save_gallery_keys(public.path, sealer.key, parameters, {})
    seeds = [public.path.read_bytes()]
    for word in (None, b"fuzz"):
        save_gallery_key(
            secret.path, sealer.key, {}, passphrase=word, scheme=Scheme(14), overwrite=True
        )
        seeds.append(secret.path.read_bytes())

    def parse(data: bytes) -> None:
        try:
            keys = formats.load_gallery_keys(public.holding(data), parameters)
        except ContainerError:
            load_gallery_key(secret.holding(data), parameters, passphrase=b"fuzz")
        else:
            assert keys.memory_bytes == MatchPlan(parameters).key_memory_bytes

    return Target("gallery-keys", parse, (ContainerError,), seeds, mutate_container)
