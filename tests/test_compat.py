"""Each mend of other packages works, and is still needed: where it is not, delete it."""

import importlib
import json
import os
import re
import subprocess
from importlib.machinery import PathFinder
from pathlib import Path

import numpy as np
import pytest

from pointrend_ext import _compat
from tests.fresh_python import run_fresh

ROOT = Path(__file__).parents[1]
NUMPY = tuple(int(part) for part in np.__version__.split(".")[:2])
MISSING_SINCE = {"array": (2, 0), "in1d": (2, 4), "float": (1, 24), "count_nonzero": (2, 4)}
CALLS = {
    "array": (lambda np: np.array([1, 2], copy=False), ValueError),
    "in1d": (lambda np: np.in1d(np.array([[1, 2], [3, 4]]), [4, 1]), AttributeError),
    "float": (lambda np: np.float("1.5"), AttributeError),
    "count_nonzero": (lambda np: json.loads(json.dumps(np.count_nonzero([0, 7, 7]))), TypeError),
}
MENDED = [(module, name) for module, names in _compat._NUMPY.items() for name in names]


def run_python(code: str, *paths: Path, **options) -> subprocess.CompletedProcess:
    return run_fresh(code, PYTHONPATH=os.pathsep.join(map(str, [*paths, ROOT])), **options)


def imported(module: str):
    pytest.importorskip(module.split(".")[0])
    return importlib.import_module(module)


@pytest.mark.parametrize(("module", "name"), MENDED)
def test_the_module_still_calls_what_numpy_lacks(module: str, name: str) -> None:
    if MISSING_SINCE[name] > NUMPY:
        pytest.skip(f"NumPy {np.__version__} has it")
    source = Path(imported(module).__file__).read_text(encoding="utf-8")
    used = {"array": r"np\.array\(.*copy=(copy|False)"}.get(name, rf"np\.{name}\b")
    assert re.search(used, source), "delete the mend"
    call, error = CALLS[name]
    with pytest.raises(error):
        call(np)


@pytest.mark.parametrize(("module", "name"), MENDED)
def test_the_module_sees_the_function_beside_numpys_own(module: str, name: str) -> None:
    seen = imported(module).np
    assert seen is not np
    assert seen.float64 is np.float64
    assert seen.linalg.norm is np.linalg.norm
    value = CALLS[name][0](seen)
    expected = {
        "array": [1, 2],
        "in1d": [True, False, False, True],
        "float": 1.5,
        "count_nonzero": 2,
    }[name]
    assert np.array_equal(value, expected)
    with pytest.raises(AttributeError, match="no_such"):
        _ = seen.no_such


def test_copies_are_made_where_numpy_1_made_them() -> None:
    values = np.arange(3)
    assert _compat._array(values, copy=False) is values
    assert _compat._array(values) is not values
    assert _compat._array(values, copy=False, dtype=float).dtype == float


def test_what_is_loaded_already_is_mended_too() -> None:
    code = """
import numpy, detectron2.layers.mask_ops as early
assert early.np is numpy
import pointrend_ext
assert early.np.array([1], copy=False) == 1 and early.np is not numpy
finders = len(__import__("sys").meta_path)
pointrend_ext._compat.install()
assert finders == len(__import__("sys").meta_path)
"""
    done = run_python(code, preload=("torch",))
    assert done.returncode == 0, done.stderr[-2000:]


def test_importing_the_package_imports_none_of_the_others() -> None:
    code = "import sys, pointrend_ext; print([m for m in sys.modules if m.split('.')[0] in {}])"
    done = run_python(code.format(("cityscapesscripts", "deeplearning", "lvis", "pkg_resources")))
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_model_zoo_needs_no_pkg_resources(tmp_path: Path) -> None:
    (tmp_path / "pkg_resources.py").write_text("raise ModuleNotFoundError('pkg_resources')\n")
    name = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x.yaml"
    code = f"""
import pathlib, sys
from detectron2 import model_zoo
assert pathlib.Path(model_zoo.get_config_file({name!r})).is_file()
assert "pkg_resources" not in sys.modules
"""
    alone = run_python(code, tmp_path, preload=("torch",))
    assert "pkg_resources" in alone.stderr, "Detectron2 no longer asks for it: delete the mend"
    done = run_python("import pointrend_ext\n" + code, tmp_path, preload=("torch",))
    assert done.returncode == 0, done.stderr[-2000:]


def test_cityscapes_by_the_name_of_the_newest_detectron2() -> None:
    pytest.importorskip("cityscapesscripts")
    code = f"""
import sys, pointrend_ext
import {_compat._ALIAS}.evaluation.evalInstanceLevelSemanticLabeling as aliased
from {_compat._ALIAS}.helpers.labels import name2label
from cityscapesscripts.evaluation import evalInstanceLevelSemanticLabeling as real
from cityscapesscripts.helpers import labels
assert aliased is real and name2label is labels.name2label
assert labels.__spec__.name == labels.__name__ == "cityscapesscripts.helpers.labels"
"""
    done = run_python(code)
    assert done.returncode == 0, done.stderr[-2000:]
    absent = run_python(f"import pointrend_ext, {_compat._ALIAS}.helpers.no_such")
    assert "No module named 'cityscapesscripts.helpers.no_such'" in absent.stderr


def test_a_real_package_of_that_name_wins(tmp_path: Path) -> None:
    folder = tmp_path.joinpath(*_compat._ALIAS.split("."), "helpers")
    folder.mkdir(parents=True)
    for parent in [folder, *folder.parents][:5]:
        (parent / "__init__.py").write_text("")
    (folder / "labels.py").write_text("name = 'real'\n")
    code = f"import pointrend_ext\nfrom {_compat._ALIAS}.helpers.labels import name\nprint(name)"
    done = run_python(code, tmp_path)
    assert done.stdout.splitlines()[-1] == "real", done.stderr[-2000:]


def test_other_modules_are_left_to_the_other_finders() -> None:
    finder = _compat._Mender()
    for name in ("numpy", "deeplearning.other", "cityscapesscripts.helpers", "lvis"):
        assert finder.find_spec(name) is None
    assert PathFinder.find_spec("numpy") is not None
