"""Small, insecure parameters, a small network, and everything that follows from them, for tests."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fhe_core.ciphertext import Ciphertext
from fhe_core.compiler import BATCH, SAFE, CompiledNetwork, Policy, compile_network
from fhe_core.compiler.architecture import architecture_of
from fhe_core.keys.evaluation import EvaluationKeys, expand_key
from fhe_core.matching import MatchParameters, MatchPlan
from fhe_core.normalisation import Normalisation
from fhe_core.parameters import Parameters, Ring, Specification, Tier, build
from fhe_core.parameters.chains import levels_of
from fhe_core.plan import KeyName, KeySpecification, Plan, Progress, required_keys
from fhe_core.runtime import native, packed
from fhe_core.runtime.evaluator import Evaluator
from fhe_core.secret.device_files import load_device_key
from fhe_core.secret.key import SecretKey
from fhe_face.circuit import Circuit
from fhe_face.client.client import FaceClient
from fhe_face.client.device_client import DeviceClient
from fhe_face.engine import Engine
from fhe_face.models.faces import Preparation
from fhe_face.models.layers import FusedConv, FusedNetwork
from fhe_face.models.reference import Trace, embed, squared_norm
from fhe_face.models.synthetic import random_fused
from fhe_face.photos.preparation import PreparedFace
from fhe_face.places import Packing as Together
from fhe_face.server.server import FaceServer

Array = NDArray[np.float64]

INTERVAL = (2.0, 200.0)
ROOT = Normalisation.from_powers((1.057367e-08, -4.753845e-05, 7.176193e-02), INTERVAL)
SCALE = 2.0**43

#: Enough levels for the default random network; every tier has several digits.
TINY = Specification(
    name="insecure-tiny",
    log_ring_dimension=11,
    limb_bits=(50,) + (43,) * 16,
    special_bits=(50,) * 5,
    tiers=(Tier(17, 5, 5), Tier(9, 4, 4), Tier(5, 2, 2)),
)
#: For single operations.
SHORT = Specification(
    name="insecure-short",
    log_ring_dimension=8,
    limb_bits=(50,) + (43,) * 5,
    special_bits=(50,) * 3,
    tiers=(Tier(6, 3, 3), Tier(4, 2, 2), Tier(2, 1, 1)),
)


#: Three levels of 40 bits in each ring; ciphertexts leave for the second and third of the smaller.
HALVES = Specification(
    name="insecure-halves",
    log_ring_dimension=6,
    limb_bits=(50, 40, 40, 40),
    special_bits=(50, 50),
    tiers=(Tier(4, 2, 2),),
    half_tiers=(Tier(3, 1, 1),),
    half_levels=((1,), (2,), (3,)),
    half_entries=(1, 2),
)


def ring_keys(parameters: Parameters) -> list[KeySpecification]:
    """Of HALVES: those between its rings, a rotation and relinearisation in the smaller."""
    names = [0, 1, *parameters.ring_switch(0)]
    lift = KeySpecification(KeyName(parameters.ring_lift(7), 0), (6, 7))
    return [*(KeySpecification(KeyName(name, 1), (1, 2)) for name in names), lift]


def load(name: str) -> Parameters:
    """A ParameterLoader that knows the test sets."""
    known = {spec.name: spec for spec in (TINY, SHORT, HALVES)}
    if name not in known:
        raise KeyError(name)
    return build(known[name])


def gallery(log_ring_dimension: int = 6, features: int = 16, roots: int = 2) -> MatchParameters:
    """A small ring for galleries; blocks of N templates are sealed in a millisecond."""
    ring = Specification(
        name="insecure-gallery",
        log_ring_dimension=log_ring_dimension,
        limb_bits=(48,),
        special_bits=(50,),
        tiers=(Tier(1, 1, 1),),
        ring=Ring.STANDARD,
    )
    return MatchParameters(build(ring), features, roots, 2.0**17, 9.0e8, 24)


def gallery_keys(key: SecretKey, parameters: MatchParameters) -> EvaluationKeys:
    """The evaluation keys that a search needs."""
    return make_keys(key, MatchPlan(parameters).keys())


def unit_vectors(count: int, length: int, seed: int = 1) -> Array:
    """Random directions, [count, length]."""
    vectors: Array = np.random.default_rng(seed).normal(size=(count, length))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def chain(log_ring_dimension: int, limbs: int) -> Parameters:
    """A plain chain of 43-bit limbs with one tier."""
    return build(
        Specification(
            "insecure-chain",
            log_ring_dimension,
            (50,) + (43,) * (limbs - 1),
            (50,) * 5,
            (Tier(limbs, min(limbs, 5), 5),),
        )
    )


#: By how many bits the policy LEAN rescales a network of two blocks, from the bottom: what remains
#: for the score; match; normalisation (3); head; two for each block; stem.
LEAN_STEPS = (50, 50, 50, 34, 26, 73.5, 63, 62, 63, 62, 40)


def lean(log_ring_dimension: int) -> Parameters:
    """A chain like that of the preset of this name, for two blocks."""
    limbs = (50,) * 11
    return build(
        Specification(
            "insecure-lean",
            log_ring_dimension,
            limbs,
            (50,) * 7,
            (Tier(11, 6, 7), Tier(6, 6, 7)),
            levels=levels_of(limbs, list(accumulate(LEAN_STEPS))),
        )
    )


#: By how many bits the policy RAW rescales the same network: what remains for the embedding; head;
#: two for each block; stem.
RAW_STEPS = (63, *LEAN_STEPS[5:])


def raw(log_ring_dimension: int) -> Parameters:
    """A chain like that of the preset of this name, for two blocks."""
    limbs = (40, *(50,) * 7)
    return build(
        Specification(
            "insecure-raw",
            log_ring_dimension,
            limbs,
            (50,) * 9,
            (Tier(8, 8, 9), Tier(5, 5, 6)),
            levels=levels_of(limbs, list(accumulate(RAW_STEPS))),
        )
    )


def make_keys(key: SecretKey, specifications: Iterable[KeySpecification]) -> EvaluationKeys:
    """Evaluation keys in memory, each from a seed of its own."""
    keys = {}
    for domain, specification in enumerate(specifications, 1):
        seed = os.urandom(32)
        bodies = key.evaluation_key(specification, seed, domain)
        keys[specification.name] = expand_key(key.parameters, specification, bodies, seed, domain)
    return EvaluationKeys(key.parameters, key.key_id, keys)


def images_for(network: FusedNetwork, count: int, seed: int = 1) -> Array:
    """Images of uniform noise, (count, channels, size, size)."""
    shape = (count, network.stem.inputs, network.input_size, network.input_size)
    return np.random.default_rng(seed).uniform(-1, 1, shape)


def compile_for(
    network: FusedNetwork,
    parameters: Parameters,
    policy: Policy = SAFE,
    views: int = 1,
) -> CompiledNetwork:
    return compile_network(architecture_of(network), parameters, policy, ROOT, views)


def encrypt_inputs(key: SecretKey, plan: Plan, slots: Array) -> list[Ciphertext]:
    """Fresh ciphertexts of a plan's inputs."""
    return [
        key.encrypt(row, plan.values[name].scale)[0]
        for name, row in zip(plan.inputs, slots, strict=True)
    ]


