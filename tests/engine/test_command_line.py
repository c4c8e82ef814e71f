"""What the command lines of all tools share."""

import argparse
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from pointrend_ext.engine import LoadOptions, Stopped
from pointrend_ext.engine.command_line import (
    add_load_arguments,
    add_model_arguments,
    load_options,
    named_path,
    named_value,
    run_tool,
)


def test_named_values_are_split_at_the_first_sign():
    assert named_value("a model=b=c") == ("a model", "b=c")
    assert named_path("+FAM=output/run") == ("+FAM", Path("output/run"))
    with pytest.raises(argparse.ArgumentTypeError, match="'output/run' is not of the form"):
        named_path("output/run")


@pytest.mark.parametrize("flag", ["--allow-code", "--allow-missing", "--map-classes"])
def test_load_flags(flag):
    parser = argparse.ArgumentParser()
    add_load_arguments(parser)
    name = flag[2:].replace("-", "_")
    assert load_options(parser.parse_args([])) == LoadOptions()
    assert load_options(parser.parse_args([flag])) == LoadOptions(**{name: True})
    assert load_options(SimpleNamespace()) == LoadOptions()  # Detectron2's own parser


def test_model_arguments_with_pairs_at_the_end():
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    add_model_arguments(parser)
    words = ["--config-file", "c.yaml", "--weights", "w.pth", "a.pkl"]
    args = parser.parse_args([*words, "MODEL.DEVICE", "cpu", "--map-classes"])
    assert (args.source, args.config_file, args.weights) == ("a.pkl", "c.yaml", "w.pth")
    assert args.opts == ["MODEL.DEVICE", "cpu"]
    assert load_options(args) == LoadOptions(map_classes=True)

    parser = argparse.ArgumentParser()
    add_model_arguments(parser, weights=False)
    assert vars(parser.parse_args(["--config-file", "c"])) == {"config_file": "c", "opts": []}


def _raising(error):
    def work(args):
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ValueError("Set A\n  to 1."), 2, "tool.py: Error: Set A to 1.\n"),
        (ImportError("pip install av"), 2, "tool.py: Error: pip install av\n"),
        (FileNotFoundError(2, "No such file", "a.png"), 2, None),
        (KeyError("Dataset 'x' is not registered!"), 2, None),
        (KeyboardInterrupt(), 130, "tool.py: interrupted\n"),
    ],
)
def test_a_users_mistake_is_one_line(error, code, line, capsys):
    assert run_tool(argparse.ArgumentParser("tool.py"), _raising(error), []) == code
    printed = capsys.readouterr()
    assert printed.out == ""
    expected = f"tool.py: Error: {error.args[0] if len(error.args) == 1 else error}\n"
    assert printed.err == (line or expected)


@pytest.mark.parametrize("error", [TypeError("no"), KeyError("bbox"), KeyError(3)])
def test_a_mistake_of_the_program_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        run_tool(argparse.ArgumentParser(), _raising(error), [])


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (1, 1)])
def test_exit_code_of_the_tool(returned, code):
    assert run_tool(argparse.ArgumentParser(), lambda args: returned, []) == code


def test_names_in_a_message_do_not_command_the_terminal(capsys):
    error = ValueError("no 'a\x1b[2J\nb\x9bc\x07.jpg'")
    assert run_tool(argparse.ArgumentParser("tool.py"), _raising(error), []) == 2
    assert capsys.readouterr().err == "tool.py: Error: no 'a\\x1b[2J b\\x9bc\\x07.jpg'\n"


def test_nobody_reads_the_error(monkeypatch):
    """The exit code stays that of what has happened."""

    class Closed:
        def write(self, text):
            raise BrokenPipeError

    def work(args):
        raise Stopped("ended by SIGHUP", signal.SIGHUP)

    monkeypatch.setattr(sys, "stderr", Closed())
    assert run_tool(argparse.ArgumentParser(), work, []) == 129
