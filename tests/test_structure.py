"""The architecture holds: direction of imports, file sizes, and no side effects of importing."""

import ast
import graphlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "pointrend_ext"
FILES = sorted(PACKAGE.rglob("*.py"))
NAMES = [file.relative_to(PACKAGE).as_posix() for file in FILES]

# A sub-package imports its own level and those below; within a level there is no cycle.
LEVELS = {
    "layers": 0,
    "modeling": 1,
    "data": 2,
    "evaluation": 2,
    "checkpoint": 2,
    "visualization": 2,
    "engine": 3,
    "inference": 4,
    "inspection": 5,
    "deploy": 5,
}
# Everything but `layers`, which needs torch alone, may import these; they import no sub-package.
SHARED = {"_detectron2", "config", "model_zoo"}
GRID_SAMPLE_FILES = {"layers/point_sample.py", "layers/flow_warp.py"}


def imported_modules(tree: ast.AST, file: Path, root: Path = ROOT) -> set[str]:
    """Absolute dotted names of all that is imported anywhere in ``tree``, also inside functions."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = file.relative_to(root).with_suffix("").parts[: -node.level]
                base = ".".join([*parents, *([base] if base else [])])
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return found


def parts_of_own(modules: set[str]) -> set[str]:
    """First name below ``pointrend_ext`` of each import from it ("" for the package itself)."""
    own = [m.split(".") for m in modules if m.split(".")[0] == PACKAGE.name]
    return {m[1] if len(m) > 1 else "" for m in own}


def direction_faults(part: str, modules: set[str]) -> list[str]:
    """What ``part`` of the package must not import, given all that it does import."""
    faults = []
    if part == "layers":
        allowed = {"torch", PACKAGE.name, *sys.stdlib_module_names}
        faults += [m for m in modules if m.split(".")[0] not in allowed]
    faults += [m for m in modules if m.startswith("detectron2.projects.point_rend")]
    faults += [m for m in modules if m.split(".")[0] in ("tests", "tools")]
    for other in parts_of_own(modules) - {part}:
        if part in LEVELS and other in LEVELS:
            wrong = LEVELS[other] > LEVELS[part]
        elif part in LEVELS:
            wrong = other not in SHARED or part == "layers"
        else:
            wrong = part in SHARED
        if wrong:
            faults.append(f"{PACKAGE.name}.{other}")
    return sorted(faults)


@pytest.mark.parametrize(
    ("part", "modules", "faults"),
    [
        ("layers", {"math", "torch.nn", "pointrend_ext.layers.x"}, []),
        ("layers", {"numpy"}, ["numpy"]),
        ("layers", {"pointrend_ext.config"}, ["pointrend_ext.config"]),
        ("modeling", {"pointrend_ext.layers.x", "pointrend_ext.config", "fvcore"}, []),
        ("modeling", {"pointrend_ext.engine.x"}, ["pointrend_ext.engine"]),
        ("modeling", {"pointrend_ext"}, ["pointrend_ext."]),
        ("data", {"pointrend_ext.evaluation", "pointrend_ext.model_zoo"}, []),
        ("model_zoo", {"pointrend_ext.layers"}, ["pointrend_ext.layers"]),
        ("engine", {"pointrend_ext.inference.x"}, ["pointrend_ext.inference"]),
        ("inspection", {"pointrend_ext.inference.x", "pointrend_ext.engine"}, []),
        ("engine", {"detectron2.projects.point_rend"}, ["detectron2.projects.point_rend"]),
        ("engine", {"tools.train_net"}, ["tools.train_net"]),
    ],
)
def test_the_rule_itself(part: str, modules: set[str], faults: list[str]) -> None:
    assert direction_faults(part, modules) == faults


def test_relative_imports_are_resolved() -> None:
    tree = ast.parse("from ..layers import x\nfrom . import y\ndef f():\n    import numpy.linalg\n")
    file = PACKAGE / "modeling" / "point_head" / "head.py"
    assert imported_modules(tree, file) == {
        "pointrend_ext.modeling.layers.x",
        "pointrend_ext.modeling.point_head.y",
        "numpy.linalg",
    }


@pytest.mark.parametrize("name", NAMES)
def test_imports_point_one_way(name: str) -> None:
    file = PACKAGE / name
    part = file.relative_to(PACKAGE).with_suffix("").parts[0]
    modules = imported_modules(ast.parse(file.read_text()), file)
    assert direction_faults(part, modules) == []


def test_every_subpackage_has_a_level_and_there_are_no_cycles() -> None:
    parts = {file.relative_to(PACKAGE).parts[0] for file in FILES if file.parent != PACKAGE}
    assert parts <= set(LEVELS) | SHARED
    imports: dict[str, set[str]] = {part: set() for part in parts}
    for file in FILES:
        part = file.relative_to(PACKAGE).parts[0]
        if part in parts:
            modules = imported_modules(ast.parse(file.read_text()), file)
            imports[part] |= parts_of_own(modules) & parts - {part}
    assert list(graphlib.TopologicalSorter(imports).static_order())  # CycleError otherwise


@pytest.mark.parametrize("name", NAMES)
def test_file_is_documented_and_of_readable_size(name: str) -> None:
    text = (PACKAGE / name).read_text()
    assert ast.get_docstring(ast.parse(text)), f"{name} must begin with a docstring"
    lines = len(text.splitlines())
    assert lines <= 300, f"{name} has {lines} lines, 300 are allowed: split it"


@pytest.mark.parametrize("name", NAMES)
def test_package_does_not_print(name: str) -> None:
    calls = [n for n in ast.walk(ast.parse((PACKAGE / name).read_text())) if is_print(n)]
    assert [call.lineno for call in calls] == []


def is_print(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "id", None) == "print"


@pytest.mark.parametrize("room", ["layers", "modeling/point_head"])
def test_the_fast_forms_stand_behind_one_door(room: str) -> None:
    """Other rooms import from ``fast`` itself, never from a file in it, nor from its plain room."""
    door = f"{PACKAGE.name}.{room.replace('/', '.')}.fast"
    for name in NAMES:
        if name.startswith(f"{room}/"):
            continue
        modules = imported_modules(ast.parse((PACKAGE / name).read_text()), PACKAGE / name)
        behind = [
            m for m in modules if m.startswith(f"{door}.") and m.count(".") > door.count(".") + 1
        ]
        assert behind == [], f"{name} imports {behind}: take it from {door}"


def test_no_file_imports_itself_in_a_circle() -> None:
    graph = {module_name(PACKAGE / name): set() for name in NAMES}
    for name in NAMES:
        file = PACKAGE / name
        for module in imported_modules(ast.parse(file.read_text()), file):
            target = module if module in graph else module.rpartition(".")[0]
            if target in graph and target != module_name(file):
                graph[module_name(file)].add(target)
    assert list(graphlib.TopologicalSorter(graph).static_order())  # CycleError otherwise


def module_name(file: Path) -> str:
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {file.parent for file in FILES}
    assert [f for f in folders if not (f / "__init__.py").is_file()] == []


def test_one_file_alone_calls_grid_sample() -> None:
    """One sampler means one pixel convention; the dense warp is the only other place that may."""
    used_in = set()
    for name in NAMES:
        for node in ast.walk(ast.parse((PACKAGE / name).read_text())):
            used = getattr(node, "attr", None) or getattr(node, "id", None)
            if isinstance(node, ast.alias):
                used = node.name
            if used is not None and used.startswith("grid_sample"):
                used_in.add(name)
    assert "layers/point_sample.py" in used_in
    assert used_in <= GRID_SAMPLE_FILES


def run_python(code: str, cwd: Path = ROOT) -> str:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_importing_every_module_leaves_global_state_alone(tmp_path: Path) -> None:
    code = """
