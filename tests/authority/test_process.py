"""`fhe-face authority serve` as a process: killed, asked to end, behind TLS."""

from __future__ import annotations

import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from fhe_face.authority import log
from fhe_face.authority.opening import opened
from fhe_face.client.ledger import beside
from fhe_face.remote.authority import RemoteAuthority
from fhe_face.remote.connection import Connection
from fhe_face.remote.errors import Refused
from tests.authority import kit, running
from tests.service.running import SECONDS, peak_bytes


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> running.Office:
    policy = replace(kit.WIDE, device_hour=2)
    return running.Office(tmp_path_factory.mktemp("office") / "o", policy)


@contextmanager
def asking(url: str, token: str, ca: Path | None = None) -> Iterator[RemoteAuthority]:
    with Connection(url, token, ca=ca) as connection:
        yield RemoteAuthority(connection.hasty())


def test_killed_it_forgets_no_count_and_no_answer(office: running.Office) -> None:
    token = office.token("killed")
    probes = [office.search(office.templates[n]) for n in range(3)]
    answers = []
    for number, (probe, scores) in enumerate(probes):
        with running.process(office) as serving, asking(serving.url, token) as door:
            announced = door.announce("search", probe, gallery="office", names=True)
            if number == 2:
                with pytest.raises(Refused) as caught:
                    door.deliver(scores)
                assert caught.value.problem == "too-many-requests"
                assert caught.value.after is not None
            else:
                told = door.deliver(scores)
                assert (told.answer, told.subject) == ("match", f"person-{number}")
                answers.append((announced.request, scores, told))
            for request, old, said in answers:
                assert door.answer(request) == said
                assert door.deliver(old) == said
            serving.child.send_signal(signal.SIGKILL)
            assert serving.child.wait(SECONDS) == -signal.SIGKILL
    with opened(office.authority) as database:
        log.verify(database)
    key_id = office.sealer.key.key_id
    assert beside(office.key, key_id, 1 << 20).answers == 2 * 3  # 23 outcomes each


def test_it_ends_cleanly_and_keeps_its_files_private(office: running.Office) -> None:
    with running.process(office) as serving:
        assert peak_bytes(serving.child.pid) < 250e6
        serving.child.send_signal(signal.SIGTERM)
        assert serving.child.wait(SECONDS) == 0
    for path in office.authority.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    assert stat.S_IMODE(office.authority.stat().st_mode) == 0o700


def test_one_process_for_a_folder(office: running.Office) -> None:
    with (
        running.process(office),
        pytest.raises(AssertionError, match="another `fhe-face authority serve`"),
        running.process(office),
    ):
        pass


def test_tls(office: running.Office, tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    files = [tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem")]
    authority.cert_pem.write_to_path(str(files[0]))
    certificate.cert_chain_pems[0].write_to_path(str(files[1]))
    certificate.private_key_pem.write_to_path(str(files[2]))
    options = ["--tls-certificate", str(files[1]), "--tls-key", str(files[2])]
    probe, scores = office.search(-office.templates[0])
    with running.process(office, *options) as serving:
        assert serving.url.startswith("https://")
        with asking(serving.url, office.token("tls"), files[0]) as door:
            door.announce("search", probe, gallery="office")
            assert door.deliver(scores).answer == "unknown"
