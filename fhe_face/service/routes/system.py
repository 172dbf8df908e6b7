"""What the service is, whether it is up, and how it is doing."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy import text

from fhe_core.container import DEFAULT_LIMITS
from fhe_face import __version__
from fhe_face.service.bodies import Caps
from fhe_face.service.context import Admin, Asking, Here
from fhe_face.service.errors import Busy
from fhe_face.service.metrics import MEDIA_TYPE
from fhe_face.service.models import ROWS
from fhe_face.service.tenants import bytes_used, quotas_of

router = APIRouter(tags=["service"])


@router.get("/live")
def live() -> dict[str, bool]:
    """The process answers. Needs no token."""
    return {"live": True}


@router.get("/ready")
def ready(here: Here) -> dict[str, bool]:
    """The database answers and a worker is there. Needs no token."""
    with here.service.database.reading() as connection:
        connection.execute(text("SELECT 1"))
    if not here.queue.workers():
        raise Busy("no worker is ready yet", 2.0)
    return {"ready": True}


@router.get("/metrics", response_class=Response)
def metrics(_caller: Admin, here: Here) -> Response:
    """For Prometheus. Needs the scope admin; holds nothing about a tenant."""
    return Response(here.metrics.text(), media_type=MEDIA_TYPE)


@router.get("/v1/about")
def about(caller: Asking, here: Here) -> dict[str, Any]:
    """Versions, limits, circuits, and what your token may do."""
    caps = Caps.of(here.settings, here.circuits.gallery)
    with here.service.database.reading() as connection:
        used = bytes_used(connection, caller.tenant)
    quotas = quotas_of(here.service.database, caller.tenant)
    return {
        "name": "fhe-face",
        "version": __version__,
        "api": "v1",
        "tenant": caller.tenant,
        "scopes": sorted(scope.value for scope in caller.scopes),
        "circuits": [dict(circuit) for circuit in here.circuits.served],
        "gallery": {
            "name": here.circuits.gallery.parameters.name,
            "parameters": here.circuits.gallery.digest,
        },
        "limits": {
            "header_bytes": caps.header,
            "sections": DEFAULT_LIMITS.sections,
            "file_bytes": here.settings.file_bytes,
            "probe_bytes": caps.probe,
            "block_bytes": caps.block,
            "json_bytes": caps.json,
            "batch": ROWS,
        },
        "quota": {
            "bytes": 0 if quotas is None else quotas.bytes,
            "bytes_used": used,
            "jobs": 0 if quotas is None else quotas.jobs,
            "requests_per_minute": 0 if quotas is None else quotas.requests,
        },
    }
