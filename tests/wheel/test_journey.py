"""What docs/command_line.md shows of every kind of export is what a wheel does."""

import json
import re
import shlex

import pytest

from pointrend_ext import cli
from tests.wheel.journey import BEGIN, END, EXPORTS, PAGE, commands, journey, prepare, small

WRITTEN = PAGE.read_text(encoding="utf-8").split(BEGIN)[1].split(END)[0]
SHOWN = re.findall(r"^### (\w+)$", WRITTEN, re.MULTILINE)


def plain(text):
    """Without numbers, which differ between machines, and the width of columns."""
    return re.sub(r"[\s-]+", " ", re.sub(r"\d[\d.e+-]*", "#", text))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder outside of the checkout, and the commands of an environment with the wheel."""
    folder = tmp_path_factory.mktemp("journey")
    return folder, prepare(folder)


def test_what_is_shown_is_known():
    assert [name for name in EXPORTS if name in SHOWN] == SHOWN
    assert len(SHOWN) > 3


@pytest.mark.parametrize("name", ["labelme", "grey_maps"])
def test_an_export_in_this_process(name, tmp_path, monkeypatch, own_catalogs, capsys):
    """The same lines without a wheel, and without the export; as JSON where there is such."""
    monkeypatch.chdir(tmp_path)
    export = EXPORTS[name]
    export.write(tmp_path / "exports" / name)
    printed = {}
    for line in commands(name, export._replace(is_exported=False)):
        words = shlex.split(line.replace("$SMALL", small(export.has_instances)))[1:]
        as_json = ["--json"] if words[0] != "report" else []
        assert cli.main([words[0], *as_json, *words[1:]]) == 0, line
        printed[words[0]] = capsys.readouterr().out
    metric = "segm" if export.has_instances else "sem_seg"
    assert metric in json.loads(printed["train"])
    number = json.loads(printed["predict"])["images"]
    out = tmp_path / "output" / name
    assert len([f for f in (out / "seen").rglob("*.*g") if f.is_file()]) == number > 3
    (model,) = json.loads((out / "scores/evaluation.json").read_text())["models"]
    assert metric in model["scores"]
    assert (out / "report.html").stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPORTS)
def test_from_an_export_to_a_report(name, place):
    text = plain(journey(name, *place))
    assert text in plain(WRITTEN) or name not in SHOWN
