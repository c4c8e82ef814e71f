"""Tables of runs with what their models cost."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from pointrend_ext.engine.run_report import read_costs, summarize_runs, write_run_report
from pointrend_ext.engine.run_table import metrics_table

TOOLS = Path(__file__).resolve().parents[2] / "tools"
NAMES = ["FPN", "FAM", "PointRend"]


def results(shift, metrics=("IoU", "TrimapIoU1", "BoundaryIoU")):
    found = {}
    for i, metric in enumerate(metrics):
        found[f"sem_seg/m{metric}"] = 50.0 + 10 * i + shift
        for j, name in enumerate(("sky", "road")):
            found[f"sem_seg/{metric}-{name}"] = 40.0 + 10 * i + j + shift
    return found


def write_run(folder, values, loss=3.0):
    folder.mkdir()
    records = [{"iteration": 19, "total_loss": loss}, values]
    (folder / "metrics.json").write_text("".join(json.dumps(r) + "\n" for r in records))
    return folder


@pytest.fixture
def costs_file(tmp_path):
    models = {
        name: {"parameters": 1_234_567 + i, "seconds": {"median": 0.12345 + i, "low": 0, "high": 9}}
        for i, name in enumerate([*NAMES, "another"])
    }
    report = {
        "machine": {"processor": "a CPU", "torch": "2"},
        "image_hw": [360, 480],
        "threads": 1,
        "rounds": 3,
        "models": models,
    }
    path = tmp_path / "costs.json"
    path.write_text(json.dumps(report))
    return path


def test_one_table_of_means_and_costs_then_the_classes(tmp_path, costs_file):
    runs = {name: [write_run(tmp_path / name, results(i))] for i, name in enumerate(NAMES)}
    write_run_report(runs, tmp_path / "report", costs_file=costs_file)
    text = (tmp_path / "report" / "results.md").read_text()
    assert text == (
        "| run | mIoU | mTrimapIoU1 | mBoundaryIoU | parameters (M) | s per image |\n"
        "| --- | --- | --- | --- | --- | --- |\n"
        "| FPN | 50.00 | 60.00 | 70.00 | 1.23 | 0.123 |\n"
        "| FAM | 51.00 | 61.00 | 71.00 | 1.23 | 1.123 |\n"
        "| PointRend | 52.00 | 62.00 | 72.00 | 1.23 | 2.123 |\n"
        "\n"
        "| FPN / FAM / PointRend | IoU | BoundaryIoU |\n"
        "| --- | --- | --- |\n"
        "| mean | 50.0 / 51.0 / 52.0 | 70.0 / 71.0 / 72.0 |\n"
        "| sky | 40.0 / 41.0 / 42.0 | 60.0 / 61.0 / 62.0 |\n"
        "| road | 41.0 / 42.0 / 43.0 | 61.0 / 62.0 / 63.0 |\n"
    )
    summaries = json.loads((tmp_path / "report" / "runs.json").read_text())
    assert metrics_table(summaries) == text  # the table follows from the data that is kept
    assert summaries["FAM"]["cost"] == {
        "parameters": 1_234_568,
        "seconds_per_image": 1.1235,
        "image_hw": [360, 480],
        "threads": 1,
        "processor": "a CPU",
    }


def test_runs_of_one_name_are_averaged(tmp_path):
    """Three seeds of one model, one of the other: means with their range, no classes."""
    folders = [write_run(tmp_path / str(s), results(s * s), loss=1.0 + s) for s in range(3)]
    other = write_run(tmp_path / "other", results(7))
    write_run_report({"FPN": folders, "FAM": [other]}, tmp_path / "report")
    assert (tmp_path / "report" / "results.md").read_text() == (
        "| run | mIoU | mTrimapIoU1 | mBoundaryIoU |\n"
        "| --- | --- | --- | --- |\n"
        "| FPN | 51.67 (50.0 to 54.0) | 61.67 (60.0 to 64.0) | 71.67 (70.0 to 74.0) |\n"
        "| FAM | 57.00 | 67.00 | 77.00 |\n"
    )
    summary = summarize_runs(folders)
    assert summary["losses"] == {"total_loss": [[19, 2.0]]}
    assert summary["ranges"]["sem_seg/IoU-sky"] == [40.0, 44.0]
    assert "ranges" not in summarize_runs(folders[:1])


def test_without_costs_two_runs_show_every_metric():
    table = metrics_table({name: {"results": results(0)} for name in NAMES[:2]})
    assert table.splitlines()[0] == "| FPN / FAM | IoU | TrimapIoU1 | BoundaryIoU |"


def test_instance_runs_have_the_costs_in_their_only_table(costs_file):
    costs = read_costs(costs_file, NAMES[:2])
    table = metrics_table(
        {n: {"results": {"segm/AP": 30.0 + i}, "cost": costs[n]} for i, n in enumerate(NAMES[:2])}
    )
    assert table.splitlines()[0] == "| run | segm/AP | parameters (M) | s per image |"
    assert table.splitlines()[2:] == [
        "| FPN | 30.00 | 1.23 | 0.123 |",
        "| FAM | 31.00 | 1.23 | 1.123 |",
    ]


def test_a_run_that_was_not_measured(costs_file):
    with pytest.raises(ValueError, match=r"measured \['FPN', .*, not 'CAB': give"):
        read_costs(costs_file, ["FPN", "CAB"])


# ---- the measuring tool


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))
    return importlib.import_module("measure_models")


class Counting(nn.Linear):
    """Records what it is called with, in a list that all share."""

    def __init__(self, name, calls):
        super().__init__(2, 3)
        self.name, self.calls = name, calls

    def forward(self, inputs):
        [record] = inputs
        modes = self.training, torch.is_inference_mode_enabled()
        shape = tuple(record["image"].shape)
        self.calls.append((self.name, shape, record["height"], record["width"], *modes))


def test_models_take_turns_on_one_image(tool):
    calls = []
    models = {name: Counting(name, calls) for name in "ab"}
    measured = tool.measure_models(models, (4, 6), rounds=3, device="cpu")
    call = ((3, 4, 6), 4, 6, False, True)
    assert calls == [(name, *call) for name in "abababab"]  # the first round does not count
    for row in measured.values():
        assert row["parameters"] == 9
        assert 0 < row["seconds"]["low"] <= row["seconds"]["median"] <= row["seconds"]["high"] < 1
    line = tool.table(
        {"a": {"parameters": 1_500_000, "seconds": {"median": 0.25, "low": 0.2, "high": 1}}}
    )
    cells = [cell.strip() for cell in line.splitlines()[-1].split("|")[1:5]]
    assert cells == ["a", "1.50", "0.250", "0.200 to 1.000"]


def test_the_tool_measures_configurations(tool, tmp_path, capsys):
    """A run's config.yaml is one; what it writes is what the table of runs reads."""
    tiny = tmp_path / "tiny.yaml"
    base = TOOLS.parent / "configs/CamVid-SemanticSegmentation/semantic_R_50_FPN_camvid.yaml"
    tiny.write_text(
        f'_BASE_: "{base}"\nMODEL:\n  FPN: {{OUT_CHANNELS: 8}}\n'
        "  RESNETS: {STEM_OUT_CHANNELS: 4, RES2_OUT_CHANNELS: 8, WIDTH_PER_GROUP: 4}\n"
        "  SEM_SEG_HEAD: {CONVS_DIM: 8, NORM: ''}\n"
    )
    aligned = tmp_path / "aligned.yaml"
    aligned.write_text(
        f'_BASE_: "{tiny}"\nMODEL:\n  BACKBONE: {{NAME: build_resnet_aligned_fpn_backbone}}\n'
        "  FPN: {ALIGNMENT: {NAME: FAM}}\n"
    )
    output = tmp_path / "costs.json"
    threads = torch.get_num_threads()
    words = ["--model", f"plain={tiny}", "--model", f"with FAM={aligned}", "--rounds", "1"]
    try:
        tool.main([*words, "--image-size", "64", "96", "--output", str(output)])
    finally:
        torch.set_num_threads(threads)
    costs = read_costs(output, ["plain", "with FAM"])
    # three modules, two reductions from 8 to 4 channels and a 3 x 3 convolution to a flow each
    fam = 3 * (2 * 8 * 4 + 9 * 8 * 2)
    assert costs["with FAM"]["parameters"] - costs["plain"]["parameters"] == fam
    assert all(cost["seconds_per_image"] > 0 for cost in costs.values())
    assert "| with FAM |" in capsys.readouterr().out
    assert str(tmp_path) not in output.read_text()  # it goes into the documents
