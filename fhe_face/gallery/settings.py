"""What a gallery's client decides and keeps with the gallery, sealed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_face.gallery.decisions import Decision
from fhe_face.gallery.errors import GalleryError
from fhe_face.gallery.ids import SECRET_BYTES, Ids

_VERSION = 1
#: Of galleries that a server may search with faces which it switched itself: what does not know
#: that must not seal into them.
_CROSSED = 2


@dataclass(frozen=True, eq=False)
class Settings:
    """Sealed with the gallery.

    secret: of its ids; decision: None where nobody gave or measured thresholds; centre: (F,) what
    is subtracted from templates and probes; weights: the file or name that embeds by default;
    calibration: what was measured, as JSON; crossing: what leads here from an engine's key
    (`gallery.crossing`), None where nothing does.
    """

    secret: bytes = field(repr=False)
    decision: Decision | None = None
    centre: NDArray[np.float64] | None = field(default=None, repr=False)
    weights: str | None = None
    calibration: Mapping[str, Any] | None = None
    crossing: Mapping[str, Any] | None = None

    @classmethod
    def fresh(cls, decision: Decision | None, weights: str | None) -> Settings:
        """Of a new gallery."""
        return cls(os.urandom(SECRET_BYTES), decision, weights=weights)

    @property
    def ids(self) -> Ids:
        return Ids(self.secret)

    def to_bytes(self) -> bytes:
        """For sealing."""
        content: dict[str, Any] = {
            "version": _VERSION,
            "secret": self.secret.hex(),
            "decision": None if self.decision is None else self.decision.to_json(),
            "centre": None if self.centre is None else self.centre.tolist(),
            "weights": self.weights,
            "calibration": self.calibration,
        }
        if self.crossing is not None:
            content |= {"version": _CROSSED, "crossing": self.crossing}
        return json.dumps(content, sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, text: bytes) -> Settings:
        """Inverse of `to_bytes`.

        Raises:
            GalleryError: of another version. Damage was found before, when they were opened.
        """
        content = json.loads(text)
        if content.get("version") not in (_VERSION, _CROSSED):
            raise GalleryError(
                f"the gallery's settings have version {content.get('version')}; this program reads "
                f"{_VERSION} and {_CROSSED}"
            )
        decision, centre = content["decision"], content["centre"]
        return cls(
            bytes.fromhex(content["secret"]),
            None if decision is None else Decision.from_json(decision),
            None if centre is None else np.array(centre, dtype=np.float64),
            content["weights"],
            content["calibration"],
            content.get("crossing"),
        )
