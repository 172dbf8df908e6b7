"""``fhe-face represent``"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from fhe_core.files import shown
from fhe_core.outputs import Outputs
from fhe_face.circuit import as_compiled, normalisation_of
from fhe_face.coeffs.figures import PLOT, figure_class
from fhe_face.coeffs.normalisation import FittedNormalisation
from fhe_face.failures import INTERRUPTED, CommandError
from fhe_face.gallery.embedders import LocalEmbedder
from fhe_face.local.represented import MANIFEST, MATRIX, PARTS
from fhe_face.local.represented_pairs import PAIRS
from fhe_face.local.representing import Represented, Representer
from fhe_face.models.checkpoint import load
from fhe_face.network import caution, recommended_normalisation, thresholds_of, weights_file
from fhe_face.output import Output

#: Refused photos that are named one by one.
_NAMED = 20


@dataclass(frozen=True)
class Request:
    """What to represent how; see ``fhe-face represent --help``."""

    photos: Path
    out: Path
    weights: Path
    flip: bool
    aligned: bool
    every: bool
    coefficients: Path | None
    parquet: bool
    plot: Path | None


def run(request: Request, as_json: bool) -> None:
    """Ends with an error where nothing of what was given could be used."""
    output = Output(as_json)
    outputs = Outputs(request.weights, request.coefficients)
    if request.plot is not None:
        figure_class(request.plot, CommandError)
    outputs.add(request.plot, PLOT)
    checkpoint = load(weights_file(request.weights))
    warning = caution(checkpoint)
    if warning is not None:
        output.warn(warning)
    normalisation = recommended_normalisation(checkpoint) or normalisation_of(None)
    if request.coefficients is not None:
        normalisation = as_compiled(FittedNormalisation.load(request.coefficients))
    embedder = LocalEmbedder(checkpoint, normalisation, 2 if request.flip else 1)
    by = Representer(
        *(embedder, normalisation, thresholds_of(checkpoint), request.aligned, request.every)
    )
    try:
        with output.stages() as stage:
            found = by.run(
                *(request.photos, request.out),
                parquet=request.parquet,
                plot=request.plot,
                stage=stage,
            )
    except KeyboardInterrupt:
        raise CommandError(
            f"interrupted: what was embedded stays in {shown(request.out / PARTS)}, and the same "
            "command goes on from there",
            INTERRUPTED,
            {"interrupted": True},
        ) from None
    for remark in found.remarks:
        output.warn(remark)
    if found.changed:
        output.note(
            f"{', '.join(found.changed)} changed since the last run: every photo was embedded again"
        )
    data = {"out": str(request.out), "weights": str(checkpoint.path), **found.to_json()}
    if request.plot is not None and found.faces:
        data["plot"] = str(request.plot)
    if not found.faces:
        why = f"{found.refused[0][0]}: {found.refused[0][1]}" if found.refused else "no photo"
        held = (request.out / MANIFEST).exists()
        kept = f"; {shown(request.out)} keeps what it held" if held else ""
        raise CommandError(f"nothing was embedded: {why}{kept}", details=data)
    output.replaced(outputs)
    output.answer(data, lambda console: _show(console, request.out, found))


def _show(console: Console, out: Path, found: Represented) -> None:
    lines = [
        f"{found.faces} faces of {found.photos} photos in {shown(out / MATRIX)}: "
        f"{found.computed} photos embedded now, {found.known} before"
        + (f", {found.repeated} twice" if found.repeated else "")
    ]
    named = (("one person", found.same), ("different people", found.different))
    for what, cosines in named:
        if cosines is not None:
            lines.append(
                f"{what}: mean cosine {cosines.mean:.2f}, {cosines.minimum:.2f} to "
                f"{cosines.maximum:.2f} ({cosines.pairs} pairs)"
            )
    if found.verdicts is not None:
        said: dict[str, Any] = found.verdicts
        counts = ", ".join(f"{count} {verdict}" for verdict, count in said.items())
        lines.append(f"pairs of faces on different photos: {counts} ({shown(out / PAIRS)})")
    lines += [
        f"{photo}: embedded with {contrast:g} of its contrast, because the network diverged on it"
        for photo, contrast in found.softened[:_NAMED]
    ]
    lines += [f"refused: {photo}: {why}" for photo, why in found.refused[:_NAMED]]
    if len(found.refused) > _NAMED:
        lines.append(f"... and {len(found.refused) - _NAMED} more: refused.csv")
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)
