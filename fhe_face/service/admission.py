"""What the service takes, decided by headers: circuits on a list, and files that plans ask for.

The checks are those of the engine and of the client (`fhe_face.shapes`): exact lists of sections
in exact shapes, so that a tenant can store nothing but what will be computed with.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from typing import Any, Final

from fhe_core.container import (
    Corrupt,
    DType,
    Header,
    KeyMismatch,
    Kind,
    ParameterMismatch,
    WrongKind,
    require_match,
)
from fhe_core.formats.ciphertexts import key_layout, key_specifications, known_facts
from fhe_core.formats.devices import require_switching
from fhe_core.formats.heads import read_head
from fhe_core.formats.purpose import DEVICE_ID, require_device, require_gallery
from fhe_core.keys.expand import SEED_BYTES
from fhe_core.matching.parameters import MatchParameters, gallery_parameters
from fhe_core.matching.plan import MatchPlan
from fhe_core.normalisation import NormalisationError
from fhe_core.parameters import Parameters
from fhe_core.plan import KeySpecification, PlanError
from fhe_face.circuit import (
    ENTRY,
    INPUT_SIZE,
    MAX_VIEWS,
    PACKINGS,
    Circuit,
    CircuitError,
    circuit_of,
    normalisation_of,
    packings_for,
)
from fhe_face.engine import Engine, choose_engine, compile_engine, key_memory
from fhe_face.places import EMBEDDING, IMAGE, Packing, describe
from fhe_face.senders import UnknownDevice, owner_of
from fhe_face.service.rows import Room
from fhe_face.service.uploads import KeyFacts, KnowsDevice
from fhe_face.shapes import require_shape

#: What bundles of a room hold.
HELD: Final = {Room.FACES: IMAGE, Room.EMBEDDINGS: EMBEDDING}
#: Engines whose plans are kept: compiling takes a second, and clients can ask for many.
_KEPT: Final = 16

#: Finds what a circuit is computed with; tests give their own.
EngineMaker = Callable[[Circuit, tuple[Packing, ...]], Engine]


class NotServed(ParameterMismatch):
    """Keys for a circuit that this service does not compute."""

    code = "not-served"


@dataclass(frozen=True)
class Circuits:
    """What this service computes.

    served: descriptions of circuits. gallery: the searches' ring. memory: bytes that keys may take
    where jobs are computed; None: no limit.
    """

    served: tuple[Mapping[str, Any], ...]
    gallery: MatchParameters
    make: EngineMaker = compile_engine
    memory: int | None = None
    _engines: Callable[[str], Engine] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Give each instance a memory of its own for compiled plans."""
        object.__setattr__(self, "_engines", lru_cache(_KEPT)(self._engine))

    @classmethod
    def of(
        cls,
        sizes: Iterable[int] = (INPUT_SIZE,),
        coefficients: Iterable[str] = (),
        memory: int | None = None,
    ) -> Circuits:
        """Faces of these sizes, with and without mirror images, whoever normalises.

        coefficients: files of normalisations beside the default one.

        Raises:
            CircuitError, CoefficientError, PlanError, NormalisationError: what cannot be computed.
        """
        normalisations = [normalisation_of(file) for file in (None, *coefficients)]
        served: list[Mapping[str, Any]] = []
        for size, how in product(sorted(set(sizes)), normalisations):
            for raw, views in product((False, True), range(1, MAX_VIEWS + 1)):
                engine = choose_engine(how, size, views, client_normalises=raw)
                one = engine.circuit.describe()
                served += [] if one in served else [one]
        return cls(tuple(served), gallery_parameters(), memory=memory)

    def summaries(self) -> list[str]:
        """What is computed, for people."""
        return [Circuit.from_description(one).summary() for one in self.served]

    def admit(
        self, room: Room, header: Header, keys: KeyFacts, knows: KnowsDevice
    ) -> Mapping[str, Any]:
        """The facts of a file that may be sent.

        Raises:
            ContainerError: it is damaged, of another kind, or has other sections than it should;
            NotServed: keys for a circuit that is not computed here;
            KeyMismatch: ciphertexts of a key whose evaluation keys were not sent before;
            UnknownDevice: of a device whose switching key was not.
        """
        if room is Room.KEYS:
            return self._admit_keys(header)
        if room is Room.GALLERY_KEYS:
            return self._admit_gallery_keys(header)
        if room is Room.DEVICE_KEYS:
            return self._admit_device_key(header, keys)
        if room in HELD:
            return self._admit_bundle(HELD[room], header, keys, knows)
        raise WrongKind(f"{header.source}: scores are computed here, and not sent")

    def _admit_keys(self, header: Header) -> Mapping[str, Any]:
        _require_kind(header, Kind.EVALUATION_KEYS)
        circuit, packings = circuit_of(header), packings_for(header)
        if circuit.describe() not in self.served:
            raise NotServed(
                f"{header.source}: keys for {circuit.summary()}; this server does not compute "
                f"that, but {'; or '.join(self.summaries()) or 'nothing'}"
            )
        facts = {ENTRY: circuit.describe(), PACKINGS: [packing.value for packing in packings]}
        engine = self._engines(json.dumps(facts))
        require_match(header, parameter_hash=engine.parameters.digest)
        held = key_specifications(header, engine.parameters)
        needed = key_memory(held, engine.parameters)
        if self.memory is not None and needed > self.memory:
            raise NotServed(
                f"{header.source}: these keys take {needed} bytes in memory; this server has "
                f"{self.memory} for them"
            )
        _require_keys(header, held, engine.keys(), engine.parameters)
        return facts

    def _admit_gallery_keys(self, header: Header) -> Mapping[str, Any]:
        _require_kind(header, Kind.EVALUATION_KEYS)
        require_gallery(header)
        parameters = self.gallery.parameters
        require_match(header, parameter_hash=parameters.digest)
        held = key_specifications(header, parameters)
        _require_keys(header, held, MatchPlan(self.gallery).keys(), parameters)
        return {}

    def _admit_device_key(self, header: Header, keys: KeyFacts) -> Mapping[str, Any]:
        _require_kind(header, Kind.EVALUATION_KEYS)
        require_device(header)
        engine = self._engine_for(header, header.key_id, keys)
        return {DEVICE_ID: require_switching(header, engine.parameters, header.key_id)}

    def _admit_bundle(
        self, what: str, header: Header, keys: KeyFacts, knows: KnowsDevice
    ) -> Mapping[str, Any]:
        _require_kind(header, Kind.CIPHERTEXT)
        owner = None
        if what == IMAGE:
            owner = owner_of(header.source, header.key_id, known_facts(header))
        engine = self._engine_for(header, owner or header.key_id, keys)
        if owner is not None and not knows(header.key_id):
            raise UnknownDevice(
                f"{header.source}: is of device {header.key_id[:8]}, which was never added here or "
                "was revoked"
            )
        require_match(header, parameter_hash=engine.parameters.digest)
        runs = require_shape(read_head(header, engine.parameters), what, engine)
        sender = {} if owner is None else {DEVICE_ID: header.key_id}
        return {"runs": describe(runs), **sender}

    def _engine_for(self, header: Header, key_id: str, keys: KeyFacts) -> Engine:
        facts = keys(key_id)
        if facts is None:
            raise KeyMismatch(
                f"{header.source}: belongs to key {key_id[:8]}, of which no evaluation keys were "
                "sent: send them first"
            )
        return self._engines(json.dumps(facts))

    def _engine(self, text: str) -> Engine:
        facts = json.loads(text)
        packings = tuple(Packing(name) for name in facts[PACKINGS])
        try:
            engine = self.make(Circuit.from_description(facts[ENTRY]), packings)
            engine.plans()
        except (CircuitError, PlanError, NormalisationError) as error:
            raise Corrupt(f"the file: its circuit cannot be computed: {error}") from None
        return engine


