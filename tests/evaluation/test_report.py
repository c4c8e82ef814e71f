"""The report: it holds the evaluator's numbers, needs nothing else, and a browser shows it."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib")

from pointrend_ext.evaluation.offline import (
    EvaluationOptions,
    data_set_of_annotations,
    evaluate_files,
    find_data_set,
)
from pointrend_ext.evaluation.report import write_report
from pointrend_ext.evaluation.report.object_gallery import object_pictures

FEW = EvaluationOptions(num_draws=20)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
CURVES = {"a": {"total_loss": [[0, 2.0], [10, 1.0]]}, "b & <c>": {"loss_mask": [[0, 0.7]]}}


class Tables(HTMLParser):
    """Reads the tables of a page: id -> rows of cell texts; and every attribute with a URI."""

    def __init__(self):
        super().__init__()
        self.tables, self.uris, self.row = {}, [], None

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.uris += [attrs[k] for k in ("src", "href") if k in attrs]
        if tag == "table":
            self.rows = self.tables.setdefault(attrs["id"], [])
        elif tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
            self.row = self.rows[-1]

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.row = None

    def handle_data(self, text):
        if self.row is not None:
            self.row[-1] += text


def read(text):
    tables = Tables()
    tables.feed(text)
    return tables


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory, instances, toy_json, toy_truth, toy_predictions):
    folder = tmp_path_factory.mktemp("results")
    better = instances.spoiled(toy_truth, np.random.default_rng(8), share_missing=0.02)
    files = {}
    for name, predictions in (("a", toy_predictions), ("b & <c>", better)):
        files[name] = str(folder / f"{name[0]}.json")
        Path(files[name]).write_text(json.dumps(predictions))
    data = data_set_of_annotations(toy_json, str(toy_json.parents[1] / "val"))
    return evaluate_files(data, files, FEW)


@pytest.fixture(scope="module")
def report(evaluation, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "sub" / "report.html"
    write_report(evaluation, path, curves=CURVES, num_pictures=3)
    return path


def check_numbers(tables, evaluation):
    for task, first in evaluation["models"][0]["scores"].items():
        head, *rows = tables.tables[f"scores-{task}"]
        assert head[1:3] == [model["name"] for model in evaluation["models"]]
        assert {"AP", "AP75", "APl"} <= {row[0] for row in rows} or task == "sem_seg"
        for metric, *cells in rows:
            assert metric in first
            entries = [model["scores"][task][metric] for model in evaluation["models"]]
            entries += [d["scores"][task][metric] for d in evaluation["differences"]]
            for cell, entry in zip(cells, entries, strict=True):
                found = [float(n) for n in re.findall(r"[-+]?\d+\.\d+", cell)]
                expected = [entry[k] for k in ("value", "low", "high") if entry[k] is not None]
                assert found == pytest.approx(expected, abs=0.0051)


def test_every_number_is_the_evaluators(report, evaluation):
    tables = read(report.read_text(encoding="utf-8"))
    assert set(tables.tables) == {"scores-bbox", "scores-segm", "scores-boundary"}
    check_numbers(tables, evaluation)


def test_it_needs_nothing_else(report):
    text = report.read_text(encoding="utf-8")
    uris = read(text).uris
    assert uris
    assert all(uri.startswith("data:") for uri in uris)
    assert "<script" not in text
    style = re.search("<style>(.*?)</style>", text, re.DOTALL).group(1)
    assert "url(" not in style
    assert "@import" not in style
    assert html.escape("b & <c>") in text
    assert "<c>" not in text
    for title in ("Scores", "AP over the IoU", "AP by object size", "Classes", "Reliability",
                  "Where they differ", "Training"):  # fmt: skip
        assert f"<h2>{title}" in text


def test_pictures_show_the_objects(evaluation):
    found = list(object_pictures(evaluation, 3))
    assert len(found) in (3, 4)
    example, picture = found[0]
    assert example == evaluation["examples"][0]
    assert picture.shape[1] == 3 * 300 + 2 * 6
    thirds = [picture[:, i * 306 : i * 306 + 300].astype(int) for i in range(3)]
    assert abs(thirds[1] - thirds[2]).mean() > 1  # the models differ there
    without = {**evaluation, "examples": [{**example, "image_file": None}]}
    ((_, grey),) = object_pictures(without, 1)
    assert grey.shape == picture.shape


def test_one_model_without_intervals(evaluation, tmp_path):
    file = evaluation["models"][0]["predictions"]
    data = data_set_of_annotations(evaluation["data_set"]["source"])
    alone = evaluate_files(data, {"a": file}, EvaluationOptions(("segm",), num_draws=0))
    write_report(alone, tmp_path / "r.html", num_pictures=1)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert f"{alone['models'][0]['scores']['segm']['AP']['value']:.2f}" in text
    assert "<h2>Training" not in text
    worst = alone["examples"][0]["models"]["a"]["boundary_iou"]
    assert worst == min(e["models"]["a"]["boundary_iou"] for e in alone["examples"]
                        if e["found_by_all"])  # fmt: skip


def test_label_maps(toy_root, tmp_path):
    from PIL import Image

    from pointrend_ext.data.toy import register_toy_datasets

    register_toy_datasets(toy_root)
    data = find_data_set("toy_sem_seg_val")
    for name, shift in (("left", -3), ("right", 9)):
        (tmp_path / name).mkdir()
        for file in data.truth_files:
            labels = np.roll(np.array(Image.open(file)), shift, axis=1)
            Image.fromarray(labels).save(tmp_path / name / Path(file).name)
    files = {name: str(tmp_path / name) for name in ("left", "right")}
    evaluation = evaluate_files(data, files, FEW)
    write_report(evaluation, tmp_path / "r.html", data=data, num_pictures=2)
    text = (tmp_path / "r.html").read_text(encoding="utf-8")
    check_numbers(read(text), evaluation)
    assert text.count("data:image/jpeg") == 2
    assert text.count("data:image/svg") == 2
    assert all(uri.startswith("data:") for uri in read(text).uris)


def test_in_a_browser(report, tmp_path):
    names = [os.environ.get("CHROMIUM", ""), *BROWSERS]
    browser = next((found for name in names if name and (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no Chromium; install one, or name it in CHROMIUM")
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
        f"--user-data-dir={tmp_path}", "--dump-dom", report.resolve().as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "CONSOLE" not in done.stderr
    shown = read(done.stdout)
    assert shown.tables == read(report.read_text(encoding="utf-8")).tables
    assert len(shown.tables["scores-segm"]) > 6
