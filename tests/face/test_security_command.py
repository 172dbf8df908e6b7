"""``fhe-face security``"""

from __future__ import annotations

import pytest

from fhe_core.parameters import attacks as lattice
from fhe_core.parameters import presets
from tests.face.kit import Run


def test_every_preset_is_listed(fhe_face: Run) -> None:
    answer = fhe_face("security", "--json").json()
    assert [row["name"] for row in answer["presets"]] == [spec.name for spec in presets.SHIPPED]
    assert {model["name"] for model in answer["models"]} == {m.name for m in lattice.MODELS}
    for row in answer["presets"]:
        parameters = presets.load(row["name"])
        assert row["log2_qp"] == pytest.approx(parameters.log2_qp, abs=0.01)
        assert row["margin_bits"] == pytest.approx(1747 - parameters.log2_qp, abs=0.01)
        assert len(row["estimates"]) == len(lattice.ATTACKS) * len(lattice.MODELS)
        assert row["ring"] == "real"
    assert answer["gallery"]["name"] == "gallery"
    assert answer["gallery"]["ring"] == "standard"
    assert answer["gallery"]["margin_bits"] == pytest.approx(214 - 98, abs=0.1)
    assert "noise" not in answer


def test_every_ring_is_listed(fhe_face: Run) -> None:
    for row in fhe_face("security", "--json").json()["presets"]:
        half = presets.load(row["name"]).half
        if half is None:
            assert row["half"] is None
            continue
        assert row["half"]["ring_dimension"] == row["ring_dimension"] // 2
        assert row["half"]["log2_qp"] == pytest.approx(half.log2_qp, abs=0.01)
        assert row["half"]["margin_bits"] == pytest.approx(868 - half.log2_qp, abs=0.01)
        assert len(row["half"]["estimates"]) == len(row["estimates"])
    assert "\n  lean, half ring " in fhe_face("security").out


def test_keys_of_devices_are_listed(fhe_face: Run) -> None:
    """Their samples have fewer primes than the largest key that there could be."""
    for row in fhe_face("security", "--json").json()["presets"]:
        device = row["device"]
        assert device["ring_dimension"] == row["ring_dimension"]
        assert device["log2_qp"] <= row["log2_qp"]
        assert device["margin_bits"] == pytest.approx(1747 - device["log2_qp"], abs=0.01)
        assert len(device["estimates"]) == len(row["estimates"])
    assert "\n  lean, device key " in fhe_face("security").out


def test_people_see_the_same(fhe_face: Run) -> None:
    result = fhe_face("security")
    assert result.status == 0
    for spec in presets.SHIPPED:
        assert f"\n  {spec.name} " in result.out
    assert "\n  gallery " in result.out
    assert "primal-bdd" in result.out
    assert "matzov" in result.out


def test_the_noise_of_a_network(fhe_face: Run) -> None:
    from fhe_face.network import bundled_weights

    noise = fhe_face("security", "--weights", bundled_weights(), "--json").json()["noise"]
    assert noise["preset"] == "lean"
    assert 6 < noise["embedding_precision_bits"] < 16
    assert noise["tightest_step"] == "inner product"
    assert 5 < noise["tightest_headroom_bits"] < 8
    assert noise["log2_failure"] < -10_000
