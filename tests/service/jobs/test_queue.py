"""The queue: submitting, status, order, cancelling, ends; all in one process."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import inspect, select

from fhe_core.container import Header, read_header
from fhe_core.errors import Failure
from fhe_core.formats.ciphertexts import load_bundle
from fhe_face.progress import Stage
from fhe_face.service.errors import Busy, Invalid, NotComplete, NotHere
from fhe_face.service.jobs.calling import SearchClient
from fhe_face.service.jobs.claims import Claims
from fhe_face.service.jobs.engines import Resident
from fhe_face.service.jobs.inline import work
from fhe_face.service.jobs.keeping import Keeper, Presence
from fhe_face.service.jobs.opening import open_jobs
from fhe_face.service.jobs.queue import JobQueue, open_queue
from fhe_face.service.jobs.records import Limits
from fhe_face.service.jobs.tables import jobs, metadata
from fhe_face.service.queueing import Queue, State
from fhe_face.service.rows import Room
from fhe_face.service.settings import Settings
from fhe_face.system import size
from tests.service.jobs.engine import TinyEngines, ring
from tests.service.jobs.kit import LIMITS, Kit, Owner, counted


def test_the_queue_is_what_the_api_asks_for(kit: Kit) -> None:
    queue: Queue = kit.queue
    assert queue.identity() == ""
    with_settings: Queue = open_queue(kit.service, Settings())
    with_settings.close()


def test_an_embedding_is_computed_and_is_that_of_the_server(kit: Kit, counts: Path) -> None:
    kit.tenant("alice")
    kit.faces("alice", "face")
    job = kit.embed("alice", "face", "out")
    waiting = kit.queue.status("alice", job)
    assert (waiting.state, waiting.position, waiting.error) == (State.QUEUED, 0, None)
    assert work(kit.service, TinyEngines()) == [job]
    done = kit.queue.status("alice", job)
    assert (done.state, done.position, done.target) == (State.DONE, None, "out")
    assert done.started is not None
    assert done.finished is not None
    bundle = load_bundle(kit.service.blobs.path("alice", Room.EMBEDDINGS, "out"), load=ring)
    assert bundle.key_id == kit.owner.client.key_id
    assert kit.queue.identity() == TinyEngines().identity()


def test_scores_are_computed_of_two_embeddings(kit: Kit, counts: Path) -> None:
    kit.tenant("alice")
    for seed, name in enumerate(("one", "two")):
        kit.faces("alice", name, seed=seed)
        kit.embed("alice", name, name)
    work(kit.service, TinyEngines())
    inputs = {"left": "one", "right": "two", "key": "key"}
    job = kit.queue.submit("alice", "score", inputs, (Room.SCORES, "s"))
    work(kit.service, TinyEngines())
    assert kit.queue.status("alice", job).state is State.DONE
    assert kit.output("alice", "s", Room.SCORES)


def test_many_faces_are_parts_with_the_output_of_one_go(kit: Kit, counts: Path) -> None:
    kit.tenant("alice")
    kit.faces("alice", "faces", 3)
    job = kit.embed("alice", "faces", "out")
    work(kit.service, TinyEngines())
    assert kit.queue.status("alice", job).state is State.DONE
    assert counted(counts, "end") == [f"{job}/{part}" for part in range(3)]
    assert not list((kit.service.folder / "parts").iterdir())
    keys = kit.service.blobs.path("alice", Room.KEYS, "key")
    resident = TinyEngines().load(keys, lambda *_: None)
    server = resident.resident.server  # type: ignore[attr-defined]
    whole = server.embed(server.read(kit.service.blobs.path("alice", Room.FACES, "faces"), "image"))
    assert kit.output("alice", "out") == whole.to_bytes()


# --- Names ---------------------------------------------------------------------------------------


def test_the_same_job_is_computed_once(kit: Kit, counts: Path) -> None:
    kit.tenant("alice")
    kit.faces("alice", "face")
    job = kit.embed("alice", "face", "out")
    assert kit.embed("alice", "face", "out") == job
    work(kit.service, TinyEngines())
    assert kit.embed("alice", "face", "out") == job  # done, and its output is there
    again = kit.embed("alice", "face", "elsewhere")
    assert again != job
    assert work(kit.service, TinyEngines()) == [again]
    assert kit.output("alice", "elsewhere") == kit.output("alice", "out")
    assert len(counted(counts, "end")) == 1


def test_an_output_that_was_deleted_is_computed_again(kit: Kit, counts: Path) -> None:
    kit.tenant("alice")
    kit.faces("alice", "face")
    job = kit.embed("alice", "face", "out")
    work(kit.service, TinyEngines())
    first = kit.output("alice", "out")
    kit.service.blobs.delete("alice", Room.EMBEDDINGS, "out")
    assert kit.embed("alice", "face", "out") != job
    work(kit.service, TinyEngines())
    assert kit.output("alice", "out") == first
    assert len(counted(counts, "end")) == 2


def test_tenants_share_nothing(kit: Kit, counts: Path) -> None:
    for tenant in ("alice", "bob"):
        kit.tenant(tenant)
    kit.faces("alice", "face")
    kit.put("bob", Room.FACES, "face", kit.service.blobs.path("alice", Room.FACES, "face"))
    job = kit.embed("alice", "face", "out")
    assert kit.embed("bob", "face", "out") != job
    work(kit.service, TinyEngines())
    assert len(counted(counts, "end")) == 2
    for ask in (kit.queue.status, kit.queue.cancel):
        with pytest.raises(NotHere, match="no such job"):
            ask("bob", job)
    assert [status.id for status in kit.queue.list("alice", 10)] == [job]


def test_bad_requests_are_refused(kit: Kit) -> None:
    kit.tenant("alice")
    kit.faces("alice", "face")
    target = (Room.EMBEDDINGS, "out")
    submit = kit.queue.submit
    good = {"faces": "face", "key": "key"}
    assert submit("alice", "embedding", {**good, "model": "default"}, target)
    for kind, inputs in (
        ("training", good),
        ("score", good),
        ("embedding", {"faces": "face"}),
        ("embedding", {**good, "path": "/etc/passwd"}),
        ("embedding", {**good, "model": "another"}),
    ):
        with pytest.raises(Invalid):
            submit("alice", kind, inputs, target)
    for inputs in ({**good, "faces": "none"}, {**good, "key": "none"}):
        with pytest.raises(NotHere):
            submit("alice", "embedding", inputs, target)
    with pytest.raises(NotHere):
        submit("bob", "embedding", good, target)


def test_a_full_queue_says_when_to_come_again(kit: Kit) -> None:
    kit.tenant("alice")
    kit.faces("alice", "face")
    queue = JobQueue(
        open_jobs(kit.service), kit.service.blobs, SearchClient(Path()), Limits(waiting=2)
    )
    for number in range(2):
        queue.submit(
            "alice", "embedding", {"faces": "face", "key": "key"}, (Room.EMBEDDINGS, f"{number}")
        )
    with pytest.raises(Busy) as refused:
        queue.submit("alice", "embedding", {"faces": "face", "key": "key"}, (Room.EMBEDDINGS, "3"))
    assert refused.value.retry_after > 0
    assert queue.waiting("alice") == 2
    assert queue.depth()["embedding"]["queued"] == 2
    queue.close()


# --- Ends ----------------------------------------------------------------------------------------


def test_a_waiting_job_is_cancelled_at_once(kit: Kit, counts: Path) -> None:
    kit.tenant("alice")
    kit.faces("alice", "face")
    job = kit.embed("alice", "face", "out")
    assert kit.queue.cancel("alice", job).state is State.CANCELLED
    assert kit.queue.cancel("alice", job).state is State.CANCELLED
    assert work(kit.service, TinyEngines()) == []
    assert kit.embed("alice", "face", "out") != job  # a new one can be asked for


def test_bad_input_fails_at_once_without_a_path(kit: Kit, counts: Path, other: Owner) -> None:
    kit.tenant("alice")
    kit.faces("alice", "face", owner=other)  # of another key
    job = kit.embed("alice", "face", "out")
    assert work(kit.service, TinyEngines()) == [job]
    failed = kit.queue.status("alice", job)
    assert failed.state is State.FAILED
    assert failed.error is not None
    assert failed.error["code"] == "key-mismatch"
    assert "faces face" in failed.error["detail"]
    assert str(kit.service.folder) not in json.dumps(dict(failed.error))
    assert "/" not in failed.error["detail"]


def test_an_input_that_is_gone_fails(kit: Kit, counts: Path) -> None:
    kit.tenant("alice")
    kit.faces("alice", "face")
    job = kit.embed("alice", "face", "out")
    kit.service.blobs.delete("alice", Room.FACES, "face")
    work(kit.service, TinyEngines())
    failed = kit.queue.status("alice", job)
    assert failed.error is not None
    assert failed.error["code"] == "not-here"


def test_keys_that_can_never_fit_are_refused(kit: Kit, counts: Path) -> None:
    kit.tenant("alice")
    kit.faces("alice", "face")
    job = kit.embed("alice", "face", "out")
    work(kit.service, TinyEngines(), budget_bytes=1 << 20)
    failed = kit.queue.status("alice", job)
    assert failed.error is not None
    assert failed.error["code"] == "memory"
    needed = size(TinyEngines().forecast(read_header(kit.owner.key)))
    assert needed.endswith(" MB")
    assert f"take {needed} of memory" in failed.error["detail"]
    assert not counted(counts, "load")


class Breaking(TinyEngines):
    """Fails to load keys."""

    def __init__(self, error: Exception, times: int) -> None:
        super().__init__()
        self.error, self.times = error, times

    def load(self, key: Path, stage: Stage) -> Resident:
        self.times -= 1
        if self.times >= 0:
            raise self.error
        return super().load(key, stage)


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), MemoryError(), KeyError()]
)
def test_what_may_pass_is_tried_again(kit: Kit, counts: Path, error: Exception) -> None:
    kit.tenant("alice")
    kit.faces("alice", "face")
    job = kit.embed("alice", "face", "out")
    limits = replace(LIMITS, retries=2, pause_seconds=0.0)
    assert work(kit.service, Breaking(error, 2), limits) == [job] * 3
    assert kit.queue.status("alice", job).state is State.DONE
    job = kit.embed("alice", "face", "out2")
    kit.service.blobs.delete("alice", Room.EMBEDDINGS, "out")
    assert work(kit.service, Breaking(error, 9), limits) == [job] * 3
    failed = kit.queue.status("alice", job)
    assert failed.state is State.FAILED
    assert failed.error is not None
    assert failed.error["code"] == "retries"
    assert "3 times" in failed.error["detail"]


def test_a_pause_comes_before_a_new_try(kit: Kit, counts: Path) -> None:
    kit.tenant("alice")
    kit.faces("alice", "face")
    job = kit.embed("alice", "face", "out")
    limits = replace(LIMITS, pause_seconds=60.0)
    assert work(kit.service, Breaking(MemoryError(), 1), limits) == [job]
    assert kit.queue.status("alice", job).state is State.QUEUED


def test_a_job_that_takes_too_long_is_ended(
    kit: Kit, counts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOBS_TEST_PAUSE", "30")
    kit.tenant("alice")
    kit.faces("alice", "face")
    job = kit.embed("alice", "face", "out")
    work(kit.service, TinyEngines(), replace(LIMITS, job_seconds=0.2))
    failed = kit.queue.status("alice", job)
    assert failed.error is not None
    assert failed.error["code"] == "time-limit"


def test_insecure_engines_are_refused(kit: Kit) -> None:
    from fhe_face.service.jobs.engines import require_secure

    with pytest.raises(Failure, match="for tests only"):
        require_secure("insecure-tiny", insecure=False)
    require_secure("insecure-tiny", insecure=True)
    require_secure("fhe-face", insecure=False)


def test_files_that_were_sent_are_no_old_results(kit: Kit, counts: Path) -> None:
    """Who deletes a result may send a file of its own under that name."""
    kit.tenant("alice")
    kit.faces("alice", "face")
    kit.embed("alice", "face", "out")
    work(kit.service, TinyEngines())
    own = kit.service.folder / "own"
    own.write_bytes(kit.output("alice", "out"))
    kit.service.blobs.delete("alice", Room.EMBEDDINGS, "out")
    kit.put("alice", Room.EMBEDDINGS, "out", own)
    database = open_jobs(kit.service)
    claims = Claims(database, "worker", replace(LIMITS, results_seconds=-1.0))
    presence = Presence(kit.service.folder / "run", "worker")
    assert Keeper(claims, presence, kit.service.blobs, kit.service.folder).sweep() == 1
    assert kit.output("alice", "out") == own.read_bytes()
    database.engine.dispose()


def test_rows_hold_text_and_numbers_only(kit: Kit, counts: Path) -> None:
    """No pickle, and no path: what is stored is JSON."""
    kit.tenant("alice")
    kit.faces("alice", "face")
    kit.embed("alice", "face", "out")
    work(kit.service, TinyEngines())
    database = open_jobs(kit.service)
    with database.reading() as connection:
        assert set(inspect(connection).get_table_names()) == {*metadata.tables, "alembic_version"}
        for table in metadata.tables.values():
            for row in connection.execute(select(table)).all():
                for value in row:
                    assert value is None or isinstance(value, str | int | float | bool)
                    assert str(kit.service.folder) not in str(value)
        inputs = connection.execute(select(jobs.c.inputs)).scalar_one()
        assert json.loads(inputs) == {"faces": "face", "key": "key", "model": "default"}
    database.engine.dispose()


def test_partial_inputs_are_refused(kit: Kit) -> None:
    from fhe_face.service.tables import resources

    kit.tenant("alice")
    kit.faces("alice", "face")
    with kit.service.database.locked() as connection:
        connection.execute(resources.update().values(state="partial"))
    with pytest.raises(NotComplete):
        kit.embed("alice", "face", "out")


def test_the_schema_is_that_of_the_migrations(kit: Kit) -> None:
    database = open_jobs(kit.service)
    with database.reading() as connection:
        found = inspect(connection)
        for name, table in metadata.tables.items():
            columns = {column["name"]: column["nullable"] for column in found.get_columns(name)}
            assert columns == {column.name: bool(column.nullable) for column in table.columns}
            indexes = {index["name"] for index in found.get_indexes(name)}
            assert {index.name for index in table.indexes} <= indexes
    database.engine.dispose()


def test_a_header_says_what_keys_take(kit: Kit) -> None:
    from fhe_core.container import read_header

    header: Header = read_header(kit.owner.key)
    resident = TinyEngines().load(kit.owner.key, lambda *_: None)
    server = resident.resident.server  # type: ignore[attr-defined]
    forecast = TinyEngines().forecast(header)
    assert server.evaluation_key_memory_bytes <= forecast
    assert forecast <= 1.01 * server.evaluation_key_memory_bytes


def test_a_file_of_too_many_faces_is_refused(kit: Kit, counts: Path) -> None:
    kit.tenant("alice")
    kit.faces("alice", "faces", 3)
    job = kit.embed("alice", "faces", "out")
    work(kit.service, TinyEngines(), budget_bytes=76 * 10**6)
    failed = kit.queue.status("alice", job)
    assert failed.error is not None
    assert failed.error["code"] == "memory"
    assert "fewer faces" in failed.error["detail"]
    assert not counted(counts, "load")


def test_a_tenant_is_forgotten(kit: Kit, counts: Path) -> None:
    for tenant in ("alice", "bob"):
        kit.tenant(tenant)
        kit.faces(tenant, "face")
        kit.embed(tenant, "face", "out")
    work(kit.service, TinyEngines())
    kit.embed("alice", "face", "later")
    assert kit.queue.forget("alice") == 2
    assert kit.queue.list("alice", 10) == []
    assert len(kit.queue.list("bob", 10)) == 1
