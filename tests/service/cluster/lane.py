"""The lanes of a worker whose Ray nodes compute on tiny rings, as processes; this one: of jobs."""

from __future__ import annotations

from dataclasses import replace

from fhe_core.matching import MatchParameters
from fhe_face.service.cluster import lane, search_lane
from fhe_face.service.cluster.messages import NodeSettings
from fhe_face.service.jobs.lane import LaneSettings
from tests.gallery.kit import SMALL
from tests.service.jobs.engine import TinyEngines


def tiny_engines(_weights: str | None, _threads: int | None) -> TinyEngines:
    return TinyEngines()


def tiny_ring() -> MatchParameters:
    return SMALL


def tiny(settings: LaneSettings) -> NodeSettings:
    """What nodes are told in tests."""
    here = "tests.service.cluster.lane"
    told = lane.node_settings(settings)
    return replace(told, engine=f"{here}:tiny_engines", ring=f"{here}:tiny_ring")


def serve(settings: LaneSettings) -> None:
    lane.serve(settings, tiny(settings), insecure=True)


def serve_searches(settings: LaneSettings) -> None:
    search_lane.serve(settings, tiny(settings))


if __name__ == "__main__":
    lane.be_lane(serve)
