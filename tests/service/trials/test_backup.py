"""A backup of a service that runs, with clients who change it, and what comes out of it again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fhe_face.remote import jobs
from fhe_face.remote.waiting import wait
from fhe_face.service.backup import back_up
from fhe_face.service.restoring import restore
from fhe_face.service.rows import Room
from tests.gallery.killing import PHOTOS, Model
from tests.gallery.kit import consistent
from tests.remote.kit import other_client
from tests.service.jobs.afterwards import embedder
from tests.service.jobs.kit import Owner, wait_for
from tests.service.trials.place import Place
from tests.service.trials.test_chaos import PATIENCE, Chaos
from tests.service.trials.visitor import reopen


@pytest.mark.slow
def test_a_running_service_is_backed_up(owner: Owner, tmp_path: Path, url: str | None) -> None:
    chaos = Chaos.make(tmp_path / "first", owner, url, seed=1)
    log = chaos.visits["enrol"].log
    try:
        chaos.more_work()
        chaos.start()
        wait_for(lambda: log.exists() and log.read_text().count("end enrol") >= 3, PATIENCE)
        wait_for(lambda: len(chaos.accepted()) >= 3, PATIENCE)
        accepted, before = chaos.accepted(), log.read_text()
        with chaos.place.open() as service:
            back_up(service, tmp_path / "backup")
        after = log.read_text()
        chaos.require_alive()
    finally:
        chaos.end()
        chaos.place.stop()
    second = Place(tmp_path / "second", chaos.place.environment)
    second.root.mkdir()
    restore(tmp_path / "backup", second.folder)
    for tenant in ("alice", "bob"):
        shutil.copyfile(chaos.place.token(tenant), second.token(tenant))
    second.start()
    try:
        with second.connect("alice") as connection:
            for job in accepted.values():
                wait(connection, jobs.find(connection, job), patience=PATIENCE)
        other_client(chaos.place.root / "gallery", second.root / "gallery")
        with reopen(second, "alice", second.root / "gallery") as gallery:
            consistent(gallery)
            found = {one.name: one.templates for one in gallery.subjects() if one.templates}
    finally:
        second.stop()
    embed = embedder(owner.key)
    with second.open() as service:
        for name in accepted:
            output = service.blobs.path("alice", Room.EMBEDDINGS, name).read_bytes()
            assert output == embed(chaos.place.root / f"{name}.ct")
    require_moment(found, before, after)


def require_moment(found: dict[str | None, int], before: str, after: str) -> None:
    """Who was there before the backup and after it is in it; who came later is not."""
    first, last = Model(), Model()
    first.read(before)
    last.read(after)
    for person in first.alive & last.alive:
        assert found[f"{person}"] == PHOTOS
    begun = {line.split()[2] for line in after.splitlines() if line.startswith("begin enrol")}
    assert set(found) <= begun