@dataclass(frozen=True)
class Encrypted:
    """A compiled network with keys, ready to run natively."""

    compiled: CompiledNetwork
    tables: dict[str, Array]
    key: SecretKey
    evaluator: Evaluator
    packed: packed.PackedPlan

    def run(self, image: Array, progress: Progress | None = None) -> list[Ciphertext]:
        inputs = encrypt_inputs(self.key, self.compiled.plan, self.compiled.pack_image(image))
        return native.run(self.packed, self.evaluator, inputs, progress)


def encrypted(network: FusedNetwork, parameters: Parameters, key: SecretKey) -> Encrypted:
    compiled = compile_for(network, parameters)
    tables = compiled.tables(network)
    keys = make_keys(key, required_keys([compiled.plan], parameters))
    return Encrypted(
        compiled,
        tables,
        key,
        Evaluator(parameters, keys, 1),
        packed.pack(compiled.plan, tables, parameters),
    )


def engine_for(
    network: FusedNetwork,
    parameters: Parameters,
    packings: Iterable[Together] = (Together.ALONE,),
    capacity: int = 8,
    client_normalises: bool = False,
) -> Engine:
    """What client and server of a small network share."""
    circuit = Circuit(parameters.name, ROOT, client_normalises=client_normalises)
    shape = architecture_of(network)
    return Engine(circuit, parameters, shape, SAFE, BATCH, capacity, tuple(packings))