def _require_kind(header: Header, kind: Kind) -> None:
    if header.kind is not kind:
        raise WrongKind(f"{header.source}: is of kind {header.kind.label}, expected {kind.label}")


def _require_keys(
    header: Header,
    held: Collection[KeySpecification],
    wanted: Collection[KeySpecification],
    parameters: Parameters,
) -> None:
    """Exactly the keys that the plans need, and exactly their sections."""
    names = {specification.name: specification for specification in held}
    for specification in wanted:
        found = names.pop(specification.name, None)
        if found is None or not found.serves(specification):
            raise KeyMismatch(
                f"{header.source}: lacks the key for rotation {specification.name.rotation}; make "
                "keys with the version of this server"
            )
        if found != specification:
            raise Corrupt(f"{header.source}: holds a key for levels at which nothing needs it")
    if names:
        raise Corrupt(f"{header.source}: holds {len(names)} keys that nothing needs")
    shapes: dict[str, tuple[DType, tuple[int, ...]]] = {"seed": (DType.U8, (SEED_BYTES,))}
    for position, specification in enumerate(held):
        shapes[f"key/{position}"] = key_layout(specification, parameters).form
    if {s.name: (s.dtype, s.shape) for s in header.sections} != shapes:
        raise Corrupt(f"{header.source}: its sections are not those of its keys")
