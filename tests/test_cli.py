"""The command ``pointrend``: what it lists, how it starts, and how it ends."""

import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import pointrend_ext
from pointrend_ext import cli
from pointrend_ext._command import is_command

ROOT = Path(__file__).resolve().parents[1]
CONFIG = "Toy/pointrend_rcnn_toy.yaml"


def start(*words: str, python=(sys.executable, "-W", "ignore")) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, away from the checkout."""
    command = [*python, "-m", "pointrend_ext", *words]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd="/", env=env, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("words", [[], ["--help"]])
def test_help_lists_every_command(words, capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(words)
    text = capsys.readouterr().out
    for name, (_, does) in cli.COMMANDS.items():
        assert f"  {name:<15}{does}\n" in text


def test_a_group_lists_its_own(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["data"])
    text = capsys.readouterr().out
    assert "usage: pointrend data COMMAND" in text
    assert "data check" in text
    assert "train a model" not in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "pointrend: error: .*'trian'.*train"),
        (["data", "lok"], "pointrend data: error: .*'lok'.*look"),
        (["zoo", "--gone"], "pointrend zoo: error: unrecognized arguments: --gone"),
    ],
)
def test_wrong_usage(words, said, capsys):
    with pytest.raises(SystemExit, match="2"):
        cli.main(words)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.search(said, printed.err)


def test_what_is_printed_may_have_no_reader():
    """One line and a code of its own, buffered or not; then Python has nothing left to write."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    for buffered in ("", "1"):
        command = [sys.executable, "-W", "ignore", "-m", "pointrend_ext", "zoo", "--json"]
        reader, writer = os.pipe()
        os.close(reader)
        env["PYTHONUNBUFFERED"] = buffered
        done = subprocess.run(
            command, cwd="/", env=env, stdout=writer, stderr=subprocess.PIPE, text=True
        )
        os.close(writer)
        assert done.returncode == 141
        assert done.stderr == "pointrend zoo: Error: [Errno 32] Broken pipe\n"


def test_a_mistake_is_2_where_nothing_can_be_said(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)  # closed
    assert cli.main(["zoo", "nothing like this"]) == 2


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"{pointrend_ext.__version__}\n"


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_examples_of_a_command_are_read_by_it(name):
    module = import_module(f"pointrend_ext.commands.{cli.COMMANDS[name][0]}")
    parser = module.build_parser(f"pointrend {name}")
    text = parser.format_help()
    assert text.startswith(f"usage: pointrend {name}")
    examples = text.split("for example:\n")[1].strip().splitlines()
    assert examples
    for example in examples:
        words = shlex.split(example)
        count = 1 + len(name.split())
        assert words[:count] == ["pointrend", *name.split()]
        parser.parse_args(words[count:])


def test_a_mistake_is_one_line_and_2(capsys):
    assert cli.main(["convert", "--config-file", CONFIG, "gone.pkl", "new.pth"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("pointrend convert: Error: ")
    assert "gone.pkl" in error
    assert error.count("\n") == 1


def test_ctrl_c_is_130(monkeypatch, capsys):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr(import_module("pointrend_ext.commands.zoo"), "run", interrupted)
    assert cli.main(["zoo"]) == 130
    assert capsys.readouterr().err == "pointrend zoo: interrupted\n"


@pytest.mark.parametrize(
    ("argv", "orig_argv", "expected"),
    [
        (["/v/bin/pointrend", "zoo"], ["python", "/v/bin/pointrend", "zoo"], True),
        (["pointrend.exe"], ["python", "-E", "pointrend.exe"], True),
        (["-m", "doctor"], ["python", "-m", "pointrend_ext", "doctor"], True),
        (["-m"], ["python", "-W", "ignore", "-mpointrend_ext"], True),
        (["-m", "x.py"], ["python", "-m", "pointrend_ext.run", "x.py"], False),
        (["a.py", "-m", "pointrend_ext"], ["python", "a.py", "-m", "pointrend_ext"], False),
        (["pointrend.d/a.py"], ["python", "pointrend.d/a.py"], False),
        # A process that `pointrend train x` spawned.
        (["/v/bin/pointrend", "train"], ["python", "-c", "spawn_main()", "--fork"], False),
        ([""], ["python"], False),
        (["-c"], ["python", "-c", "import pointrend_ext"], False),
        (["embedded"], [], False),
    ],
)
def test_which_processes_are_the_command(argv, orig_argv, expected, monkeypatch):
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(sys, "orig_argv", orig_argv)
    assert is_command() is expected


def test_help_imports_nothing_heavy():
    done = start("--help", python=(sys.executable, "-X", "importtime"))
    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "pointrend_ext.cli" in imported
    assert not imported & {"numpy", "torch", "detectron2", "pointrend_ext.modeling"}


def test_a_command_registers_the_heads():
    """It builds a model, whose heads a plain import would have registered."""
    python = (sys.executable,)  # with its warnings
    done = start("convert", "--config-file", CONFIG, "gone.pkl", "new.pth", python=python)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("pointrend convert: Error: ")
    assert "gone.pkl" in done.stderr
    assert done.stderr.count("\n") == 1


def test_without_any_package():
    """Python alone: no torch, no Detectron2, no NumPy."""
    bare = (sys._base_executable, "-S")
    done = start("doctor", python=bare)
    assert done.returncode == 1
    assert done.stderr == ""
    assert "Detectron2 absent" in done.stdout
    assert "-m pip install" in done.stdout
    assert done.stdout.endswith("Training is not possible.\n")
    assert start("zoo", python=bare).returncode == 0
    done = start("train", "--config-file", CONFIG, python=bare)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("pointrend train: Error: pointrend_ext needs Detectron2 0.6")
    assert done.stderr.count("\n") == 1
