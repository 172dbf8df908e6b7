"""Headers that ask for work, or hold what has no hash, are one clear error before any work."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from fhe_core import container
from fhe_core.container import Corrupt, Header, KeyMismatch, Kind, Section
from fhe_core.formats.ciphertexts import key_specifications, known_facts
from fhe_core.normalisation import Normalisation
from fhe_core.parameters import presets
from fhe_core.plan import KeyName, PlanError
from fhe_face.circuit import ENTRY, MAX_DEGREE, PACKINGS, Circuit, packings_for
from fhe_face.client.client import FaceClient
from fhe_face.engine import compile_engine
from fhe_face.places import Packing, packings_of
from fhe_face.server import server
from fhe_face.server.job import needed
from fhe_face.server.server import FaceServer
from tests.face.kit import CIRCUIT, Kit, Run

INTERVAL = (100.0, 3000.0)


def root_of_degree(degree: int, steps: int = 0) -> Normalisation:
    """A normalisation as good as any of its degree."""
    low, high = INTERVAL
    t = np.cos((np.arange(512) + 0.5) * np.pi / 512)
    y = (t * (high - low) + high + low) / 2
    fit = np.polynomial.chebyshev.chebfit(t, 1 / np.sqrt(y), degree)
    return Normalisation(tuple(float(c) for c in fit), INTERVAL, steps)


def key_file(path: Path, metadata: Mapping[str, Any], kind: Kind = Kind.EVALUATION_KEYS) -> Path:
    """A key file that says so, with next to nothing in it."""
    facts = compile_engine(CIRCUIT).facts()
    parameters = presets.load(CIRCUIT.preset)
    own = {"parameters": parameters.name, "keys": [], **facts, **metadata}
    seed = Section.from_array("seed", np.zeros(32, np.uint8))
    secret = kind is Kind.SECRET_KEY
    container.write(path, kind, parameters.digest, "00" * 16, own, [seed], private=secret)
    return path


def described(normalisation: Normalisation, **changes: Any) -> dict[str, Any]:
    return {**CIRCUIT.describe(), "normalisation": normalisation.describe(), **changes}


def header_with(**metadata: Any) -> Header:
    return Header("a.key", Kind.EVALUATION_KEYS, "", "", MappingProxyType(metadata), (), 0, 0)


def test_a_long_list_of_keys_takes_no_quadratic_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A header of 1 MiB has room for 80,000 entries, which once took twenty minutes."""
    compared = 0

    def equal(one: KeyName, other: object) -> bool:
        nonlocal compared
        compared += 1
        assert compared < 10_000, "every name is compared with every other"
        assert isinstance(other, KeyName)
        return (one.rotation, one.tier) == (other.rotation, other.tier)

    monkeypatch.setattr(KeyName, "__eq__", equal)
    parameters = presets.load("lean")
    bits = {one.tier: 1 << level for level, one in enumerate(parameters.levels)}
    entries = [[rotation, tier, bits[tier]] for tier in range(2) for rotation in range(20_000)]
    found = key_specifications(header_with(keys=entries), parameters)
    assert len(found) == 40_000
    with pytest.raises(Corrupt, match="two keys of the same name"):
        key_specifications(header_with(keys=[*entries, [7, 1, bits[1]]]), parameters)


@pytest.mark.parametrize("entry", [["alone"], {"alone": 1}, 3, None, True, "many", 1 << 63])
def test_packings_that_are_none(entry: Any, tmp_path: Path) -> None:
    with pytest.raises(Corrupt, match="single faces or batches"):
        packings_for(header_with(**{PACKINGS: ["alone", entry]}))
    path = key_file(tmp_path / "x.key", {PACKINGS: [entry]})
    with pytest.raises(Corrupt, match=r"x\.key: does not say whether"):
        FaceServer.load(path)


@pytest.mark.parametrize("runs", [[5], [{"a": 1}], [True], [[]], {"0": 1}, "alone", [None]])
def test_runs_that_are_none_need_nothing(runs: Any, kit: Kit, tmp_path: Path) -> None:
    assert packings_of({"runs": runs}) == []
    assert packings_of({"runs": [runs, ["batch", 3]]}) == [Packing.BATCH]
    path = tmp_path / "x.ct"
    with container.open(kit.image_ct) as reader:
        header = reader.header
        facts = {**known_facts(header), "runs": runs}
        sections = [Section.from_array(name, reader.array(name)) for name in reader.names]
        metadata = {**header.metadata, "facts": facts}
        container.write(path, header.kind, header.parameter_hash, header.key_id, metadata, sections)
    assert needed([path]) == set()