import importlib, logging, os, pkgutil, random, sys
import numpy, torch
import detectron2.data, detectron2.engine, detectron2.evaluation
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog

def state():
    return {
        "upstream": [m for m in sys.modules if m.startswith("detectron2.projects.point")],
        "data sets": sorted(DatasetCatalog.list()),
        "metadata": sorted(MetadataCatalog.list()),
        "config": get_cfg().dump(),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "files": sorted(os.listdir()),
        "torch": (torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled(),
                  torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark),
        "random": (torch.get_rng_state().tolist(), random.getstate(),
                   str(numpy.random.get_state())),
        "logging": (len(logging.root.handlers), logging.root.level),
    }

before = state()
import pointrend_ext
names = [m.name for m in pkgutil.walk_packages(pointrend_ext.__path__, "pointrend_ext.")]
for name in names:
    importlib.import_module(name)
after = state()
print([key for key in before if before[key] != after[key]], len(names))
"""
    changed, count = run_python(code, tmp_path).splitlines()[-1].rsplit(" ", 1)
    assert changed == "[]"
    assert int(count) == len(NAMES) - 1  # every file but the package's own __init__.py


@pytest.mark.parity
@pytest.mark.parametrize("ours_first", [True, False])
def test_lives_beside_upstream_in_either_order(ours_first: bool) -> None:
    pytest.importorskip("detectron2.projects.point_rend")
    order = ["pointrend_ext", "detectron2.projects.point_rend"]
    imports = ", ".join(order if ours_first else reversed(order))
    code = f"""
import {imports}
from detectron2.modeling import ROI_MASK_HEAD_REGISTRY
ours = ROI_MASK_HEAD_REGISTRY.get("PointRendROIMaskHead")
theirs = ROI_MASK_HEAD_REGISTRY.get("PointRendMaskHead")
print(ours.__module__.split(".")[0], theirs.__module__.split(".")[0])
"""
    assert run_python(code).splitlines()[-1] == "pointrend_ext detectron2"
