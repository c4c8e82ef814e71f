"""The wheel, the configuration files in it, and the ways to import the package from elsewhere."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model

from pointrend_ext.engine import load_cfg
from pointrend_ext.model_zoo import (
    config_files,
    get_config_file,
    get_dataset_file,
    list_config_files,
    list_dataset_files,
)
from pointrend_ext.visualization import write_image
from tests.tiny_models import TINY

TOY = "Toy/pointrend_rcnn_toy.yaml"
ROOT = Path(__file__).resolve().parents[1]
CONFIGS = {
    path.relative_to(ROOT / "configs").as_posix(): path.read_text()
    for path in (ROOT / "configs").rglob("*.yaml")
}
PARTS = ("pointrend_ext", "configs", "tests", "tools")
# The file that `import pointrend_ext` runs, without the seconds that running it takes.
WHERE = "from importlib.util import find_spec; print(find_spec('pointrend_ext').origin)"
FILES = ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "Makefile", "LICENSE")


def run_python(code: str, cwd: Path, *first_on_path: Path) -> subprocess.CompletedProcess[str]:
    """Run ``code`` elsewhere; the checkout is on its path only if this environment put it there."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, first_on_path))}
    command = [sys.executable, "-W", "ignore", "-c", code]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300)


def pip(*arguments: object) -> None:
    command = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check"]
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a build reads, so that building leaves no trace in the checkout."""
    copy = tmp_path_factory.mktemp("sources")
    for name in PARTS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    for name in FILES:
        shutil.copy(ROOT / name, copy / name)
    return copy


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    # What an older build may have left behind must not get into the new wheel.
    stale = sources / "build/lib/pointrend_ext/model_zoo/configs/stale.yaml"
    stale.parent.mkdir(parents=True)
    stale.touch()
    out = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", out, sources)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    pip("install", "--no-deps", "--target", target, wheel)
    return target


def test_wheel_holds_the_package_and_every_config_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    metadata = {name for name in names if name.split("/")[0].endswith(".dist-info")}
    modules = {
        p.relative_to(ROOT).as_posix()
        for pattern in ("*.py", "templates/*", "weights/*", "released.json", "py.typed")
        for p in (ROOT / "pointrend_ext").rglob(pattern)
    }
    configs = {f"pointrend_ext/model_zoo/configs/{name}" for name in CONFIGS}
    assert configs
    assert names - metadata == modules | configs


def test_wheel_metadata(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
    lines = archive.read(name).decode().splitlines()
    assert "Name: pointrend-ext" in lines
    assert "Requires-Python: >=3.10" in lines
    assert "License: Apache-2.0" in lines
    assert [n for n in archive.namelist() if re.search(r"\.dist-info/(licenses/)?LICENSE$", n)]
    assert {f"Provides-Extra: {extra}" for extra in ("eval", "export", "dev")} <= set(lines)
    required = {line.split()[1].rstrip("<>=0123456789.") for line in lines if "Requires-D" in line}
    assert {"torch", "torchvision", "numpy", "pycocotools", "opencv-python"} <= required
    assert not any("detectron2" in requirement for requirement in required)


def test_the_lower_bounds_are_the_oldest_set_that_is_tested() -> None:
    lines = (ROOT / "requirements" / "oldest.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    absent = {name for name, version in pins.items() if version.endswith('python_version < "3"')}
    pins = {name: version for name, version in pins.items() if name not in absent}
    text = (ROOT / "setup.py").read_text(encoding="utf-8")
    bounds = dict(re.findall(r'"([\w-]+)>=([\d.]+)', text))
    assert absent == {"onnx", "onnxscript", "onnxruntime"}, "what the export extra needs"
    assert {"torch", "torchvision", "numpy", "opencv-python", "pillow"} <= pins.keys()
    assert {name: bounds[name] for name in pins} == pins


def test_installed_package_works_without_the_checkout(installed: Path, tmp_path: Path) -> None:
    code = """
import json, pointrend_ext
from pathlib import Path
from detectron2.config import get_cfg
from pointrend_ext.data.descriptions import read_description
from pointrend_ext.model_zoo import *
for name in list_config_files():
    cfg = get_cfg()
    pointrend_ext.add_pointrend_config(cfg)
    cfg.merge_from_file(get_config_file(name))  # _BASE_ resolves
texts = {name: Path(get_config_file(name)).read_text() for name in list_config_files()}
for name in list_dataset_files():
    read_description(get_dataset_file(name))
    texts[name] = Path(get_dataset_file(name)).read_text()
