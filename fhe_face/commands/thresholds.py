"""What ``fhe-face evaluate --set-thresholds NAME`` keeps in a weights file."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from fhe_face import __version__
from fhe_face.failures import USAGE, CommandError
from fhe_face.models.checkpoint import Checkpoint, save_safetensors
from fhe_face.models.evaluation.report import Report
from fhe_face.models.manifest import ENTRY, WeightsManifest, WeightsManifestError
from fhe_face.models.thresholds import Thresholds, ThresholdsError
from fhe_face.network import BUNDLED, OFFICIAL, thresholds_of, without_thresholds


def require_keepable(asked: Path, checkpoint: Checkpoint, flip: bool) -> None:
    """Before time is spent: whether thresholds can be kept in these weights.

    Raises:
        CommandError: they cannot; the text says what would be right.
    """
    if flip:
        raise CommandError(
            "--set-thresholds with --flip: kept thresholds are for embeddings of one view", USAGE
        )
    if str(asked) in (OFFICIAL, BUNDLED) or checkpoint.kind != "safetensors":
        raise CommandError(
            f"--set-thresholds writes into a .safetensors file of your own; make one first: "
            f"fhe-face weights convert {checkpoint.path} OUT.safetensors",
            USAGE,
        )


def keep(checkpoint: Checkpoint, name: str, report: Report) -> Thresholds:
    """Write a set's thresholds into the weights file; a set of that name is replaced.

    Raises:
        CommandError: a name that is no short printable text, or the file changed meanwhile.
        CheckpointError: the file cannot be written; it is whole, as before.
    """
    today = datetime.now(timezone.utc).date().isoformat()
    pairs = len(report.same_cosines), len(report.different_cosines)
    manifest = checkpoint.manifest or WeightsManifest.of(checkpoint.state)
    try:
        measured = report.thresholds.named(name, report.people, *pairs, today, __version__)
        before = thresholds_of(checkpoint)
        found = Thresholds((measured,)) if before is None else before.with_set(measured)
        manifest = replace(manifest, thresholds=found)
    except (ThresholdsError, WeightsManifestError) as error:
        raise CommandError(f"--set-thresholds {name!r}: {error}", USAGE) from None
    others = {key: text for key, text in checkpoint.metadata.items() if key != ENTRY}
    save_safetensors(checkpoint.state, checkpoint.path, others, manifest=manifest)
    return found


def decision(checkpoint: Checkpoint, thresholds: Thresholds | None) -> str:
    """From which cosine on these weights say same and different; or how to find out."""
    if thresholds is None:
        return without_thresholds(checkpoint)
    names = ", ".join(measured.name for measured in thresholds.sets)
    return (
        f"these weights say same from cosine {thresholds.same_from:.3f} on, different below "
        f"{thresholds.different_below:.3f}, between them not sure (measured on: {names})"
    )
