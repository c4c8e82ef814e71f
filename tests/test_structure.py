"""The architecture holds: direction of imports, file sizes, and no side effects of importing."""

import ast
import graphlib
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "pointrend_ext"
FILES = sorted(PACKAGE.rglob("*.py"))
TEXTS = {file.relative_to(PACKAGE).as_posix(): file.read_text() for file in FILES}
TREES = {name: ast.parse(text) for name, text in TEXTS.items()}

# A sub-package imports its own level and those below; within a level there is no cycle.
LEVELS = {
    "layers": 0,
    "structures": 1,
    "processes": 1,
    "modeling": 1,
    "data": 2,
    "evaluation": 2,
    "checkpoint": 2,
    "visualization": 2,
    "engine": 3,
    "inference": 4,
    "inspection": 5,
    "deploy": 5,
    "serving": 6,
    "commands": 6,
}
# Everything but `layers`, which needs torch alone, may import these; they import no sub-package.
SHARED = {"_command", "_compat", "_detectron2", "config", "model_zoo"}
GRID_SAMPLE_FILES = {"layers/point_sample.py", "layers/flow_warp.py"}


def imported_modules(tree: ast.AST, name: str) -> set[str]:
    """Absolute dotted names of all that file ``name`` imports, also inside functions."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = (PACKAGE.name, *name.split("/"))[: -node.level]
                base = ".".join([*parents, *([base] if base else [])])
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return found


def parts_of_own(modules: set[str]) -> set[str]:
    """First name below ``pointrend_ext`` of each import from it ("" for the package itself)."""
    own = [m.split(".") for m in modules if m.split(".")[0] == PACKAGE.name]
    return {m[1] if len(m) > 1 else "" for m in own}


IMPORTS = {name: imported_modules(tree, name) for name, tree in TREES.items()}


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
    assert imported_modules(tree, "modeling/point_head/head.py") == {
        "pointrend_ext.modeling.layers.x",
        "pointrend_ext.modeling.point_head.y",
        "numpy.linalg",
    }


def test_imports_point_one_way() -> None:
    faults = {
        name: direction_faults(name.removesuffix(".py").split("/")[0], modules)
        for name, modules in IMPORTS.items()
    }
    assert {name: found for name, found in faults.items() if found} == {}


def test_every_subpackage_has_a_level_and_there_are_no_cycles() -> None:
    imports: dict[str, set[str]] = {name.split("/")[0]: set() for name in TREES if "/" in name}
    assert imports.keys() <= set(LEVELS) | SHARED
    for name, modules in IMPORTS.items():
        part = name.split("/")[0]
        if part in imports:
            imports[part] |= parts_of_own(modules) & imports.keys() - {part}
    assert list(graphlib.TopologicalSorter(imports).static_order())  # CycleError otherwise


def test_files_are_documented_and_of_readable_size() -> None:
    assert [name for name, tree in TREES.items() if not ast.get_docstring(tree)] == []
    lines = {name: len(text.splitlines()) for name, text in TEXTS.items()}
    assert {name: n for name, n in lines.items() if n > 300} == {}, "300 are allowed: split it"


@pytest.mark.parametrize("room", ["layers", "modeling/point_head"])
def test_the_fast_forms_stand_behind_one_door(room: str) -> None:
    """Other rooms import from ``fast`` itself, never from a file in it, nor from its plain room."""
    door = f"{PACKAGE.name}.{room.replace('/', '.')}.fast"
    for name, modules in IMPORTS.items():
        behind = [m for m in modules if re.match(rf"{door}\.\w+\.", m)]
        assert name.startswith(f"{room}/") or behind == [], f"{name}: take {behind} from {door}"


def test_no_file_imports_itself_in_a_circle() -> None:
    graph = {module_name(name): set() for name in TREES}
    for name, modules in IMPORTS.items():
        targets = {m if m in graph else m.rpartition(".")[0] for m in modules}
        graph[module_name(name)] |= targets & graph.keys() - {module_name(name)}
    assert list(graphlib.TopologicalSorter(graph).static_order())  # CycleError otherwise


def module_name(name: str) -> str:
    return f"{PACKAGE.name}/{name}"[:-3].replace("/", ".").removesuffix(".__init__")


def test_the_runtime_imports_neither_torch_nor_detectron2_nor_what_does() -> None:
    """Whatever its files import, at their start or later, is in the small distribution."""
    files = runpy.run_path(str(ROOT / "runtime/setup.py"), run_name="_")["runtime_files"]()
    assert {"deploy/runtime/predictor.py", "inference/prediction.py"} <= files.keys()
    assert [name for name in files if name.endswith("__init__.py")] == [
        "deploy/runtime/__init__.py"  # those of other rooms import more
    ]
    others = {m.split(".")[0] for modules in files.values() for m in modules}
    assert others - sys.stdlib_module_names == {"numpy", "PIL", "cv2", "av", "tqdm"}
    late = {"cv2", "av", "tqdm"}  # optional: imported where something is drawn or shown
    for name in files.keys() - {n for n in files if n.startswith("visualization/")}:
        first = [
            node for node in TREES[name].body if isinstance(node, (ast.Import, ast.ImportFrom))
        ]
        at_start = imported_modules(ast.Module(first, []), name)
        assert not {m.split(".")[0] for m in at_start} & late, name


def test_one_file_alone_calls_grid_sample() -> None:
    """One sampler means one pixel convention; the dense warp is the only other place that may."""
    used_in = set()
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            used = getattr(node, "attr", None) or getattr(node, "id", None)
            if isinstance(node, ast.alias):
                used = node.name
            if used is not None and used.startswith("grid_sample"):
                used_in.add(name)
    assert "layers/point_sample.py" in used_in
    assert used_in <= GRID_SAMPLE_FILES


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
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    changed, count = done.stdout.splitlines()[-1].rsplit(" ", 1)
    assert changed == "[]"
    assert int(count) == len(FILES) - 1  # no folder lacks its __init__.py
