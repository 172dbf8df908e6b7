"""Targets: containers, keys and ciphertexts, at insecure ring dimensions; plans and circuits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from fhe_core import container, plan
from fhe_core.ciphertext import Ciphertext
from fhe_core.compiler import SAFE, compile_match
from fhe_core.container import ContainerError, DType, Kind, Section
from fhe_core.formats.ciphertexts import Bundle, load_bundle, load_evaluation_keys, save_bundle
from fhe_core.normalisation import NormalisationError
from fhe_core.parameters import ParameterError
from fhe_core.plan import KeyName, KeySpecification, PlanError
from fhe_core.secret.files import load_secret_key, save_evaluation_keys, save_secret_key
from fhe_core.secret.key import SecretKey
from fhe_core.secret.protection import Scheme
from fhe_face.circuit import Circuit, CircuitError, normalisation_of
from fhe_face.client.client import FaceClient
from fhe_face.client.health import UnhealthyResultError
from fhe_face.client.ledger import AnswerLimitError, FileLedger, LedgerError, MemoryLedger
from fhe_face.models.synthetic import random_fused
from fhe_face.server.server import FaceServer
from fuzz.mutators import mutate_bytes, mutate_container, mutate_json
from fuzz.target import Scratch, Target
from tests.core import tiny


def container_target(_folder: Path) -> Target:
    sections = [
        Section.from_array("a/b", np.arange(6, dtype=np.uint64).reshape(2, 3)),
        Section.from_array("c", np.zeros(0, np.uint64)),
        Section("d", DType.U8, (), (b"x",)),
    ]
    facts: dict[str, container.JsonValue] = {"level": 3, "scale": (0.5).hex(), "list": [None, True]}
    seeds = [
        container.dumps(Kind.CIPHERTEXT, "ab" * 32, "cd" * 8, facts, sections),
        container.dumps(Kind.EVALUATION_KEYS, "ab" * 32, "cd" * 8, {}, []),
    ]

    def parse(data: bytes) -> None:
        with container.loads(data) as reader:
            header = reader.header
            reader.verify_all()
            for name in reader.names:
                reader.array(name)
            for read in (header.text, header.real, lambda name: header.integer(name, 0, 9)):
                for name in ("level", "scale"):
                    try:
                        read(name)
                    except ContainerError:
                        continue

    return Target("container", parse, (ContainerError,), seeds, mutate_container)


def secret_key(name: str, seed: int = 7) -> SecretKey:
    """The same key each time, so that a kept corpus stays valid."""
    parameters = tiny.load(name)
    ternary = np.random.default_rng(seed).integers(-1, 2, parameters.ring_dimension, dtype=np.int8)
    return SecretKey(parameters, ternary)


def secret_key_target(folder: Path) -> Target:
    scratch = Scratch(folder, "client.key")
    key, seeds = secret_key("insecure-short"), []
    for passphrase in (None, b"fuzz"):
        save_secret_key(
            scratch.path, key, {}, passphrase=passphrase, scheme=Scheme(14), overwrite=True
        )
        seeds.append(scratch.path.read_bytes())

    def parse(data: bytes) -> None:
        load_secret_key(scratch.holding(data), tiny.load, passphrase=b"fuzz")

    return Target("secret-key", parse, (ContainerError,), seeds, mutate_container)


def evaluation_keys_target(folder: Path) -> Target:
    scratch = Scratch(folder, "evaluation.key")
    wanted = [KeySpecification(KeyName(0, 1), (2,)), KeySpecification(KeyName(1, 2), (1,))]
    both = tiny.ring_keys(tiny.load(tiny.HALVES.name))
    seeds = []
    for parameters, own in (("insecure-short", wanted), (tiny.HALVES.name, both)):
        save_evaluation_keys(scratch.path, secret_key(parameters), own, {})
        seeds.append(scratch.path.read_bytes())

    def parse(data: bytes) -> None:
        file = scratch.holding(data)
        load_evaluation_keys(file, load=tiny.load)
        load_evaluation_keys(file, wanted[1:], load=tiny.load)

    return Target("evaluation-keys", parse, (ContainerError,), seeds, mutate_container)


def ciphertext_target(folder: Path) -> Target:
    scratch = Scratch(folder, "some.ct")
    key = secret_key("insecure-short")
    fresh, seed = key.encrypt(np.zeros(key.parameters.slots), tiny.SCALE)
    low = fresh.drop_to(1, key.parameters)
    how = {"preparation": {"size": 64, "flip": False, "detector": "none"}}
    bundles = [
        Bundle("image", key.parameters, key.key_id, {"input 0": fresh}, how, {"input 0": seed}),
        Bundle("score", key.parameters, key.key_id, {"a": low, "b": fresh}, {}, {}),
        _of_two_rings(),
    ]

    def parse(data: bytes) -> None:
        load_bundle(scratch.holding(data), load=tiny.load)

    return Target(
        "ciphertext", parse, (ContainerError,), _files(scratch, bundles), mutate_container
    )


def _of_two_rings() -> Bundle:
    key = secret_key(tiny.HALVES.name)
    fresh, _ = key.encrypt(np.zeros(key.parameters.slots), tiny.SCALE)
    small = Ciphertext(np.zeros((2, 3, key.parameters.slots // 2), np.uint64), tiny.SCALE, 2)
    return Bundle("score", key.parameters, key.key_id, {"a": small, "b": fresh}, {}, {})


def results_target(folder: Path) -> Target:
    """What either side does with a ciphertext file that loads: match, embed, decrypt."""
    scratch = Scratch(folder, "result.ct")
    world = tiny.make_world()
    key = secret_key("insecure-tiny")
    keys = tiny.make_keys(key, world.specifications)
    server = FaceServer(keys, world.engine, world.network)
    client = FaceClient(key, world.engine, MemoryLedger(1 << 40, lambda _text: None))
    image = client.encrypt(tiny.faces(world.images[0]))
    embedding = server.embed(image)
    score = server.match(embedding, embedding)
    # Small, so that mutations reach more than residues: embed is only tried on images.
    seeds = _files(scratch, [embedding, score, replace(image, facts={**image.facts, "x": 1})])

    def parse(data: bytes) -> None:
        file = scratch.holding(data)
        found = load_bundle(file, load=tiny.load)
        if found.what == "image":
            server.embed(found)
        elif found.what == "embedding":
            server.match(found, embedding)
            client.decrypt(found)
        else:
            client.decrypt(found)

        if found.what != "image":  # the header alone says the same
            load_bundle(file, load=tiny.load, admit=client.expected.admission())

    allowed = (ContainerError, PlanError, UnhealthyResultError)
    return Target("results", parse, allowed, seeds, mutate_container)


def ledger_target(folder: Path) -> Target:
    """The counter beside a key: answers are counted, or one error says why not."""
    scratch = Scratch(folder, "client.ledger")
    ledger = FileLedger(scratch.path, "ab" * 16, 100)
    ledger.create()
    ledger.spend(b"x" * 32, 64)
    seeds = [scratch.path.read_bytes()]

    def parse(data: bytes) -> None:
        found = FileLedger(scratch.holding(data), "ab" * 16, 100)
        before = found.answers
        found.spend(b"y" * 32, 2)
        assert found.answers >= before

    return Target("ledger", parse, (LedgerError, AnswerLimitError), seeds, mutate_bytes)


def _files(scratch: Scratch, bundles: list[Bundle]) -> list[bytes]:
    contents = []
    for bundle in bundles:
        save_bundle(scratch.path, bundle)
        contents.append(scratch.path.read_bytes())
    return contents


def plan_target(_folder: Path) -> Target:
    parameters = tiny.load("insecure-tiny")
    compiled = tiny.compile_for(random_fused(0), parameters)
    matching = compile_match(compiled.plan, parameters, SAFE)
    seeds = [p.to_json().encode() for p in (matching, compiled.plan)]

    def parse(data: bytes) -> None:
        found = plan.from_json(data.decode("utf-8", "replace"))
        plan.last_reads(found)
        plan.required_keys([found], parameters)
        assert plan.from_json(found.to_json()).digest == found.digest

    return Target("plan", parse, (PlanError, ParameterError), seeds, mutate_json)


def circuit_target(_folder: Path) -> Target:
    """The circuit in a key file, up to the product that both sides compile."""
    circuit = Circuit("safe", normalisation_of(None))
    steps = replace(circuit, normalisation=replace(circuit.normalisation, newton_steps=1))
    seeds = [json.dumps(c.describe()).encode() for c in (circuit, steps)]

    def parse(data: bytes) -> None:
        try:
            content = json.loads(data)
        except (ValueError, RecursionError):
            raise CircuitError("not JSON") from None
        found = Circuit.from_description(content)
        assert Circuit.from_description(found.describe()) == found
        found.summary()
        found.normalisation.product()

    return Target("circuit", parse, (CircuitError, NormalisationError), seeds, mutate_json)
