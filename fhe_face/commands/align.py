"""``fhe-face align``"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from fhe_core.files import shown
from fhe_face.failures import ERROR, CommandError
from fhe_face.models.faces import Aligner
from fhe_face.output import Output, grid
from fhe_face.photos.aligning import Aligned, Alignments
from fhe_face.photos.picture_files import picture_files


def run(
    images: Sequence[Path],
    folder: Path,
    size: int,
    all_faces: bool,
    whole: bool,
    force: bool,
    as_json: bool,
) -> None:
    output = Output(as_json)
    files, others = picture_files(images)
    if others:
        output.note(f"{others} files in the folders are no pictures and are left out")
    work = Alignments(folder, Aligner(size), all_faces, whole, force)
    with output.stages() as stage:
        done = work.run(files, stage)
    for aligned in done:
        for warning in aligned.warnings:
            output.warn(f"{aligned.image}: {warning}")
    data = {"folder": str(folder), **work.manifest()}
    failed = [aligned for aligned in done if aligned.error is not None]
    if not failed:
        output.answer(data, lambda console: show(console, folder, done, work))
        return
    if not as_json:
        show(output.console, folder, done, work)
    reasons = "; ".join(f"{aligned.image}: {aligned.error}" for aligned in failed)
    raise CommandError(f"{len(failed)} of {len(done)} images failed: {reasons}", ERROR, data)


def show(console: Console, folder: Path, done: Sequence[Aligned], work: Alignments) -> None:
    """A line for each crop, and for each image without one."""
    rows = []
    for aligned in done:
        entry, image = aligned.entry, str(aligned.image)
        if aligned.error is not None:
            rows.append((image, "none", "", "", "", aligned.error))
        for crop in entry["crops"]:
            found, numbers = "none", ("", "")
            if crop["face"] is not None:
                found = f"{crop['face']} of {entry['faces']}"
                numbers = (f"{crop['score']:.2f}", str(round(crop["roll"])))
            rows.append((image, crop["file"], found, *numbers, ", ".join(crop["flags"]) or "-"))
    columns = ("image", "crop", "face", "score", "turned", "remarks")
    console.print(grid(f"Aligned faces in {folder}", columns, rows))
    sheets = ", ".join(shown(folder / name) for name in work.manifest()["contact_sheets"])
    if sheets:
        console.print(f"look at {sheets}", markup=False, soft_wrap=True)
