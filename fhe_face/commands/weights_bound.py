"""``fhe-face weights bound``: train the divergence out of weights that somebody has."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from fhe_core.files import shown
from fhe_core.outputs import Outputs
from fhe_face.circuit import INPUT_SIZE
from fhe_face.coeffs.figures import PLOT, figure_class
from fhe_face.commands.train import read_people, require_torch
from fhe_face.failures import USAGE, CommandError, plain
from fhe_face.models.checkpoint import WEIGHTS, Checkpoint, load, save_safetensors, sha256
from fhe_face.models.manifest import WeightsManifest
from fhe_face.network import coefficients_of, fused, weights_file
from fhe_face.output import Output, facts, grid
from fhe_face.postponed import postponed_signals
from fhe_face.progress import Stage
from fhe_face.system import duration

if TYPE_CHECKING:
    from rich.console import Console

    from fhe_face.models.training.bounding import Bounding
    from fhe_face.models.training.people import People
    from fhe_face.models.training.shards import Canvases

REPORT_FILE: Final = "report.json"
_BEFORE_FILE: Final = "before.json"
_FACES_FOLDER: Final = "faces"


@dataclass(frozen=True)
class Request:
    """What to bound, with what, and how to measure; see ``fhe-face weights bound --help``."""

    weights: Path
    out: Path
    run: Path | None
    faces: Path | None
    count: int
    photos: Path | None
    aligned: bool
    minutes: float | None
    threads: int | None
    hunts: int
    hunt_steps: int
    plot: Path | None
    force: bool

    @property
    def folder(self) -> Path:
        """Of the run: beside the file to write unless it was named."""
        return self.run or self.out.with_name(f"{self.out.name}.run")


def run(request: Request, options: dict[str, Any], as_json: bool) -> None:
    """`options`: of `models.training.bounding.Options`."""
    output = Output(as_json)
    outputs, checkpoint = _check(request)
    from fhe_face.models.training import bound_report
    from fhe_face.models.training.bounding import Bounding, Options
    from fhe_face.models.training.errors import TrainingError
    from fhe_face.models.training.loop import device_of
    from fhe_face.models.training.state import write_record

    coefficients = coefficients_of(checkpoint)
    try:
        device_of(options["device"])
        with output.stages() as stage:
            faces = _faces(request, options["seed"], stage)
            people = _photos(request, output, stage)
            bounding = Bounding(
                checkpoint.state, coefficients, faces, request.folder, Options(**options)
            )
            before = _before(request, bounding, people, output)
            _train(request, bounding, output, stage)
            output.note("measuring what it has come to")
            after = _standing(request, bounding, people)
        if request.plot is not None:
            bound_report.draw_curves(bounding.records(), before["check"], request.plot)
    except TrainingError as error:
        raise CommandError(str(error)) from None
    finished = bounding.finished
    if finished:
        _write(request, bounding, checkpoint)
        output.replaced(outputs)
    answer = {
        "weights": str(request.out) if finished else str(bounding.weights),
        "finished": finished,
        "steps_done": bounding.done,
        "steps": bounding.steps,
        "run": str(request.folder),
        "given": str(checkpoint.path),
        "given_tensors_sha256": checkpoint.tensors_sha256,
        "weights_sha256": sha256(request.out if finished else bounding.weights),
        "interval": list(coefficients.interval),
        "before": before["standing"],
        "after": after,
        "checks": _checks(bounding, before["check"]),
        "plot": None if request.plot is None else str(request.plot),
    }
    write_record(request.folder / REPORT_FILE, plain(answer))
    output.answer(answer, lambda console: _show(console, answer))


def _check(request: Request) -> tuple[Outputs, Checkpoint]:
    """Everything that can be refused before time is spent."""
    require_torch()
    if request.out.suffix != ".safetensors":
        raise CommandError(f"'{request.out}': the file to write must end in .safetensors", USAGE)
    if request.plot is not None:
        figure_class(request.plot, CommandError)
    source = weights_file(request.weights)
    outputs = Outputs(source)
    outputs.add(request.out, WEIGHTS, overwrite=request.force, hint=" (--force replaces it)")
    outputs.add(request.plot, PLOT)
    checkpoint = load(source)
    fused(checkpoint)
    if checkpoint.input_size != INPUT_SIZE:
        raise CommandError(
            f"{shown(source)}: a network for {checkpoint.input_size} pixels; those for {INPUT_SIZE}"
            " can be bounded"
        )
    if request.threads is not None:
        import torch

        torch.set_num_threads(request.threads)
    return outputs, checkpoint


def _faces(request: Request, seed: int, stage: Stage) -> Canvases:
    """Those that were named, or generated ones in the folder of the run, made as far as needed."""
    from fhe_face.models.training import shards

    if request.faces is not None:
        return shards.Canvases(request.faces)
    folder = request.folder / _FACES_FOLDER
    for done in shards.make(folder, request.count, seed):
        stage("drawing faces", done, request.count)
    return shards.Canvases(folder)


def _photos(request: Request, output: Output, stage: Stage) -> People | None:
    if request.photos is None:
        return None
    return read_people(request.photos, request.folder, request.aligned, output, stage)


def _before(
    request: Request, bounding: Bounding, people: People | None, output: Output
) -> dict[str, Any]:
    """What the given weights are worth: measured once in a run, unless it is asked otherwise."""
    from fhe_face.models.training.errors import TrainingError
    from fhe_face.models.training.state import read_record, write_record

    asked = {
        "photos": None if people is None else people.digest,
        "stress": bounding.options.stress,
        "hunts": request.hunts,
        "hunt_steps": request.hunt_steps,
    }
    file = request.folder / _BEFORE_FILE
    kept: dict[str, Any] = {}
    with suppress(TrainingError):  # damaged: measured again
        kept = read_record(file)
    if kept.get("asked") == asked:
        return kept
    output.note("measuring the given weights")
    found = {
        "asked": asked,
        "standing": _standing(request, bounding, people, given=True),
        "check": bounding.check(bounding.given),
    }
    write_record(file, plain(found))
    return found


def _standing(
    request: Request, bounding: Bounding, people: People | None, given: bool = False
) -> dict[str, Any]:
    from fhe_face.models.training.bound_report import standing

    found: dict[str, Any] = plain(
        standing(
            bounding.given if given else bounding.network(),
            bounding.faces,
            bounding.coefficients.interval,
            people,
            stress=bounding.options.stress,
            hunts=request.hunts,
            hunt_steps=request.hunt_steps,
        )
    )
    return found


def _train(request: Request, bounding: Bounding, output: Output, stage: Stage) -> None:
    """Every step that is left. A signal, or the end of the time, ends it after the step."""
    started = time.monotonic()
    first = bounding.done
    steps = bounding.run()
    with postponed_signals() as waiting, closing(steps):
        for record in steps:
            done, spent = record["done"], time.monotonic() - started
            stage(f"stage {record['stage']}", done, bounding.steps)
            if "stress_refused" in record:
                left = spent / (done - first) * (bounding.steps - done)
                output.note(_line(record, bounding.steps, left))
            over = request.minutes is not None and spent >= 60 * request.minutes
            if (waiting() or over) and done < bounding.steps:
                output.note(
                    f"stopped after step {done} of {bounding.steps}: saved in "
                    f"{shown(request.folder)}, the same command goes on from there"
                )
                break


def _line(record: dict[str, Any], steps: int, left: float) -> str:
    return (
        f"step {record['done']} of {steps} (stage {record['stage']}): cosine to the given network "
        f"{record['kept_cosine']:.4f}, stress images refused {record['stress_refused']} of "
        f"{record['stress_images']}, {record['stress_not_finite']} of them without a finite "
        f"result; {duration(left)} left"
    )


def _write(request: Request, bounding: Bounding, given: Checkpoint) -> None:
    """The weights, with what they are from. Thresholds are not taken over: cosines have moved."""
    record: dict[str, Any] = {
        "source_file": given.path.name,
        "source_sha256": given.sha256,
        "source_training": {} if given.manifest is None else dict(given.manifest.training),
        "bounded": bounding.facts(),
    }
    state = bounding.network().state()
    manifest = WeightsManifest.of(state, bounding.coefficients, record)
    save_safetensors(state, request.out, manifest=manifest, overwrite=request.force)


def _checks(bounding: Bounding, before: dict[str, Any]) -> list[dict[str, Any]]:
    """The curve: what was measured from time to time."""
    names = ("kept_cosine", "kept_changed", "stress_not_finite", "stress_refused")
    measured = [{"done": 0, **before}, *(r for r in bounding.records() if names[0] in r)]
    return [{"step": r["done"], **{name: r[name] for name in names}} for r in measured]


def _show(console: Console, data: dict[str, Any]) -> None:
    from fhe_face.models.training.bound_report import rows

    title = "Bounded" if data["finished"] else "So far"
    entries = [
        ("weights", data["weights"]),
        ("steps", f"{data['steps_done']} of {data['steps']}"),
        ("report", str(Path(data["run"]) / REPORT_FILE)),
    ]
    console.print(facts(title, entries))
    compared = rows(data["before"], data["after"])
    console.print(grid("What it did", ("", "given", "now"), compared))
    if data["finished"]:
        console.print(
            "Thresholds are not taken over: measure them with fhe-face evaluate FOLDER --weights "
            f"{data['weights']} --set-thresholds NAME",
            markup=False,
            soft_wrap=True,
        )
