"""Who may import whom: Python packages, the server without the secret key, and C++ folders."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = ("fhe_core", "fhe_face", "benchmarks")

#: The rooms of fhe_core, from the bottom up: each imports only what stands before it.
CORE_ROOMS = (
    "errors",
    "files",
    "outputs",
    "streams",
    "container",
    "parameters",
    "ciphertext",
    "encoding",
    "normalisation",
    "plan",
    "compiler",
    "keys",
    "matching",
    "formats",
    "secret",
    "runtime",
    "analysis",
    "oracles",
)
#: What would be allowed by the order, and is not: a plan is all that compiler and runtime share,
#: and nothing but the client's code knows the secret.
APART = {
    "fhe_core.runtime": ("fhe_core.compiler", "fhe_core.secret"),
    "fhe_core.analysis": ("fhe_core.compiler", "fhe_core.secret"),
    "fhe_core.matching": ("fhe_core.compiler",),
    "fhe_core.oracles": ("fhe_core.secret",),
    "fhe_core": ("fhe_face", "benchmarks"),
    "fhe_face.models": ("benchmarks",),
    "fhe_face.coeffs": ("fhe_face.models", "benchmarks"),
    "fhe_face": ("benchmarks",),
    "fhe_face.photos": (
        "fhe_face.client",
        "fhe_face.server",
        "fhe_face.local",
        "fhe_face.gallery",
        "fhe_face.studio",
    ),
    "fhe_face.client": (
        "fhe_face.authority",
        "fhe_face.server",
        "fhe_face.local",
        "fhe_face.commands",
        "fhe_face.gallery",
        "fhe_face.store",
        "fhe_face.studio",
        "fhe_face.remote",
    ),
    "fhe_face.local": ("fhe_face.authority", "fhe_face.commands", "fhe_face.studio"),
    "fhe_face.server": ("fhe_face.photos", "fhe_face.local", "fhe_face.commands"),
    "fhe_face.gallery": (
        "fhe_face.authority",
        "fhe_face.local",
        "fhe_face.commands",
        "fhe_face.service",
        "fhe_face.studio",
        "fhe_face.remote",
    ),
    "fhe_face.studio": ("fhe_face.authority", "fhe_face.commands", "fhe_face.service"),
    "fhe_face.store": ("fhe_face.service", "fhe_face.remote"),
    "fhe_face.remote": (
        "fhe_face.authority",
        "fhe_face.local",
        "fhe_face.commands",
        "fhe_face.service",
        "fhe_face.studio",
    ),
    "fhe_face.authority": (
        "fhe_face.server",
        "fhe_face.service.jobs",
        "fhe_face.service.routes",
        "fhe_face.local",
        "fhe_face.remote",
        "fhe_face.commands",
        "fhe_face.studio",
    ),
    "fhe_face.service": (
        "fhe_face.authority",
        "fhe_face.remote",
        "fhe_face.client",
        "fhe_face.gallery",
        "fhe_face.local",
        "fhe_face.photos",
        "fhe_face.commands",
        "fhe_face.studio",
    ),
}
#: Of ours, models and coeffs know only themselves and each other, and how files are written.
MAPPED = ("fhe_face.models", "fhe_face.coeffs")
WRITING = ("fhe_core.errors", "fhe_core.files", "fhe_core.outputs", "fhe_core.streams")

#: An oracle that runs our arithmetic proves nothing.
ORACLES = ("fhe_core.oracles.openfhe_worker", "fhe_core.oracles.seal_backend")
EXTENSION = "fhe_core._native"

#: The code of the secret key, and of its owner.
SECRET_ROOMS = (
    "fhe_core.secret",
    "fhe_face.client",
    "fhe_face.gallery",
    "fhe_face.remote",
    "fhe_face.studio",
    "fhe_face.authority",
)
#: Rooms that run where it must never be, or need not be.
SERVER_ROOMS = (
    "fhe_core.runtime",
    "fhe_core.formats",
    "fhe_core.matching",
    "fhe_face.server",
    "fhe_face.service",
    "fhe_face.photos",
    "fhe_face.store",
)
#: What the process that listens must not load: it computes nothing.
ENGINE_ROOMS = (
    "fhe_face.server",
    "fhe_face.service.jobs.lane",
    "fhe_face.service.jobs.engines",
    "fhe_face.service.cluster",
)

# From the bottom up: a folder of cpp/ includes itself and folders before it.
CPP_LAYERS = ("kernels", "ring", "matching", "bindings")


# --- Python --------------------------------------------------------------------------------------


def module_path(name: str, root: Path) -> Path | None:
    """The source file of a module or package, or None where `root` has no such module."""
    base = root.joinpath(*name.split("."))
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def imports(name: str, root: Path) -> frozenset[str]:
    """All modules a source file may import, wherever in it; `from a import b` gives a and a.b."""
    path = module_path(name, root)
    if path is None:
        return frozenset()
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return imported(path.read_text(encoding="utf-8"), package)


@cache
def imported(text: str, package: str) -> frozenset[str]:
    """The same, of a text. Most modules are reached from many."""
    found: set[str] = set()
    for node in running(ast.parse(text)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                parents = parents[: len(parents) - node.level + 1]
                base = ".".join([*parents, base] if base else parents)
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call):
            found.update(dynamic_import(node))
    return frozenset(found)


def running(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING":
            continue
        yield node
        yield from running(node)


def dynamic_import(node: ast.Call) -> Iterator[str]:
    """The module that `importlib.import_module("...")` or `__import__("...")` names."""
    function = node.func
    called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if called in ("import_module", "__import__"):
        for argument in node.args[:1]:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield argument.value


def reached(start: str, root: Path) -> dict[str, str]:
    """The modules of ours that importing `start` can load, each with the one that asks for it.

    Importing a.b.c also runs a and a.b, so these count as well.
    """
    seen: dict[str, str] = {}
    waiting = [(start, "")]
    while waiting:
        name, importer = waiting.pop()
        if name in seen or module_path(name, root) is None:
            continue
        seen[name] = importer
        for target in {name, *imports(name, root)}:
            parts = target.split(".")
            if parts[0] in PACKAGES:
                waiting += [(".".join(parts[:end]), name) for end in range(1, len(parts) + 1)]
    return seen


def chain(name: str, seen: dict[str, str]) -> str:
    """How `name` is reached, for the message."""
    steps = [name]
    while seen[steps[-1]]:
        steps.append(seen[steps[-1]])
    return " <- ".join(steps)


def modules_of(package: str, root: Path) -> list[str]:
    """The dotted names of a module, or of all modules of a package."""
    folder = root.joinpath(*package.split("."))
    names = []
    for path in [folder.with_suffix(".py"), *sorted(folder.rglob("*.py"))]:
        if path.is_file():
            parts = path.relative_to(root).with_suffix("").parts
            names.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
    return names


def within(name: str, room: str) -> bool:
    return name == room or name.startswith(room + ".")


@pytest.mark.parametrize("room", APART)
def test_rooms_that_do_not_know_each_other(room: str) -> None:
    modules = [m for m in modules_of(room, REPOSITORY) if within(m, room)]
    assert modules, f"{room} has no modules"
    for module in modules:
        for target in imports(module, REPOSITORY):
            strangers = [other for other in APART[room] if within(target, other)]
            assert not strangers, f"{module} must not import {target}"


@pytest.mark.parametrize("room", MAPPED)
def test_models_and_coefficients_know_only_themselves(room: str) -> None:
    for module in modules_of(room, REPOSITORY):
        tops = ("fhe_face", "fhe_core")
        found = imports(module, REPOSITORY)
        ours = {t for t in found if any(within(t, top) for top in tops)} - {"fhe_face"}
        allowed = (*MAPPED, *WRITING)
        assert all(any(within(t, own) for own in allowed) for t in ours), f"{module}: {ours}"


def test_a_store_knows_only_itself_and_how_files_are_written() -> None:
    for module in modules_of("fhe_face.store", REPOSITORY):
        found = imports(module, REPOSITORY)
        ours = {t for t in found if t.split(".")[0] in PACKAGES} - {"fhe_face"}
        allowed = ("fhe_face.store", "fhe_core.errors", "fhe_core.files")
        assert all(any(within(t, own) for own in allowed) for t in ours), f"{module}: {ours}"


def test_rooms_of_the_core_import_what_stands_below() -> None:
    seen = set()
    for module in modules_of("fhe_core", REPOSITORY):
        room = module.split(".")[1] if "." in module else ""
        if not room:
            assert not {t for t in imports(module, REPOSITORY) if within(t, "fhe_core")}
            continue
        seen.add(room)
        allowed = CORE_ROOMS[: CORE_ROOMS.index(room) + 1]
        for target in imports(module, REPOSITORY):
            other = target.split(".")[1] if target.startswith("fhe_core.") else ""
            known = other in CORE_ROOMS and module_path(f"fhe_core.{other}", REPOSITORY)
            assert not known or other in allowed, f"{module} must not import {target}"
    assert seen == set(CORE_ROOMS)


@pytest.mark.parametrize("oracle", ORACLES)
def test_oracles_cannot_reach_our_extension(oracle: str) -> None:
    seen = reached(oracle, REPOSITORY)
    assert "fhe_core.oracles.run" in seen, f"{oracle} runs no plan: is this the right module?"
    for module in seen:
        assert EXTENSION not in imports(module, REPOSITORY), (
            f"{oracle} reaches the extension: {chain(module, seen)}"
        )
    assert EXTENSION in imports("fhe_core.runtime.evaluator", REPOSITORY)


@pytest.mark.parametrize("room", SERVER_ROOMS)
def test_nothing_that_a_server_runs_can_decrypt(room: str) -> None:
    for secret in SECRET_ROOMS:
        assert modules_of(secret, REPOSITORY), f"{secret} is missing: was it renamed?"
    modules = modules_of(room, REPOSITORY)
    assert modules
    for module in modules:
        seen = reached(module, REPOSITORY)
        for found in seen:
            held = any(within(found, secret) for secret in SECRET_ROOMS)
            assert not held, f"{module} reaches {chain(found, seen)}"


def test_one_module_speaks_with_ray() -> None:
    """What runs on nodes, and what the worker does with their answers, is tested without."""
    users = {
        module
        for room in ("fhe_face", "fhe_core")
        for module in modules_of(room, REPOSITORY)
        if any(within(target, "ray") for target in imports(module, REPOSITORY))
    }
    assert users == {"fhe_face.service.cluster.pool"}


@pytest.mark.parametrize("room", ["node", "shards", "reaching"])
def test_a_node_has_no_database(room: str) -> None:
    seen = reached(f"fhe_face.service.cluster.{room}", REPOSITORY)
    found = {name for name in seen if within(name, "fhe_face.service.jobs.queue")}
    assert not found, chain(found.pop(), seen)


def test_the_process_that_listens_computes_nothing() -> None:
    seen = reached("fhe_face.service.serving", REPOSITORY)
    assert "fhe_face.service.routes.files" in seen
    for found in seen:
        held = any(within(found, room) for room in ENGINE_ROOMS)
        assert not held, f"the service reaches {chain(found, seen)}"


def test_an_authority_computes_nothing_on_ciphertexts() -> None:
    """Neither weights nor evaluation keys are in reach of the process that has the secret."""
    modules = modules_of("fhe_face.authority", REPOSITORY)
    assert "fhe_face.authority.serving" in modules
    for module in modules:
        seen = reached(module, REPOSITORY)
        for found in seen:
            held = any(within(found, room) for room in (*ENGINE_ROOMS, "fhe_face.service.jobs"))
            assert not held, f"{module} reaches {chain(found, seen)}"


@pytest.mark.parametrize(
    "text",
    [
        "from fhe_core.secret import key as secret",
        "import fhe_core.secret.key as hidden",
        "from ..secret.key import SecretKey",
        "from ..secret import key",
        "def later():\n    from fhe_core.secret.key import SecretKey",
        "import importlib\nimportlib.import_module('fhe_core.secret.key')",
        "from fhe_core import helper",
        "from fhe_core.tools import innocent",
    ],
)
def test_the_walker_finds_hidden_imports(tmp_path: Path, text: str) -> None:
    for folder in ("runtime", "secret", "tools"):
        (tmp_path / "fhe_core" / folder).mkdir(parents=True)
        (tmp_path / "fhe_core" / folder / "__init__.py").touch()
    (tmp_path / "fhe_core" / "__init__.py").touch()
    (tmp_path / "fhe_core" / "secret" / "key.py").touch()
    (tmp_path / "fhe_core" / "tools" / "innocent.py").touch()
    (tmp_path / "fhe_core" / "tools" / "__init__.py").write_text("from ..secret import key")
    (tmp_path / "fhe_core" / "helper.py").write_text("import fhe_core.secret.key")
    server = tmp_path / "fhe_core" / "runtime" / "server.py"
    server.write_text("import fhe_core.secret")
    assert "fhe_core.secret.key" not in reached("fhe_core.runtime.server", tmp_path)
    server.write_text(text)
    assert "fhe_core.secret.key" in reached("fhe_core.runtime.server", tmp_path)


# --- C++ -----------------------------------------------------------------------------------------


def cpp_violations(root: Path) -> list[str]:
    """Includes of cpp/ that point up, or to nowhere."""
    found = []
    for path in sorted(root.rglob("*.[ch]pp")):
        folder = path.relative_to(root).parts[0]
        if folder not in CPP_LAYERS:
            found.append(f"{path.relative_to(root)} lies outside the layers {CPP_LAYERS}")
            continue
        for included in re.findall(r'^\s*#\s*include\s*"([^"]+)"', path.read_text(), re.MULTILINE):
            beside, below = path.parent / included, root / included
            target = (beside if beside.is_file() else below).resolve()
            if not target.is_file():
                found.append(f"{path.relative_to(root)} includes {included}, which does not exist")
                continue
            layer = target.relative_to(root.resolve()).parts[0]
            if CPP_LAYERS.index(layer) > CPP_LAYERS.index(folder):
                found.append(f"{path.relative_to(root)} includes {included}, which is above it")
    return found


def test_cpp_includes_point_down() -> None:
    root = REPOSITORY / "cpp"
    for layer in ("kernels", "ring", "matching", "bindings"):
        assert list((root / layer).glob("*.cpp")), f"cpp/{layer} has no sources"
    assert cpp_violations(root) == []


@pytest.mark.parametrize(
    "included", ["ring/b.hpp", "../ring/b.hpp", "kernels/missing.hpp", "../bindings/c.hpp"]
)
def test_cpp_violations_are_found(tmp_path: Path, included: str) -> None:
    for name in ("kernels/a.hpp", "ring/b.hpp", "matching/d.hpp", "bindings/c.hpp"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (tmp_path / "ring/b.hpp").write_text('#include "kernels/a.hpp"\n#include "b.hpp"\n#include <x>')
    assert cpp_violations(tmp_path) == []
    (tmp_path / "kernels/a.hpp").write_text(f'  # include "{included}"')
    assert len(cpp_violations(tmp_path)) == 1
