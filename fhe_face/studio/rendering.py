"""Templates to text, with what all of them need."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from fhe_face.studio.engine import Facts
from fhe_face.studio.guard import CSRF_HEADER
from fhe_face.studio.progress import Side, Step
from fhe_face.studio.state import Studio
from fhe_face.system import seconds, size

#: Steps as the rest of the program calls them, and as people are told.
_WORDS = {
    "making evaluation keys": "Making evaluation keys",
    "reading evaluation keys": "Loading evaluation keys",
    "reading weights": "Reading the network",
    "encoding weights": "Encoding the network",
    "checking plans": "Checking plans",
}


class Renderer:
    """Renders pages and pieces of pages; everything is escaped."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._templates = Environment(
            loader=PackageLoader("fhe_face.studio"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters |= {"bytes": size, "seconds": seconds, "words": words}
        self._templates.globals |= {
            "studio": studio,
            "csrf_header": CSRF_HEADER,
            "Side": Side,
            "security": _security(studio.engine.facts),
        }

    def page(self, template: str, **values: Any) -> str:
        """A page, or a piece of one: those begin with an underscore."""
        defaults: dict[str, Any] = {"page": "", "job": self._studio.desk.last}
        return self._templates.get_template(template).render(defaults | values)

    def refusal(self, status: int, text: str, *, fragment: bool) -> HTMLResponse:
        """A sentence instead of what was asked for; fragment: for a page that stays as it is."""
        if not fragment:
            return HTMLResponse(self.page("refused.html", text=text), status)
        headers = {"hx-retarget": "#alert", "hx-reswap": "innerHTML"}
        return HTMLResponse(self.page("_alert.html", text=text), status, headers)


def words(step: Step) -> str:
    """A step for people."""
    known = _WORDS.get(step.what)
    if known is not None:
        return known
    if step.what.startswith("embedding") and step.side is Side.SERVER:
        label = step.what.removeprefix("embedding").strip()  # `Run.label`
        return f"Computing on encrypted {label or 'faces'}"
    return f"{step.what[:1].upper()}{step.what[1:]}"


def _security(facts: Facts) -> str:
    if facts.security_bits is None:
        return "a small ring, for tests only"
    return f"{facts.security_bits:.0f} bits of security"
