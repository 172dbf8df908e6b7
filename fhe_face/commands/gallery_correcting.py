"""``fhe-face gallery move|rename|merge|delete|undelete``: nothing is computed again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fhe_face.commands.gallery_opening import Opening, counted, facts_of, somebody
from fhe_face.failures import USAGE, CommandError
from fhe_face.gallery.gallery import Gallery
from fhe_face.output import Output


def move(opening: Opening, templates: Sequence[str], to: str, as_json: bool) -> None:
    output = Output(as_json)
    with opening.opened(output) as gallery:
        ids = _templates(gallery.find_templates, templates)
        before = {one.id for one in gallery.subjects()}
        gallery.move(ids, to)
        target = gallery.subject(to)
        new = target.id not in before
        data = facts_of(gallery) | {"moved": ids, "subject": target.to_json(), "new": new}
    who = f"{target.label}, a new person," if new else f"{target.label},"
    text = f"{counted(len(ids), 'template')} moved to {who} who has {target.templates} now"
    _answer(output, data, text)


def rename(opening: Opening, subject: str, name: str, as_json: bool) -> None:
    output = Output(as_json)
    with opening.opened(output) as gallery:
        before = somebody(gallery, subject)
        gallery.rename(subject, name)
        after = gallery.subject(before.id)
        data = facts_of(gallery) | {"before": before.name, "subject": after.to_json()}
    _answer(output, data, f"{before.label} is called {after.label} now; both names find them")


def merge(opening: Opening, subjects: Sequence[str], into: str, as_json: bool) -> None:
    output = Output(as_json)
    with opening.opened(output) as gallery:
        others = [somebody(gallery, one) for one in subjects]
        gallery.merge([one.id for one in others], somebody(gallery, into).id)
        target = gallery.subject(into)
        merged = [one for one in others if one.id != target.id]
        data = facts_of(gallery)
        data |= {"merged": [one.to_json() for one in merged], "subject": target.to_json()}
    named = ", ".join(one.label for one in merged)
    _answer(output, data, f"{named} and {target.label} are one person now, with {_count(data)}")


@dataclass(frozen=True)
class _Marking:
    """What delete and undelete differ by. done: for JSON; said, nothing: for people."""

    change: Callable[[Gallery, list[str], list[str]], int]
    done: str
    said: str
    nothing: str


_DELETE = _Marking(
    lambda gallery, people, templates: gallery.delete(people, templates=templates),
    "deleted",
    "deleted, and found no more. Until fhe-face gallery compact removes it for good, fhe-face "
    "gallery undelete brings it back",
    "nothing was deleted: all of it had been deleted before",
)
_UNDELETE = _Marking(
    lambda gallery, people, templates: gallery.undelete(people, templates=templates),
    "undeleted",
    "brought back, and found again",
    "nothing was brought back: none of it is deleted",
)


def delete(
    opening: Opening, subjects: Sequence[str], templates: Sequence[str], as_json: bool
) -> None:
    _mark(opening, subjects, templates, _DELETE, as_json)


def undelete(
    opening: Opening, subjects: Sequence[str], templates: Sequence[str], as_json: bool
) -> None:
    _mark(opening, subjects, templates, _UNDELETE, as_json)


def _mark(
    opening: Opening,
    subjects: Sequence[str],
    templates: Sequence[str],
    how: _Marking,
    as_json: bool,
) -> None:
    output = Output(as_json)
    _require_something(subjects, templates)
    with opening.opened(output) as gallery:
        ids = _templates(gallery.find_templates, templates)
        people = [somebody(gallery, one) for one in subjects]
        count = how.change(gallery, [one.id for one in people], ids)
        data = facts_of(gallery) | {
            how.done: count,
            "subjects": [one.to_json() for one in people],
            f"{how.done}_templates": ids,
        }
    if not count:
        raise CommandError(how.nothing, details=data)
    _answer(output, data, f"{_what(people, ids)} {how.said}")


def _require_something(subjects: Sequence[str], templates: Sequence[str]) -> None:
    if not subjects and not templates:
        raise CommandError("name people, or templates by --template", USAGE)


def _templates(find: Any, given: Sequence[str]) -> list[str]:
    """The ids of all, each once, in order."""
    return list(dict.fromkeys(id for text in given for id in find(text)))


def _what(people: Sequence[Any], templates: Sequence[str]) -> str:
    parts = [one.label for one in people]
    if templates:
        parts.append(counted(len(templates), "template"))
    return " and ".join(parts)


def _count(data: Mapping[str, Any]) -> str:
    return counted(data["subject"]["templates"], "template")


def _answer(output: Output, data: Mapping[str, Any], text: str) -> None:
    output.answer(data, lambda console: console.print(text, markup=False, soft_wrap=True))
