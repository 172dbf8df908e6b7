"""The bundled weights from nothing, by one command that can be stopped and goes on at any time.

    python -m fhe_face.models.training.retrain RUN --portraits FOLDER
    python -m fhe_face.models.training.retrain RUN --device cuda --half --workers 16 --minutes 10

draws generated faces with the teacher's embeddings into RUN/faces and mixes portraits of FOLDER
into RUN/portraits, trains with weaker changes first and batches of neighbours, then bounded, and
writes RUN/retrained.safetensors, whose manifest records data, steps, seeds and digests. No weights
of anybody are its start or its teacher but those that the record names.
"""

import argparse
import json
import time
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import torch

from fhe_core.streams import early_end_is_quiet
from fhe_face.models.checkpoint import save_safetensors
from fhe_face.models.cryptoface import CryptoFaceNet
from fhe_face.models.manifest import WeightsManifest, tensors_digest
from fhe_face.models.training.baseline import aligned_people, as_students_see
from fhe_face.models.training.distil import HELD_OUT, Distil, Faces
from fhe_face.models.training.gan import GAN_SHA256
from fhe_face.models.training.loop import STATE_FILE, Record, Trainer
from fhe_face.models.training.people import People, RankOne
from fhe_face.models.training.plan import Plan
from fhe_face.models.training.plot import draw
from fhe_face.models.training.portraits import Portraits, make_portraits, read_portraits
from fhe_face.models.training.shards import make
from fhe_face.models.training.teacher import SFACE_SHA256, Teacher

RETRAINED_FILE: Final = "retrained.safetensors"
_FACES_FOLDER: Final = "faces"
_PORTRAITS_FOLDER: Final = "portraits"
#: Steps that a sudden end loses at most.
_SAVE_EVERY: Final = 50
_TELL_EVERY: Final = 20
_CHECK_EVERY: Final = 100


def main(arguments: list[str] | None = None) -> None:
    """The command line described at the top; prints JSON lines."""
    options = _parser().parse_args(arguments)
    started = time.monotonic()

    def over() -> bool:
        return options.minutes is not None and time.monotonic() - started >= 60 * options.minutes

    teacher = Teacher(device=options.device)
    development = None if options.development is None else _people(options.development)
    portraits = None if options.portraits is None else _portraits(options, teacher)
    folders = [options.run / _FACES_FOLDER]
    made = make(folders[0], options.count, options.seed, teacher, options.workers)
    complete = _filled("faces", made, options.count, over)
    if complete and portraits is not None:
        folders.append(options.run / _PORTRAITS_FOLDER)
        made = make_portraits(folders[1], portraits, options.mixes, options.seed, teacher)
        complete = _filled("portraits", made, options.mixes, over)
    if not complete:
        return
    trainer, objective = _trainer(options, Faces(*folders), teacher)
    check = _check(objective, development)
    steps = trainer.run(save_every=_SAVE_EVERY, check=check, check_every=_CHECK_EVERY)
    first, began = trainer.step, time.monotonic()
    with closing(steps):
        for record in steps:
            if record["step"] % _TELL_EVERY == 0 or record["step"] == trainer.plan.steps:
                spent = (time.monotonic() - began) / (record["step"] - first)
                left = {"seconds_left": round(spent * (trainer.plan.steps - record["step"]))}
                _print({**record, **left})
            if over() and trainer.step < trainer.plan.steps:
                break
    if trainer.step == trainer.plan.steps:
        _write(options, trainer, objective, portraits, development)
    if options.plot is not None and trainer.records:
        draw(trainer.records, options.plot)


def _portraits(options: argparse.Namespace, teacher: Teacher) -> Portraits:
    found = read_portraits(options.portraits)
    for folder in options.apart_from:
        before = len(found.faces)
        found = found.apart_from(aligned_people(folder)[0], teacher)
        _print({"apart_from": str(folder), "left_out": before - len(found.faces)})
    return found


