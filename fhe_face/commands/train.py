"""``fhe-face train`` and ``fhe-face finetune``"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from zipfile import BadZipFile

import numpy as np
from rich.console import Console

from fhe_core.files import FileKind, atomic_write, shown
from fhe_core.outputs import Outputs
from fhe_face.coeffs.figures import PLOT, figure_class
from fhe_face.failures import USAGE, CommandError
from fhe_face.models.checkpoint import WEIGHTS, load, sha256
from fhe_face.models.faces import FaceError
from fhe_face.network import weights_file
from fhe_face.output import Output, facts
from fhe_face.photos.people import Photo, find_photos, read_faces
from fhe_face.postponed import postponed_signals
from fhe_face.progress import Stage

if TYPE_CHECKING:
    from fhe_face.models.training.build import Job, Options
    from fhe_face.models.training.guard import Guard
    from fhe_face.models.training.people import People

CROPS_FILE = "crops.npz"
_SIZE = 64
_SAVE_EVERY = 50


def train(
    data: Path, out: Path, plot: Path | None, aligned: bool, options: dict[str, Any], as_json: bool
) -> None:
    from_options, build = _modules(options)
    output = Output(as_json)

    def job(people: People) -> Job:
        return build.classify(people, out, from_options)  # type: ignore[no-any-return]

    _run(data, None, out, plot, aligned, job, output)


def finetune(
    data: Path,
    weights: Path,
    out: Path,
    plot: Path | None,
    aligned: bool,
    options: dict[str, Any],
    as_json: bool,
) -> None:
    from_options, build = _modules(options)
    output = Output(as_json)
    state = load(weights_file(weights)).state

    def job(people: People) -> Job:
        return build.finetune(people, state, out, from_options)  # type: ignore[no-any-return]

    _run(data, weights, out, plot, aligned, job, output)


def require_torch() -> None:
    """CommandError where it is not installed."""
    if importlib.util.find_spec("torch") is None:
        raise CommandError(
            "training needs torch, which is not installed: pip install torch==2.13.0"
        )


def _modules(options: dict[str, Any]) -> tuple[Options, Any]:
    require_torch()
    from fhe_face.models.training import build

    return build.Options(**options), build


def _run(
    data: Path,
    weights: Path | None,
    out: Path,
    plot: Path | None,
    aligned: bool,
    make: Callable[[People], Job],
    output: Output,
) -> None:
    from fhe_face.models.training.errors import TrainingError
    from fhe_face.models.training.loop import WEIGHTS_FILE
    from fhe_face.models.training.plot import draw

    try:
        if plot is not None:
            figure_class(plot, TrainingError)
        outputs = Outputs(data, weights)
        outputs.add(plot, PLOT)
        _check_folder(out, data, weights)
        with output.stages() as stage:
            job = make(read_people(data, out, aligned, output, stage))
            trainer = job.trainer
            _tell_before(job, output)
            _train(job, output, stage)
        if plot is not None:
            first = [] if job.guard is None else [{"step": 0, **job.guard.first}]
            draw([*first, *trainer.records], plot)
            output.replaced(outputs)
        answer = _answer(job, out, plot)
        if job.guard is not None:
            _finish(job.guard, answer)
    except TrainingError as error:
        raise CommandError(str(error)) from None
    answer |= {
        "weights": str(out / WEIGHTS_FILE),
        "weights_sha256": sha256(out / WEIGHTS_FILE),
    }
    output.answer(answer, lambda console: _show(console, answer))


def _finish(guard: Guard, answer: dict[str, Any]) -> None:
    """Write the best state, or say in the error what was measured."""
    from fhe_face.models.training.errors import TrainingError

    try:
        guard.finish()
    except TrainingError as error:
        raise CommandError(str(error), details=answer) from None


def _answer(job: Job, out: Path, plot: Path | None) -> dict[str, Any]:
    from fhe_face.models.training.loop import LOG_FILE

    trainer, guard = job.trainer, job.guard
    last = trainer.records[-1]
    best = None if guard is None or guard.best is None else guard.best
    return {
        "weights": None,
        "weights_sha256": None,
        "log": str(out / LOG_FILE),
        "plot": None if plot is None else str(plot),
        "people": job.people,
        "images": job.images,
        "steps": trainer.step,
        "held_out_rank1": last.get("rank1") if best is None else best.rank1,
        "held_out_eer": last.get("eer") if best is None else best.eer,
        "held_out_people": job.held_out,
        "held_out_rank1_before": None if guard is None else guard.before.rank1,
        "held_out_eer_before": None if guard is None else guard.before.eer,
        "best_step": None if best is None else best.step,
        "held_out_chance": last.get("rank1_chance"),
        "held_out_probes": last.get("probes"),
        "last": last,
        "plan": trainer.plan.facts(),
    }


def _is_crops(stream: BinaryIO) -> bool:
    with np.load(stream, allow_pickle=False) as archive:
        return set(archive.files) == {"crops", "labels", "stamp"}


def _is_log(stream: BinaryIO) -> bool:
    return "step" in json.loads(stream.readline(1 << 16))


_CROPS = FileKind("the aligned crops of a training run", _is_crops)
_LOG = FileKind("the log of a training run", _is_log)


def _check_folder(out: Path, data: Path, weights: Path | None) -> None:
    """Refuse a folder in which a run would replace what no run has written."""
    from fhe_face.models.training.guard import BEST_FILE
    from fhe_face.models.training.loop import LOG_FILE, STATE_FILE, WEIGHTS_FILE

    if not out.is_dir():
        return
    outputs = Outputs(data, weights)
    outputs.add(out / CROPS_FILE, _CROPS)
    outputs.add(out / LOG_FILE, _LOG)
    outputs.add(out / STATE_FILE, WEIGHTS)
    hint = f", and {shown(out)} holds no run to go on with; give a new folder"
    begun = (out / STATE_FILE).exists()
    outputs.add(out / WEIGHTS_FILE, WEIGHTS, overwrite=begun, hint=hint)
    outputs.add(out / BEST_FILE, WEIGHTS, overwrite=begun, hint=hint)


def _tell_before(job: Job, output: Output) -> None:
    """What given weights are worth before they are trained."""
    if job.guard is not None:
        output.note(f"before: {_line(job.guard.first)}")
    elif job.check is None:
        output.warn(
            "nobody is held out: whether training makes it worse for other people will not be known"
        )


def _line(found: Mapping[str, Any]) -> str:
    head = f", by the head {found['rank1_head']:.3f}" if "rank1_head" in found else ""
    return (
        f"held-out people rank-1 {found['rank1']:.3f} (chance {found['rank1_chance']:.3f}){head}, "
        f"equal error rate {found['eer']:.3f}; paired similarity {found['paired']:.3f}"
    )


def _train(job: Job, output: Output, stage: Stage) -> None:
    """Every step that is left. A signal ends it after the step, with the state saved."""
    trainer = job.trainer
    steps = job.run(save_every=_SAVE_EVERY)
    with postponed_signals() as waiting, closing(steps):
        for record in steps:
            stage("training", record["step"], trainer.plan.steps)
            if "rank1" in record:
                output.note(f"step {record['step']}: loss {record['loss']:.3f}, {_line(record)}")
            if waiting() and trainer.step < trainer.plan.steps:
                output.note(
                    f"stopped after step {trainer.step} of {trainer.plan.steps}: saved in "
                    f"{shown(trainer.folder)}, the same command goes on from there"
                )
                break


def read_people(data: Path, out: Path, aligned: bool, output: Output, stage: Stage) -> People:
    """A .bin verification file, or a folder of people; aligned once, then from `out`."""
    from fhe_face.models.training.people import People
    from fhe_face.models.training.verification import people_of, read_pairs

    if data.suffix == ".bin" or data.is_file():
        return people_of(read_pairs(data), _SIZE)
    found = find_photos(data)
    for person in found.without:
        output.warn(f"{shown(person)}: no image of this person is left")
    stamp = _stamp(found.photos, aligned)
    cache = out / CROPS_FILE
    cached = _cached(cache, stamp)
    if cached is not None:
        return cached
    try:
        faces = read_faces(found.photos, _SIZE, aligned=aligned, warn=output.warn, stage=stage)
    except FaceError as error:
        raise CommandError(f"{error} (or give aligned crops with --aligned)") from None
    if not len(faces.crops):
        raise CommandError(f"{shown(data)}: no faces found in {len(found.photos)} images", USAGE)
    out.mkdir(parents=True, exist_ok=True)
    with atomic_write(cache, kind=_CROPS) as stream:
        np.savez(stream, crops=faces.crops, labels=faces.labels, stamp=np.array(stamp))
    return People(faces.crops, faces.labels)


def _stamp(photos: Sequence[Photo], aligned: bool) -> str:
    """Changes where a photo is added, removed or written again."""
    lines = [f"{aligned} {_SIZE}"]
    for photo in photos:
        status = photo.path.stat()
        lines.append(f"{photo.person}/{photo.path.name} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _cached(file: Path, stamp: str) -> People | None:
    from fhe_face.models.training.people import People

    try:
        with np.load(file, allow_pickle=False) as archive:
            if str(archive["stamp"]) != stamp:
                return None
            return People(archive["crops"], archive["labels"])
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None


def _show(console: Console, data: dict[str, Any]) -> None:
    rank = data["held_out_rank1"]
    held = "nobody was held out: nothing is known about other people"
    if rank is not None:
        held = (
            f"{rank:.3f} of {data['held_out_probes']} probes (chance {data['held_out_chance']:.3f})"
        )
    rows = [
        ("weights", data["weights"]),
        (
            "trained on",
            f"{data['images']} images of {data['people']} people, {data['steps']} steps",
        ),
        ("held-out people, rank-1", held),
        *(
            [
                (
                    "  before training",
                    f"{data['held_out_rank1_before']:.3f} (equal error rate "
                    f"{data['held_out_eer_before']:.3f}, now {data['held_out_eer']:.3f})",
                ),
                ("  the best state", f"after step {data['best_step']}"),
            ]
            if data["held_out_rank1_before"] is not None
            else []
        ),
        ("log", data["log"]),
    ]
    console.print(facts("Trained", rows))
