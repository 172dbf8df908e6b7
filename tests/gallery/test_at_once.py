"""Several users of one gallery at once, each with its own object."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.gallery.kit import consistent, face, make, people, photo, reopen


def test_enrolling_deleting_and_searching_at_once(tmp_path: Path, url: str | None) -> None:
    folder = tmp_path / "g"
    with make(folder, names=True, url=url) as gallery:
        gallery.enroll(people(tmp_path / "first", 4, 2))

    def enrol(part: int) -> int:
        start = 4 + 6 * part
        source = people(tmp_path / f"part{part}", 6, 2, start=start)
        with reopen(folder) as own:
            return sum(len(own.enroll(one).enrolled) for one in (source, source))

    def delete(_: int) -> int:
        with reopen(folder) as own:
            count = sum(own.delete([f"person{n:02}"]) for n in (1, 2))
            own.compact()
            return count

    def search(_: int) -> int:
        found = 0
        with reopen(folder) as own:
            for turn in range(12):
                match = "encrypted" if turn % 2 else "local"
                (answer,) = own.identify(photo(face(3, 20 + turn)), match=match)  # type: ignore[arg-type]
                assert answer.best is not None
                assert answer.best.name == "person03"
                found += 1
        return found

    with ThreadPoolExecutor(5) as pool:
        jobs = [pool.submit(enrol, 0), pool.submit(enrol, 1), pool.submit(search, 0)]
        jobs += [pool.submit(delete, 0), pool.submit(search, 1)]
        done = [job.result() for job in jobs]
    assert done == [12, 12, 12, 2, 12]
    with reopen(folder) as gallery:
        consistent(gallery)
        names = {one.name for one in gallery.subjects()}
        assert names == {f"person{n:02}" for n in (0, 3, *range(4, 16))}
        assert gallery.counts()["pending"] == 0


@pytest.mark.parametrize("template", ["mean", "each"])
def test_another_object_sees_every_change(tmp_path: Path, template: str) -> None:
    with make(tmp_path / "g", names=True, template=template) as one, reopen(tmp_path / "g") as two:
        one.enroll(people(tmp_path / "p", 12, 3))
        assert two.identify(photo(face(5, 9)))[0].best is not None
        one.calibrate()
        assert two.settings.centre is not None
        consistent(two)
        two.rename("person05", "Eve")
        found = one.identify(photo(face(5, 9)))[0].best
        assert found is not None
        assert found.name == "Eve"
        two.delete(["Eve"])
        assert one.identify(photo(face(5, 9)))[0].best is None
        consistent(one)
