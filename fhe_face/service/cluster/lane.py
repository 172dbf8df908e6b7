"""The lane of jobs that has Ray's nodes compute: ``python -m fhe_face.service.cluster.lane``.

Started by the worker like the lane that computes by itself, settings on stdin. It loads no engine.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable

from fhe_core.errors import Failure
from fhe_face.service.cluster.messages import NodeSettings, named
from fhe_face.service.cluster.pool import Pool
from fhe_face.service.cluster.reaching import NoCluster
from fhe_face.service.cluster.seats import Seats
from fhe_face.service.jobs.claims import Claims
from fhe_face.service.jobs.engines import Engines
from fhe_face.service.jobs.keeping import tell_identity
from fhe_face.service.jobs.lane import LaneSettings, cannot_start, log, read_settings
from fhe_face.service.jobs.opening import open_jobs
from fhe_face.service.jobs.stopping import Stopping
from fhe_face.service.opening import open_service


def serve(settings: LaneSettings, node: NodeSettings, *, insecure: bool = False) -> None:
    """Have nodes compute jobs until asked to end.

    insecure: whether nodes may compute on rings that protect nothing; only tests say so.

    Raises:
        NoCluster: the cluster cannot be reached. Failure: there is no such service.
    """
    stopping = Stopping(settings.grace)
    stopping.on_signals()
    engines: Engines = named(node.engine)(node.weights, node.threads)
    with open_service(settings.folder) as service, pool_of(settings, node) as pool:
        database = open_jobs(service)
        claims = Claims(database, settings.worker, settings.limits)
        tell_identity(claims, engines.identity)
        log("ready", {"lane": "jobs", "ray": pool.address})
        mine = engines.identity()
        Seats(claims, service.blobs, service.folder, pool, mine, stopping, insecure).run()
        database.engine.dispose()


def pool_of(settings: LaneSettings, node: NodeSettings) -> Pool:
    """The cluster that the settings name. Services on one cluster do not see each other's."""
    digest = hashlib.sha256(settings.folder.encode()).hexdigest()
    return Pool(str(settings.ray), node, f"fhe-face-{digest[:16]}")


def node_settings(settings: LaneSettings) -> NodeSettings:
    """What nodes are told."""
    return NodeSettings(
        folder=settings.folder,
        weights=settings.weights,
        threads=settings.threads,
        memory=settings.memory,
        blocks=settings.blocks,
    )


def be_lane(serve: Callable[[LaneSettings], None]) -> None:
    """A lane's main: where it cannot start it says why; a cluster may be there a little later."""
    settings = read_settings(limited=False)
    try:
        serve(settings)
    except Failure as error:
        status = cannot_start(error)
        sys.exit(1 if isinstance(error, NoCluster) else status)


def main() -> None:
    """The lane with the real engine."""
    be_lane(lambda settings: serve(settings, node_settings(settings)))


if __name__ == "__main__":
    main()
