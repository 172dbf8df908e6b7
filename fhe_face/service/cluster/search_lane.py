"""The lane of searches that has Ray's nodes search: ``fhe_face.service.cluster.search_lane``.

It answers over the same socket as the lane that searches by itself, and holds no block.
"""

from __future__ import annotations

from pathlib import Path

from fhe_face.server.blocks import Computing
from fhe_face.service.cluster.lane import be_lane, node_settings, pool_of
from fhe_face.service.cluster.messages import NodeSettings, named
from fhe_face.service.cluster.pool import Pool
from fhe_face.service.cluster.spread import Spread
from fhe_face.service.jobs.galleries import Galleries
from fhe_face.service.jobs.lane import LaneSettings
from fhe_face.service.jobs.search_lane import run


def serve(settings: LaneSettings, node: NodeSettings) -> None:
    """Answer searches until SIGTERM. NoCluster: the cluster cannot be reached."""
    with pool_of(settings, node) as pool:
        run(settings, galleries_of(Path(settings.folder), node, pool))


def galleries_of(folder: Path, node: NodeSettings, pool: Pool) -> Galleries:
    """All galleries of a service, on the nodes of a cluster."""
    parameters = named(node.ring)()

    def compute(gallery: Path, key_id: str) -> Computing:
        return Spread(pool, gallery.relative_to(folder), key_id, parameters)

    return Galleries(node.blocks, node.threads, parameters, compute)


def main() -> None:
    """The lane with the ring of every gallery."""
    be_lane(lambda settings: serve(settings, node_settings(settings)))


if __name__ == "__main__":
    main()
