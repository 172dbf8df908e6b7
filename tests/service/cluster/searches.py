"""The lane of searches of such a worker."""

from __future__ import annotations

from fhe_face.service.cluster.lane import be_lane
from tests.service.cluster.lane import serve_searches

if __name__ == "__main__":
    be_lane(serve_searches)
