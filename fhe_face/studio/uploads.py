"""Photos out of forms, in memory only: nothing of them is spooled to a disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from fhe_core.errors import Failure
from fhe_face.studio.guard import MAX_BODY

MAX_PHOTOS: Final = 40
_MAX_FIELDS: Final = 8
_MAX_TEXT: Final = 4096


class FormError(Failure):
    """A form that this page did not make."""

    code = "studio-form"


@dataclass(frozen=True, eq=False)
class Form:
    """texts: by field; photos: name and content of each file, in order."""

    texts: dict[str, str]
    photos: list[tuple[str, bytes]]


class _InMemory(MultiPartParser):
    #: A file of at most this size stays in memory: all of them.
    spool_max_size = MAX_BODY + 1


async def read_form(request: Request) -> Form:
    """The fields of a request.

    Raises:
        FormError: it is no such form, or has too many parts.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "multipart/form-data":
        raise FormError("a form must be sent as multipart/form-data")
    parser = _InMemory(
        request.headers,
        request.stream(),
        max_files=MAX_PHOTOS,
        max_fields=_MAX_FIELDS,
        max_part_size=_MAX_TEXT,
    )
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise FormError(f"the form cannot be read ({getattr(error, 'message', error)})") from None
    texts: dict[str, str] = {}
    photos: list[tuple[str, bytes]] = []
    for name, value in form.multi_items():
        if not isinstance(value, UploadFile):
            texts[name] = value
        elif value.filename or value.size:
            photos.append((value.filename or "photo", await value.read()))
    await form.close()
    return Form(texts, photos)
