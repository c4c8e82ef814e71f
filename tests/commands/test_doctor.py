"""What ``doctor`` finds missing, and the lines that it prints."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from pointrend_ext import cli
from pointrend_ext.commands import machine
from pointrend_ext.commands.machine import Package, examine

ROOT = Path(__file__).resolve().parents[2]
NEEDS = [
    "torch>=2.4.1",
    "opencv-python (>=4.9.0.80)",  # as older tools write it
    "tqdm",
    "lvis>=0.5.3; extra == 'eval'",
    'ruff>=0.6 ; extra == "dev"',
    "gradio<7,>=6.31; extra == 'serve'",
]
VERSIONS = {
    "torch": "2.15.0+cpu",
    "opencv-python-headless": "5.0.0.93",
    "tqdm": "4.1",
    "gradio": "6.40",
}
WORKS = {"device": "cpu", "gpus": [], "cuda_of_torch": None, "threads": 2}


@pytest.fixture
def world(monkeypatch):
    """A machine where all is well, but for an extra; a test changes it."""
    world = SimpleNamespace(versions=dict(VERSIONS), probe=(0, f"{json.dumps(WORKS)}\n", ""))

    def version(name):
        if name not in world.versions:
            raise metadata.PackageNotFoundError(name)
        return world.versions[name]

    def run(command, **options):
        return subprocess.CompletedProcess(command, *world.probe)

    monkeypatch.setattr(metadata, "requires", lambda name: NEEDS)
    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(machine.subprocess, "run", run)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=50 * 10**9))
    return world


def test_a_good_machine(world, capsys):
    assert cli.main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "needed: torch 2.15.0+cpu, opencv-python 5.0.0.93, tqdm 4.1\n" in text
    assert "extra eval: lvis absent (needs 'lvis>=0.5.3')\n" in text
    assert f"to install eval:\n  {sys.executable} -m pip install 'lvis>=0.5.3'\n" in text
    assert "device: CPU, 2 threads of the CPU\n" in text
    assert "to install dev" not in text  # of no use to users
    assert text.endswith("Training is possible.\n")


def test_json_says_the_same(world, capsys):
    assert cli.main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["can_train"] is True
    assert found["device"] == WORKS
    absent = [package["name"] for package in found["packages"] if package["version"] is None]
    assert absent == ["lvis", "ruff"]
    assert found["free_bytes"]["working directory"] == 50 * 10**9


@pytest.mark.parametrize(
    ("change", "said", "line"),
    [
        ({"tqdm": None}, "tqdm (absent)", "tqdm\n"),
        ({"torch": "2.4.0"}, "torch (2.4.0)", "'torch>=2.4.1'"),
        ({"torch": "2.10.0"}, None, None),  # numbers, not text
        ({"opencv-python-headless": None}, "opencv-python (absent)", "'opencv-python>=4.9.0.80'"),
    ],
)
def test_needed_packages(world, change, said, line, capsys):
    for name, version in change.items():
        del world.versions[name]
        world.versions |= {name: version} if version else {}
    assert cli.main(["doctor"]) == int(said is not None)
    text = capsys.readouterr().out
    if said:
        assert f"problem: Packages are missing or too old: {said}." in text
        assert f"to install needed packages:\n  {sys.executable} -m pip install {line}" in text


def test_an_extra_that_is_too_new(world, capsys):
    """Its next major version has another interface, and is what pip takes without the bound."""
    world.versions["gradio"] = "7.0.1"
    assert cli.main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "extra serve: gradio 7.0.1 (needs 'gradio>=6.31,<7')\n" in text
    assert f"to install serve:\n  {sys.executable} -m pip install 'gradio>=6.31,<7'\n" in text


def test_no_detectron2(world, monkeypatch):
    monkeypatch.setitem(sys.modules, "detectron2", None)
    found = examine()
    assert found.problems == ["There is no Detectron2, on which this package is built."]
    wheel, others = found.install["Detectron2"]
    pinned = (ROOT / "requirements/detectron2.txt").read_text()
    assert re.search(r"^(sal-detectron2==\S+)", pinned, re.MULTILINE)[1] == shlex.split(wheel)[-1]
    assert "omegaconf>=2.1,<2.4" in shlex.split(others)


def test_a_clone_of_detectron2_is_no_package(world, monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, "detectron2")
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    (tmp_path / "detectron2").mkdir()
    assert examine().detectron2 is None


@pytest.mark.parametrize(
    ("probe", "problem", "device"),
    [
        ((1, f"{json.dumps(WORKS)}\n", "x\nImportError: no ops\n"), "ImportError: no ops", WORKS),
        ((-11, "", ""), "exit code -11", None),  # torch ended its process
    ],
)
def test_what_cannot_be_imported(world, probe, problem, device):
    world.probe = probe
    found = examine()
    assert found.problems == [f"The package cannot be imported: {problem}"]
    assert found.device == device


def test_room(world, monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=64 * 10**6))
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "file" / "below"))
    (tmp_path / "file").touch()
    found = examine()
    assert [text for text in found.problems if "less than 1 GB free" in text]
    assert [text for text in found.notes if "--shm-size 8g" in text]
    assert f"{tmp_path / 'file' / 'below'} cannot be written." in found.notes


def test_a_package_that_is_not_installed(world, monkeypatch):
    def requires(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", requires)
    found = examine()
    assert found.problems == []
    assert f"-m pip install -e {ROOT}" in found.notes[0]


def test_this_environment_can_train():
    """The very process that ``doctor`` starts, here."""
    found = examine()
    assert found.problems == []
    assert found.device["device"] in ("cpu", "cuda", "mps")
    assert all(p.is_good for p in found.packages if not p.extra)
    assert isinstance(found.packages[0], Package)