def faces(images: Array) -> list[PreparedFace]:
    """Images (count, 3, size, size), or one of them, as `FaceClient.encrypt` takes them."""
    how = Preparation.as_given(64)  # 16 is no size of a real network
    return [
        PreparedFace(image, "as-given", how) for image in images.reshape(-1, *images.shape[-3:])
    ]


@dataclass(frozen=True)
class World:
    """A client and a server around one small network."""

    network: FusedNetwork
    images: Array
    engine: Engine
    key: SecretKey
    keys: EvaluationKeys
    client: FaceClient
    server: FaceServer

    @property
    def parameters(self) -> Parameters:
        return self.key.parameters

    @property
    def compiled(self) -> CompiledNetwork:
        return self.engine.compiled

    @property
    def match(self) -> Plan:
        return self.engine.match_plan

    @property
    def tables(self) -> dict[str, Array]:
        return self.compiled.tables(self.network)

    @property
    def specifications(self) -> list[KeySpecification]:
        return self.engine.keys()

    def server_for(self, network: FusedNetwork) -> FaceServer:
        """A server with other weights for the same plan."""
        return FaceServer(self.keys, self.engine, network)

    def client_for(self, key: SecretKey) -> FaceClient:
        """Another client of the same circuit."""
        return FaceClient(key, self.engine)

    def reference(self, images: Array) -> Array:
        """Normalised embeddings in the clear."""
        embedding = embed(self.network, images)
        return embedding * ROOT.evaluate(squared_norm(embedding))[:, None]


def make_world(
    packings: Iterable[Together] = (Together.ALONE,),
    images: int = 3,
    embedding: int = 16,
    client_normalises: bool = False,
) -> World:
    network, parameters = random_fused(0, embedding=embedding), load(TINY.name)
    engine = engine_for(network, parameters, packings, client_normalises=client_normalises)
    key = SecretKey.generate(parameters)
    keys = make_keys(key, engine.keys())
    server = FaceServer(keys, engine, network)
    faces = images_for(network, images)
    return World(network, faces, engine, key, keys, FaceClient(key, engine), server)


def device(engine: Engine, own: Path) -> DeviceClient:
    """The device of a key file that a `Register` made for this engine's key."""
    key, owner, tokens = load_device_key(own, load)
    return DeviceClient(key, engine, owner, tokens)


def scaled_block(network: FusedNetwork, factor: float) -> FusedNetwork:
    """The network with the first convolution of its first block multiplied."""
    block = network.blocks[0]
    conv = FusedConv(
        block.conv1.weight * factor, block.conv1.bias, block.conv1.stride, block.conv1.padding
    )
    return replace(network, blocks=(replace(block, conv1=conv), *network.blocks[1:]))


def cancelling(network: FusedNetwork, image: Array, gain: float) -> FusedNetwork:
    """The network with large features that cancel for this image, so that their noise is left."""
    trace: Trace = []
    embed(network, image[None], trace)
    features = dict(trace)["pooled"].ravel()
    more = np.random.default_rng(0).normal(size=(network.embedding, features.size))
    more -= np.outer(more @ features, features) / (features @ features)
    weight = network.head_weight + gain * more.reshape(network.head_weight.shape)
    return replace(network, head_weight=weight)