@pytest.mark.parametrize(
    ("circuit", "message"),
    [
        (described(root_of_degree(64, 2)), "normalisation of degree 580; keys are made for 31"),
        (described(root_of_degree(32)), "normalisation of degree 32; keys are made for 31"),
        (described(root_of_degree(31)), "cannot be computed: a normalisation of degree 31"),
        (
            described(Normalisation((0.0, 1.0), INTERVAL)),
            "cannot be computed: the polynomial is not",
        ),
        (described(CIRCUIT.normalisation, preset="huge"), "for other parameters"),
    ],
)
def test_a_circuit_is_refused_before_weights_are_read(
    circuit: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def weights(*_arguments: Any) -> None:
        raise AssertionError("weights were read")

    monkeypatch.setattr(server, "load_network", weights)
    path = key_file(tmp_path / "x.key", {ENTRY: circuit})
    started = time.thread_time()
    with pytest.raises(Corrupt, match=message) as caught:
        FaceServer.load(path)
    assert str(path) in str(caught.value)
    assert time.thread_time() - started < 3.0
    with pytest.raises(Corrupt, match=message):
        FaceServer.load_matcher(path)


def test_a_circuit_that_its_packings_do_not_have(tmp_path: Path) -> None:
    wrong = {ENTRY: described(CIRCUIT.normalisation, views=2), PACKINGS: ["batch"]}
    with pytest.raises(Corrupt, match=r"x\.key: a batch has no room for mirror images"):
        FaceServer.load(key_file(tmp_path / "x.key", wrong))
    with pytest.raises(Corrupt, match=r"y\.key: a batch has no room for mirror images"):
        FaceClient.load(key_file(tmp_path / "y.key", wrong, Kind.SECRET_KEY))


def test_a_wanted_key_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not by looking through all that a header names, once for each of seventy keys."""
    compared = 0

    def equal(one: KeyName, other: object) -> bool:
        nonlocal compared
        compared += 1
        assert isinstance(other, KeyName)
        return (one.rotation, one.tier) == (other.rotation, other.tier)

    top = 1 << presets.load(CIRCUIT.preset).top
    entries = [[rotation, 0, top] for rotation in range(20_000)]
    path = key_file(tmp_path / "x.key", {"keys": entries})
    monkeypatch.setattr(KeyName, "__eq__", equal)
    with pytest.raises(KeyMismatch, match=r"x\.key: lacks the key for"):
        FaceServer.load_matcher(path)
    assert compared < 5_000


def test_no_honest_key_is_beyond_the_limit() -> None:
    """The preset with the longest chain has no plan at the limit."""
    longest = compile_engine(Circuit("deep", root_of_degree(MAX_DEGREE)))
    with pytest.raises(PlanError, match="degree 31"):
        longest.plans()
    batches = compile_engine(Circuit("deep", root_of_degree(16)), [Packing.BATCH])
    with pytest.raises(PlanError, match="degree 16"):
        batches.plans()


def test_no_file_controls_the_terminal(fhe_face: Run, kit: Kit, tmp_path: Path) -> None:
    """`info` is what people run on a file that they do not trust."""
    path, escape = tmp_path / "x.ct", "\x1b[2J\x9b\u202e"
    with container.open(kit.image_ct) as reader:
        header = reader.header
        how = {f"size{escape}": f"64{escape}"}
        metadata = {
            **header.metadata,
            "what": f"image{escape}",
            "facts": {**known_facts(header), "preparation": how},
        }
        sections = [Section.from_array(name, reader.array(name)) for name in reader.names]
        container.write(path, header.kind, header.parameter_hash, header.key_id, metadata, sections)
    shown = fhe_face("info", path)
    assert shown.status == 0
    for output in (shown.out, fhe_face("decrypt", path, "--key", kit.client_key).refused()):
        assert not set("\x1b\x9b\u202e").intersection(output)
    assert r"\x1b[2J" in shown.out
