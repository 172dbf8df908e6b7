"""``fhe-face weights``: what weights files are there, whether they are whole, and other formats.

Hooked in by ``app.add_typer(weights.app, name="weights")``; importing this module is cheap.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fhe_face.commands import bounding, carding
from fhe_face.commands.options import Json

if TYPE_CHECKING:
    from rich.console import Console

    from fhe_face.models.checkpoint import Checkpoint

app = typer.Typer(help="List, check, convert and download weights files.", no_args_is_help=True)

app.command("bound", help=bounding.HELP)(bounding.bound)
app.command("card", help=carding.HELP)(carding.card)

_SUFFIXES = (".safetensors", ".ckpt")


@app.callback()
def _group() -> None:
    pass


@app.command(
    "list", help="Weights files of a folder, those that came with the program, and downloads."
)
def list_files(
    folder: Annotated[
        Path | None, typer.Argument(help="Look here too; default: the current folder.")
    ] = None,
    json: Json = False,
) -> None:
    from fhe_core.files import explain, shown
    from fhe_face.circuit import INPUT_SIZE
    from fhe_face.failures import CommandError
    from fhe_face.models.hub import cache_folder, published_file
    from fhe_face.network import BUNDLED, OFFICIAL, bundled_weights
    from fhe_face.output import Output

    here = Path() if folder is None else folder
    if not here.is_dir():
        raise CommandError(f"{shown(here)}: no such folder")
    names = {bundled_weights(): BUNDLED, published_file(INPUT_SIZE): OFFICIAL}
    files: list[dict[str, Any]] = []
    for place, where in (
        ("bundled", bundled_weights().parent),
        ("downloads", cache_folder()),
        ("folder", here),
    ):
        try:
            found = sorted(f for f in where.iterdir() if f.suffix in _SUFFIXES and f.is_file())
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise explain(where, "read", error) from error
        files += [
            {
                "place": place,
                "name": names.get(file),
                "path": shown(file.resolve()),
                **examine(file),
            }
            for file in found
        ]
    data = {"files": files, "folder": str(here), "downloads": str(cache_folder())}
    Output(json).answer(data, lambda console: _show_list(console, data))


@app.command(
    "verify",
    help="Check files against their manifests or the published digests; status 1 if one is bad.",
)
def verify(
    files: Annotated[list[Path], typer.Argument(help="Weights files.")], json: Json = False
) -> None:
    from fhe_face.failures import CommandError
    from fhe_face.output import Output

    examined = [examine(file) for file in files]
    bad = [entry for entry in examined if not entry["ok"]]
    output = Output(json)
    if bad:
        for entry in bad[1:]:
            output.warn(entry["problem"])
        raise CommandError(bad[0]["problem"], details={"files": examined, "bad": len(bad)})
    for entry in examined:
        if entry["verified"] == "structure":
            output.warn(
                f"{entry['file']}: loads, but has no manifest: a changed number would not be seen"
            )
    data = {"files": examined, "bad": 0}
    output.answer(data, lambda console: _show_verified(console, examined))


@app.command(
    "convert", help="Write weights as .safetensors with a manifest; it can be read without torch."
)
def convert(
    source: Annotated[Path, typer.Argument(help="A .ckpt or .safetensors file.")],
    target: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
    coefficients: Annotated[
        Path | None,
        typer.Option(
            "--coefficients",
            help="The normalisation for the manifest, a file that fhe-face coeffs fit wrote.",
        ),
    ] = None,
    note: Annotated[
        list[str] | None,
        typer.Option("--note", help="NAME=VALUE for the training record; repeatable."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json: Json = False,
) -> None:
    from fhe_core.outputs import Outputs
    from fhe_face.coeffs.normalisation import FittedNormalisation
    from fhe_face.failures import USAGE, CommandError
    from fhe_face.models.checkpoint import WEIGHTS, load, save_safetensors
    from fhe_face.models.manifest import WeightsManifest, WeightsManifestError
    from fhe_face.network import fused, thresholds_of
    from fhe_face.output import Output

    if target.suffix != ".safetensors":
        raise CommandError(f"'{target}': the file to write must end in .safetensors", USAGE)
    notes = _notes(note or [])
    outputs = Outputs(source, coefficients)
    outputs.add(target, WEIGHTS, overwrite=force, hint=" (--force replaces it)")
    given = load(source)
    fused(given)
    before = given.manifest
    record = dict(before.training) if before else {}
    record.setdefault("source_file", source.name)
    record.setdefault("source_sha256", given.sha256)
    if before is not None and coefficients is None:
        polynomial = before.coefficients
    else:
        polynomial = FittedNormalisation.load(coefficients)
    try:
        manifest = WeightsManifest.of(
            given.state, polynomial, {**record, **notes}, thresholds_of(given)
        )
    except WeightsManifestError as error:
        raise CommandError(f"{target}: {error}") from None
    save_safetensors(given.state, target, manifest=manifest, overwrite=force)
    data = {"converted": str(source), **examine(target)}
    Output(json).answer(data, lambda console: _show_verified(console, [data]))


@app.command(
    "download", help="Get a published checkpoint from huggingface.co into the download folder."
)
def download_file(
    size: Annotated[int, typer.Option("--size", help="Side of the faces: 64, 96 or 128.")] = 64,
    json: Json = False,
) -> None:
    from fhe_face.failures import USAGE, CommandError
    from fhe_face.models import hub
    from fhe_face.output import Output

    if size not in hub.PUBLISHED:
        raise CommandError(f"--size is {size}; it must be 64, 96 or 128", USAGE)
    output = Output(json)
    try:
        path = hub.download(size)
    except hub.HubError as error:
        raise CommandError(str(error)) from None
    data = examine(path)
    if hub.PUBLISHED[size].sha256 is None:
        output.warn(f"{path}: no digest of it is known here; its SHA-256 is {data['sha256']}")
    output.answer(data, lambda console: _show_verified(console, [data]))


def examine(file: Path) -> dict[str, Any]:
    """Facts about a weights file, never an exception: `ok`, `problem`, and what it holds.

    verified: "manifest" or "published" where the tensors are known to be unchanged, "structure"
    where they only load.
    """
    from fhe_core.files import shown
    from fhe_face.failures import one_line
    from fhe_face.models.checkpoint import CheckpointError, load
    from fhe_face.network import WeightsError, fused, thresholds_of

    facts: dict[str, Any] = {"file": shown(file), "ok": False, "problem": None, "verified": None}
    try:
        checkpoint = load(file)
        fused(checkpoint)
    except (CheckpointError, WeightsError) as error:
        return {**facts, "problem": one_line(error)}
    manifest, thresholds = checkpoint.manifest, thresholds_of(checkpoint)
    return {
        **facts,
        "ok": True,
        "verified": _verified(checkpoint),
        "format": checkpoint.kind,
        "architecture": checkpoint.architecture,
        "input_size": checkpoint.input_size,
        "parameters": _parameters(checkpoint),
        "bytes": file.stat().st_size,
        "sha256": checkpoint.sha256,
        "tensors_sha256": checkpoint.tensors_sha256,
        "interval": None if manifest is None else list(manifest.coefficients.interval),
        "degree": None if manifest is None else manifest.coefficients.degree,
        "training": None if manifest is None else dict(manifest.training),
        "thresholds": None if thresholds is None else thresholds.to_json(),
    }


def _verified(checkpoint: Checkpoint) -> str:
    from fhe_face.models.hub import PUBLISHED

    if checkpoint.manifest is not None:
        return "manifest"
    known = {published.sha256 for published in PUBLISHED.values()}
    return "published" if checkpoint.sha256 in known else "structure"


def _parameters(checkpoint: Checkpoint) -> int:
    """Trained numbers: all tensors but the running statistics and counters of BatchNorms."""
    statistics = (".running_mean", ".running_var", ".num_batches_tracked")
    state = checkpoint.state.items()
    return sum(tensor.size for name, tensor in state if not name.endswith(statistics))


def _notes(given: Sequence[str]) -> dict[str, str]:
    from fhe_face.failures import USAGE, CommandError

    notes = {}
    for note in given:
        name, equals, value = note.partition("=")
        if not equals or not name:
            raise CommandError(f"--note is '{note}'; it must be NAME=VALUE", USAGE)
        notes[name] = value
    return notes


def _show_list(console: Console, data: dict[str, Any]) -> None:
    from fhe_face.output import grid

    if not data["files"]:
        console.print("no weights files", markup=False)
        return
    rows = [
        (
            entry["place"],
            entry["name"] or Path(entry["file"]).name,
            entry.get("architecture", ""),
            str(entry.get("input_size", "")),
            entry.get("tensors_sha256", "")[:12],
            _manifest(entry),
        )
        for entry in data["files"]
    ]
    names = ("where", "--weights", "network", "pixels", "tensors", "manifest")
    console.print(grid("Weights", names, rows))
    for entry in data["files"]:
        console.print(entry["path"], markup=False, soft_wrap=True)
    for entry in data["files"]:
        if entry["problem"]:
            console.print(f"bad: {entry['problem']}", markup=False, soft_wrap=True)


def _manifest(entry: dict[str, Any]) -> str:
    words = {"manifest": "ok", "published": "none, but the published file", "structure": "none"}
    return words[entry["verified"]] if entry["ok"] else "bad"


def _decision(entry: dict[str, Any]) -> str:
    found = entry["thresholds"]
    if found is None:
        return "unknown: no thresholds (fhe-face evaluate FOLDER --set-thresholds NAME)"
    sets = ", ".join(measured["name"] for measured in found["sets"])
    return (
        f"same from cosine {found['same_from']:.3f}, different below "
        f"{found['different_below']:.3f} ({sets})"
    )


def _show_verified(console: Console, entries: Sequence[dict[str, Any]]) -> None:
    from fhe_face.output import facts
    from fhe_face.system import size

    for entry in entries:
        rows: list[tuple[str, object]] = [
            ("network", f"{entry['architecture']}, {entry['input_size']} pixels"),
            ("trained numbers", entry["parameters"]),
            ("size", f"{size(entry['bytes'])}, {entry['format']}"),
            ("digest of the tensors", entry["tensors_sha256"]),
            ("manifest", _manifest(entry)),
            ("same or different", _decision(entry)),
        ]
        if entry["interval"] is not None:
            low, high = entry["interval"]
            polynomial = f"degree {entry['degree']} on [{low:g}, {high:g}]"
            rows.append(("polynomial", polynomial))
            rows += [(f"training: {name}", value) for name, value in entry["training"].items()]
        console.print(facts(entry["file"], rows))