print(json.dumps([pointrend_ext.__file__, texts]))
"""
    done = run_python(code, tmp_path, installed)
    assert done.returncode == 0, done.stderr
    location, texts = json.loads(done.stdout.splitlines()[-1])
    assert Path(location).is_relative_to(installed)
    assert texts == CONFIGS


def test_the_command_of_an_installed_package(
    installed: Path, tmp_path: Path, make_picture: Callable[[], np.ndarray]
) -> None:
    """``doctor``, and ``predict`` on a toy model, outside of the checkout."""
    torch.save({"model": build_model(load_cfg(TOY, TINY)).state_dict()}, tmp_path / "tiny.pth")
    write_image(tmp_path / "a.png", make_picture())

    def pointrend(*words: object) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PYTHONPATH": str(installed)}
        command = [str(installed / "bin/pointrend"), *map(str, words)]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)

    done = pointrend("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"pointrend_ext in {installed / 'pointrend_ext'}\n" in done.stdout
    words = ["--config-file", TOY, "--weights", "tiny.pth", "--input", "a.png", "--output", "seen"]
    done = pointrend("predict", *words, *TINY)
    assert done.returncode == 0, done.stderr
    assert "1 images and 0 frames" in done.stdout
    assert len(list((tmp_path / "seen").glob("a.*"))) == 1


def test_a_clone_in_the_working_directory_does_not_shadow(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "pointrend_ext/configs").mkdir(parents=True)  # a clone has the package's name
    done = run_python(WHERE, tmp_path, installed)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.splitlines()[-1]).is_relative_to(installed)


@pytest.mark.parametrize("parent", ["of the checkout", "with a clone", "/"])
def test_this_environment_imports_the_checkout_from_elsewhere(parent: str, tmp_path: Path) -> None:
    probe = run_python("import importlib.metadata as m; m.version('pointrend-ext')", tmp_path)
    if probe.returncode != 0:
        pytest.skip("pointrend-ext is not installed in this environment")
    (tmp_path / "pointrend_ext").mkdir()
    cwd = {"of the checkout": ROOT.parent, "with a clone": tmp_path, "/": Path("/")}[parent]
    done = run_python(WHERE, cwd)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() != "None"  # a folder without code


def test_checkout_configs_are_found_and_listed() -> None:
    names, descriptions = list_config_files(), list_dataset_files()
    assert sorted(names + descriptions) == sorted(CONFIGS)
    assert descriptions == sorted(name for name in CONFIGS if name.startswith("datasets/"))
    assert "datasets/camvid.yaml" in descriptions
    for get, found in ((get_config_file, names), (get_dataset_file, descriptions)):
        assert [Path(get(name)) for name in found] == [ROOT / "configs" / name for name in found]


def test_a_description_is_no_configuration_and_a_configuration_no_description() -> None:
    with pytest.raises(FileNotFoundError, match=r"no configuration 'datasets/camvid\.yaml'"):
        get_config_file("datasets/camvid.yaml")
    with pytest.raises(FileNotFoundError, match=r"no data set description .*datasets/camvid\.yaml"):
        get_dataset_file(list_config_files()[0])


def test_unknown_config_names_the_nearest_and_the_count() -> None:
    known = list_config_files()
    wanted = known[0]
    typo = wanted.replace("rcnn", "rcn").replace(".yaml", ".yml")
    assert typo not in known
    with pytest.raises(FileNotFoundError, match="Nearest names") as caught:
        get_config_file(typo)
    message = str(caught.value)
    assert repr(typo) in message
    assert wanted in message
    assert f"{len(known)} files" in message


@pytest.mark.parametrize("name", ["", "configs", "../setup.py", "COCO-InstanceSegmentation"])
def test_what_is_no_config_is_refused(name: str) -> None:
    with pytest.raises(FileNotFoundError, match="Nearest names"):
        get_config_file(name)


def test_a_foreign_configs_folder_beside_an_installed_package_is_not_taken(tmp_path, monkeypatch):
    for folder in ("configs", "pointrend_ext/model_zoo/configs"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / f"{Path(folder).parts[0]}.yaml").touch()
    monkeypatch.setattr(config_files, "_CHECKOUT", tmp_path)
    own = tmp_path / "pointrend_ext/model_zoo/configs"
    monkeypatch.setattr(config_files, "_INSTALLED_CONFIGS", own)
    assert list_config_files() == ["pointrend_ext.yaml"]
    (tmp_path / "setup.py").touch()  # now it is a checkout, whose configs win
    assert list_config_files() == ["configs.yaml"]


def test_an_installation_without_configs_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(config_files, "_CHECKOUT", tmp_path)
    monkeypatch.setattr(config_files, "_INSTALLED_CONFIGS", tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"no configuration files in .*none.*pip install"):
        list_config_files()


@pytest.mark.parametrize(
    "hide",
    [
        "import sys; sys.modules['detectron2'] = None",  # not installed
        # An empty namespace, as a clone of Detectron2 in the working directory makes one.
        "import sys, types; sys.modules['detectron2'] = types.ModuleType('detectron2')",
    ],
)
def test_import_without_detectron2_is_one_helpful_sentence(hide: str, tmp_path: Path) -> None:
    done = run_python(f"{hide}\nimport pointrend_ext", tmp_path, ROOT)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: pointrend_ext needs Detectron2")
    for hint in ("README.md", "make env", "requirements/detectron2.txt"):
        assert hint in last


def test_an_error_inside_an_installed_detectron2_is_not_hidden(tmp_path: Path) -> None:
    broken = tmp_path / "detectron2"
    broken.mkdir()
    (broken / "__init__.py").write_text("import a_module_that_is_missing\n")
    done = run_python("import pointrend_ext", tmp_path, tmp_path, ROOT)
    assert done.returncode == 1
    assert "No module named 'a_module_that_is_missing'" in done.stderr.splitlines()[-1]
