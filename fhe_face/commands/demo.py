"""``fhe-face demo``"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from fhe_core.files import FileError, explain, shown
from fhe_face.circuit import normalisation_of
from fhe_face.commands.face_options import FaceOptions
from fhe_face.commands.inputs import warn_of_little_memory
from fhe_face.demo_faces import demo_faces
from fhe_face.failures import UNHEALTHY, USAGE, CommandError
from fhe_face.local.demonstration import Demonstration
from fhe_face.network import DEMONSTRATION, bundled_weights, weights_file
from fhe_face.output import Output, grid, ring
from fhe_face.photos.preparation import PreparedFace, given
from fhe_face.system import default_threads, seconds, size, temporary_folder

DRAWN = "two pictures of one face, drawn by this project (nobody's photograph)"
#: Instead of an answer.
WITHOUT = "no answer: these weights have no thresholds (fhe-face evaluate --set-thresholds)"


def run(
    images: Sequence[Path],
    weights: Path,
    keep: Path | None,
    flip: bool,
    coefficients: Path | None,
    how: FaceOptions,
    threads: int | None,
    as_json: bool,
) -> None:
    output = Output(as_json)
    faces, source = _faces(images, how, output)
    normalisation = None if coefficients is None else normalisation_of(coefficients)
    output.note(f"faces:   {source}")
    file = weights_file(weights)
    bundled = file == bundled_weights()
    output.note(f"network: {'the bundled weights, ' if bundled else ''}{file}")
    if bundled:
        output.warn(DEMONSTRATION)
    with _folder(keep) as folder, output.stages() as stage:
        demonstration = Demonstration(
            faces,
            file,
            normalisation,
            2 if flip else 1,
            folder,
            keep is not None,
            threads or default_threads(),
            lambda engine: warn_of_little_memory(output, engine.keys(), engine.parameters),
            *([[str(image) for image in images]] if images else []),
        )
        data = {"faces": source, "bundled_weights": bundled, **demonstration.run(stage)}
    if not data["healthy"]:
        raise CommandError(f"no result: {data['reason']}", UNHEALTHY, data)
    output.answer(data, lambda console: show(console, data))


def _faces(
    images: Sequence[Path], how: FaceOptions, output: Output
) -> tuple[Callable[[int], list[PreparedFace]], str]:
    """What makes the faces of a given size, and where they come from."""
    if not images:
        return lambda size: [given(face, size) for face in demo_faces(size)], DRAWN
    if len(images) != 2:
        raise CommandError(f"demo takes two images or none, got {len(images)}", USAGE)

    def load(size: int) -> list[PreparedFace]:
        return [how.prepared(image, size, output) for image in images]

    return load, " and ".join(str(image) for image in images)


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    """A folder that is removed afterwards, or the one to keep."""
    if keep is None:
        with temporary_folder("fhe-face-demo-") as folder:
            yield folder
        return
    try:
        keep.mkdir(parents=True)
    except FileExistsError:
        raise FileError(f"{shown(keep)} exists already; --keep takes a new folder") from None
    except OSError as error:
        raise explain(keep, "create folder", error) from error
    yield keep


def show(console: Console, data: dict[str, Any]) -> None:
    """What was measured, for people."""
    embed = data["embed_seconds"]
    console.print(data.get("meaning", WITHOUT), markup=False, soft_wrap=True)
    console.print()
    console.print(grid("Stages", ("who", "what", "time", "size"), _stages(data), 2))
    results = [
        (f"embedding of face {i + 1}: cosine to the cleartext one", f"{cosine:.8f}")
        for i, cosine in enumerate(data["cosine_to_cleartext"])
    ]
    results += [
        (f"embedding of face {i + 1}: relative error", f"{error:.2e}")
        for i, error in enumerate(data["relative_l2_error"])
    ]
    low, high = data["interval"]
    norms = ", ".join(f"{norm:.1f}" for norm in data["squared_norms"])
    results += [
        ("cosine of the two faces, decrypted", f"{data['cosine']:.6f}"),
        ("cosine of the two faces, in the clear", f"{data['cosine_cleartext']:.6f}"),
        (f"health: squared norms in [{low:g}, {high:g}]", f"healthy: {norms}"),
    ]
    console.print(grid("Decrypted beside cleartext (float64)", ("", ""), results, 1))
    machine = [
        ("server, peak memory", size(data["server_peak_rss_bytes"])),
        ("  of it evaluation keys", size(data["evaluation_key_memory_bytes"])),
        ("  of it packed weights", size(data["packed_weight_bytes"])),
        ("client, peak memory", size(data["client_peak_rss_bytes"])),
        ("threads", str(data["threads"])),
        ("parameters", f"'{data['parameters']}', ring dimension {data['ring_dimension']}"),
        ("log2(QP), special primes included", f"{data['log2_qp']:.0f}"),
        ("128-bit bound (Bossuat et al. 2024)", f"{data['log2_qp_bound']}"),
        ("margin", f"{data['margin_bits']:.0f} bits"),
    ]
    if data["half"] is not None:
        machine.append(("ring of half the degree", ring(data["half"])))
    console.print(grid("Memory and security", ("", ""), machine, 1))
    console.print(
        f"One encrypted embedding took {seconds(min(embed))}. The server process had the "
        "evaluation keys, the weights and ciphertexts, and no means to decrypt."
    )


def _stages(data: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    rows = [
        (
            "client",
            f"make keys ({data['evaluation_keys']} evaluation keys)",
            seconds(data["keygen_seconds"]),
            size(data["evaluation_key_bytes"]),
        )
    ]
    for i, elapsed in enumerate(data["encrypt_seconds"]):
        what = f"encrypt face {i + 1}"
        rows.append(("client", what, seconds(elapsed), size(data["ciphertext_bytes"])))
    what = "start, compile, load keys and weights"
    rows.append(("server", what, seconds(data["server_load_seconds"]), ""))
    for i, elapsed in enumerate(data["embed_seconds"]):
        rows.append(("server", f"embed face {i + 1}", seconds(elapsed), ""))
    rows.append(("server", "match", seconds(data["match_seconds"]), ""))
    rows.append(("client", "decrypt and check", seconds(data["decrypt_seconds"]), ""))
    return rows
