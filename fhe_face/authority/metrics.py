"""Counters for an operator. Nobody's name is a label, and no word is counted by itself."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from sqlalchemy import func, select

from fhe_face.authority.alarms import all_alarms
from fhe_face.authority.tables import requests
from fhe_face.service.metrics import Counters
from fhe_face.store.database import Database


class Metrics(Counters):
    """One authority's."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._ask(_Kept(database))


class _Kept:
    """What the database knows, over restarts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def collect(self) -> Iterator[Metric]:
        alarms = GaugeMetricFamily("fhe_face_authority_alarms", "Alarms that are open.")
        alarms.add_metric([], len(all_alarms(self._database)))
        yield alarms
        query = select(func.count()).select_from(requests).where(requests.c.opened.is_not(None))
        with self._database.reading() as connection:
            count = connection.execute(query).scalar_one()
        opened = CounterMetricFamily("fhe_face_authority_opened", "Results that were opened.")
        opened.add_metric([], count)
        yield opened
