"""The lane of searches of such a worker."""

from __future__ import annotations

from tests.service.cluster.lane import main

if __name__ == "__main__":
    main(searches=True)
