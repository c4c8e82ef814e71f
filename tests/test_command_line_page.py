"""docs/command_line.md shows what the command prints, and every command of it can be typed."""

import contextlib
import doctest
import io
import json
import os
import re
import shlex
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from pointrend_ext import cli
from pointrend_ext.data.toy import generate_toy_data

WHOLE = (Path(__file__).parents[1] / "docs/command_line.md").read_text(encoding="utf-8")
# tests/wheel writes the rest, and tests it.
PAGE = re.sub(r"<!-- written by .*?<!-- end -->", "", WHOLE, flags=re.DOTALL)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


TRANSCRIPTS = {
    command: shown
    for block in blocks("console")
    for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder in which the page is read."""
    root = tmp_path_factory.mktemp("page")
    generate_toy_data(root / "datasets", num_train=8, num_val=4)
    (root / "my.yaml").write_text(blocks("yaml")[0])
    return root


def test_the_transcripts_are_found():
    assert len(TRANSCRIPTS) >= 6
    assert all(command.startswith("pointrend ") for command in TRANSCRIPTS)


@pytest.mark.parametrize("command", TRANSCRIPTS)
def test_a_transcript_is_what_is_printed(command, folder, monkeypatch, own_catalogs):
    monkeypatch.chdir(folder)
    for name, value in {"DETECTRON2_DATASETS": "datasets", "FVCORE_CACHE": "downloads"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "100")
    printed = io.StringIO()
    streams = contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed)
    with streams[0], streams[1], contextlib.suppress(SystemExit):
        cli.main(shlex.split(command)[1:])
    shown, got = TRANSCRIPTS[command], printed.getvalue()
    assert doctest.OutputChecker().check_output(shown, got, doctest.ELLIPSIS), got


@pytest.mark.parametrize("line", [x for x in "".join(blocks("bash")).splitlines() if x])
def test_a_command_is_one_that_is_understood(line):
    words = shlex.split(line)
    assert words[0] == "pointrend"
    name = " ".join(words[1 : 3 if words[1] == "data" else 2])
    module = import_module(f"pointrend_ext.commands.{cli.COMMANDS[name][0]}")
    module.build_parser().parse_args(words[1 + len(name.split()) :])


def test_every_command_is_on_the_page():
    assert [name for name in cli.COMMANDS if f"pointrend {name}" not in PAGE] == []


@pytest.mark.slow
def test_from_data_to_a_report(folder):
    """What stands under this title, typed one after the other."""
    root = Path(__file__).parents[1]
    env = {**os.environ, "PYTHONPATH": str(root), "DETECTRON2_DATASETS": "datasets"}
    printed = {}
    for line in "".join(blocks("bash")).splitlines():
        words = shlex.split(line)[1:]
        command = [sys.executable, "-W", "ignore", "-m", "pointrend_ext", *words]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
        if words[0] == "export" and find_spec("onnxruntime") is None:
            assert "pip install 'pointrend-ext[export]'" in done.stderr
            continue
        # Two things are noted about the data.
        assert done.returncode == int(words[0] == "data"), done.stderr
        printed[words[0]] = done.stdout
    assert set(json.loads(printed["eval"])) == {"bbox", "segm"}
    assert "short" in printed["score"]
    assert (folder / "output/scores/report.html").stat().st_size > 1000
    assert len(list((folder / "output/seen").rglob("*.jpg"))) == 4
    assert (folder / "output/short/model.safetensors").is_file()
