"""The lanes of a worker whose Ray nodes compute on tiny rings, as processes; this one: of jobs."""

from __future__ import annotations

import sys
from dataclasses import replace

from fhe_core.errors import Failure
from fhe_core.matching import MatchParameters
from fhe_face.service.cluster import lane, search_lane
from fhe_face.service.cluster.messages import NodeSettings
from fhe_face.service.jobs.lane import LaneSettings, read_settings
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


def main(searches: bool) -> None:
    settings = read_settings(limited=False)
    try:
        if searches:
            search_lane.serve(settings, tiny(settings))
        else:
            lane.serve(settings, tiny(settings), insecure=True)
    except Failure as error:
        sys.exit(lane.refused(error))


if __name__ == "__main__":
    main(searches=False)