def _filled(
    name: str, made: Generator[int, None, None], count: int, over: Callable[[], bool]
) -> bool:
    """Whether all pictures are there; False: time was over before."""
    with closing(made):
        for done in made:
            _print({name: done, "of": count})
            if over() and done < count:
                return False
    return True


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m fhe_face.models.training.retrain")
    parser.add_argument("run", type=Path)
    parser.add_argument("--count", type=int, default=100_000, help="generated faces")
    parser.add_argument(
        "--portraits", type=Path,
        help="pictures of people, one of each, that may be trained on and are never reported",
    )  # fmt: skip
    parser.add_argument(
        "--apart-from", type=Path, action="append", default=[],
        help="photos of people that will be reported: portraits of these are left out",
    )  # fmt: skip
    parser.add_argument(
        "--portraits-from", help="where these are from and under which terms, for the record"
    )
    parser.add_argument("--mixes", type=int, default=16_000, help="pictures made from portraits")
    parser.add_argument("--steps", type=int, default=14_000)
    parser.add_argument("--batch", type=int, default=96)
    parser.add_argument("--neighbours", type=int, default=6)
    parser.add_argument("--views", type=int, default=2)
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--bounded-from", type=float, default=0.5)
    parser.add_argument("--gentle-until", type=float, default=0.67)
    parser.add_argument("--bound-weight", type=float, default=0.05)
    parser.add_argument("--stress", type=int, default=24)
    parser.add_argument("--hunt-faces", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--held-out", type=int, default=HELD_OUT)
    parser.add_argument(
        "--match", action="store_true",
        help="function matching: the teacher looks at changed pictures too (slow without a GPU)",
    )  # fmt: skip
    parser.add_argument("--workers", type=int, default=1, help="processes that draw faces")
    parser.add_argument(
        "--development", type=Path,
        help="photos of people that are looked at while training, and never reported: "
        "a folder for each of them",
    )  # fmt: skip
    parser.add_argument("--minutes", type=float, help="stop after so long; go on later")
    parser.add_argument("--plot", type=Path, help="draw the curves so far; needs matplotlib")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--half", action="store_true", help="bfloat16: faster where known")
    parser.add_argument("--compiled", action="store_true", help="torch.compile: faster")
    return parser


def _trainer(options: argparse.Namespace, faces: Faces, teacher: Teacher) -> tuple[Trainer, Distil]:
    plan = Plan(
        options.steps, options.batch, options.rate, options.seed, half=options.half,
        bounded_from=options.bounded_from, gentle_until=options.gentle_until,
        bound_weight=options.bound_weight, stress=options.stress, hunt_faces=options.hunt_faces,
    )  # fmt: skip
    objective = Distil(
        faces, plan, options.held_out, options.neighbours, options.views,
        teacher if options.match else None,
    )  # fmt: skip
    torch.manual_seed(options.seed)
    trainer = Trainer(
        CryptoFaceNet(64), objective, plan, options.run,
        device=options.device, compiled=options.compiled,
    )  # fmt: skip
    if (options.run / STATE_FILE).exists():
        trainer.resume()
    return trainer, objective


def _people(folder: Path) -> People:
    """Of a development set: what decisions may be made by, as no card reports it."""
    faces, labels = aligned_people(folder)
    return People(as_students_see(faces), labels)


def _check(objective: Distil, development: People | None) -> Callable[[CryptoFaceNet], Record]:
    """Held-out generated faces, and people of the development set where there is one."""
    if development is None:
        return objective.check
    people = RankOne(development)

    def check(network: CryptoFaceNet) -> Record:
        found = people(network)
        named = {f"development_{name}": found[name] for name in ("rank1", "eer")}
        return objective.check(network) | named

    return check


def _write(
    options: argparse.Namespace,
    trainer: Trainer,
    objective: Distil,
    portraits: Portraits | None,
    development: People | None,
) -> None:
    """The weights with the record of what they are from."""
    state = trainer.network.state()
    counts = objective.data.counts
    record = {
        "source": "from nothing: random numbers of the seed",
        "faces": {
            "count": counts[0],
            "seed": options.seed,
            "generator": f"DCGAN of gan-face-generate, SHA-256 {GAN_SHA256}",
        },
        "portraits": None
        if portraits is None
        else {
            "pictures": len(portraits.faces),
            "pictures_sha256": portraits.digest,
            "mixes": counts[1],
            "from": options.portraits_from,
        },
        "teacher": f"SFace, SHA-256 {SFACE_SHA256}",
        "neighbours": options.neighbours,
        "views": options.views,
        "function_matching": options.match,
        "held_out": options.held_out,
        "development": None
        if development is None
        else {
            "people": development.count,
            "images": len(development.labels),
            "pictures_sha256": development.digest,
        },
        "plan": trainer.plan.facts(),
        "last": trainer.records[-1],
    }
    file = options.run / RETRAINED_FILE
    save_safetensors(state, file, manifest=WeightsManifest.of(state, training=record))
    _print({"weights": str(file), "tensors_sha256": tensors_digest(state)})


def _print(content: dict[str, Any]) -> None:
    print(json.dumps(content), flush=True)


if __name__ == "__main__":
    with early_end_is_quiet():
        main()
