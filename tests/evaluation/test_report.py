"""The report: it holds the evaluator's numbers, needs nothing else, and a browser shows it."""

import dataclasses
import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")

from pointrend_ext.evaluation.offline import EvaluationOptions, evaluate_files, written_tables
from pointrend_ext.evaluation.offline.record import FoundObject, ModelRecord, ObjectExample, Score
from pointrend_ext.evaluation.report import RefinedPoints, ShownObject, plots, write_report
from pointrend_ext.evaluation.report import object_gallery as gallery
from pointrend_ext.evaluation.report.point_cells import point_row, points_sentence
from pointrend_ext.visualization import pick_zoom_window

SEEN = ObjectExample(3, 1, None, "x", False, {"a": None, "b": None})
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
OTHER = "new & <script>"
CURVES = {"old": {"total_loss": [[0, 2.0], [10, 1.0]]}, OTHER: {"loss_mask": [[0, 0.7]]}}


def read(text):
    """Return the tables of a page, id -> rows of cell texts, and every attribute with a URI."""
    root = ElementTree.fromstring(re.sub("<(meta|link|img)([^>]*?)/?>", r"<\1\2/>", text))
    tables = {
        table.get("id"): [["".join(cell.itertext()) for cell in row] for row in table.iter("tr")]
        for table in root.iter("table")
    }
    uris = (element.get(key) for element in root.iter() for key in ("src", "href"))
    return tables, [uri for uri in uris if uri is not None]


def page(evaluation, folder, **options):
    write_report(evaluation, folder / "r.html", **options)
    return (folder / "r.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def report(evaluation, tmp_path_factory):
    """The path of a page, and what it holds."""
    path = tmp_path_factory.mktemp("report") / "sub" / "report.html"
    write_report(evaluation, path, curves=CURVES, num_pictures=3)
    return path, path.read_text(encoding="utf-8")


def check_numbers(tables, evaluation):
    for task, first in evaluation.models[0].scores.items():
        head, *rows = tables.pop(f"scores-{task}")
        assert head[1:3] == [model.name for model in evaluation.models]
        assert {"AP", "AP75", "APl"} <= {row[0] for row in rows} or task == "sem_seg"
        for metric, *cells in rows:
            assert metric in first
            all_scores = [entry.scores for entry in (*evaluation.models, *evaluation.differences)]
            for cell, scores in zip(cells, all_scores, strict=True):
                found = [float(n) for n in re.findall(r"[-+]?\d+\.\d+", cell)]
                expected = [n for n in dataclasses.astuple(scores[task][metric]) if n is not None]
                assert found == pytest.approx(expected, abs=0.0051)
    assert not tables


def test_every_number_is_that_of_the_evaluation(report, evaluation):
    assert list(evaluation.models[0].scores) == ["bbox", "segm", "boundary"]
    check_numbers(read(report[1])[0], evaluation)


def test_scores_of_examples_are_those_of_the_predictions(report, evaluation):
    captions = map(html.unescape, re.findall("<figcaption>(.*?)</figcaption>", report[1]))
    captions = [caption for caption in captions if "has score" in caption]
    assert len(captions) in (3, 4)
    results = {m.name: json.loads(Path(m.predictions).read_text()) for m in evaluation.models}
    examples = [e for e in evaluation.examples if e.found_by_all][:3]
    for caption, example in zip(captions[:3], examples, strict=True):
        for name, found in example.models.items():
            assert f"{name} has score {results[name][found.prediction]['score']:.2f}" in caption


@pytest.mark.parametrize(
    ("score", "cell", "kinds"),
    [
        (Score(2, 0.5, 3.5), "+2.00 [+0.50, +3.50] *", ["better"]),
        (Score(-2, -3.5, -0.5), "-2.00 [-3.50, -0.50] *", ["worse"]),
        (Score(2, -0.5, 4.5), "+2.00 [-0.50, +4.50]", []),
        (Score(2), "+2.00", []),
    ],
)
def test_differences_other_than_zero_are_marked(evaluation, tmp_path, score, cell, kinds):
    scores = {"bbox": {"AP": score}, "segm": {}, "boundary": {}}
    difference = dataclasses.replace(evaluation.differences[0], scores=scores)
    changed = dataclasses.replace(evaluation, differences=(difference,))
    row = next(line for line in written_tables(changed).splitlines() if line.startswith("AP"))
    assert row.rstrip().endswith(f"  {cell}")
    assert ("*" in row) == bool(kinds)
    text = page(changed, tmp_path, num_pictures=0)
    assert re.findall('<td class="(.*?)">', text) == kinds
    assert read(text)[0]["scores-bbox"][1][3] == cell.removesuffix(" *")


@pytest.fixture
def figures(monkeypatch):
    """Plots as figures, whose data can be read, instead of as pictures."""
    monkeypatch.setattr(plots, "_svg", lambda figure: figure.axes)


def test_plots_show_the_evaluators_numbers(evaluation, figures):
    models = evaluation.models
    for task, axes in zip(models[0].scores, plots.plot_over_iou(evaluation).uri, strict=True):
        for line, model in zip(axes.lines, models, strict=True):
            scores = [model.scores[task][f"AP{iou}"].value for iou in range(50, 100, 5)]
            np.testing.assert_allclose(line.get_xdata(), np.arange(0.5, 0.96, 0.05))
            np.testing.assert_allclose(line.get_ydata(), scores)
            assert line.get_label() == model.name
    sizes = plots.plot_by_size(evaluation).uri[1].containers
    for bars, model in zip(bars_of(sizes), models, strict=True):
        values = [model.scores["segm"][k].value or 0 for k in ("APs", "APm", "APl")]
        assert [bar.get_height() for bar in bars] == pytest.approx(values)
    ((axes,),) = (p.uri for p in plots.plot_classes(evaluation, "segm", "AP-", "by class"))
    names = [label.get_text() for label in axes.get_yticklabels()]
    gains = []
    for bars, model in zip(bars_of(axes.containers), models, strict=True):
        values = [model.scores["segm"][f"AP-{name}"].value for name in names]
        assert [bar.get_width() for bar in bars] == pytest.approx(values)
        gains.append(np.array(values))
    assert (np.diff(gains[1] - gains[0]) >= 0).all()  # the largest gain on top
    first, second = (bars[0].get_y() for bars in bars_of(axes.containers))
    assert first > second  # in each group the first model is on top
    ious = ("0.50", "0.75", "0.90")
    for iou, axes in zip(ious, plots.plot_reliability(evaluation).uri, strict=True):
        for line, model in zip(axes.lines[1:], models, strict=True):
            known = [r for r in model.reliability if r.precision[iou] is not None]
            assert list(line.get_xdata()) == [r.mean_score for r in known]
            assert list(line.get_ydata()) == [r.precision[iou] for r in known]


def test_classes_that_say_nothing_are_left_out(evaluation, figures, monkeypatch):
    def shown(*models):
        records = tuple(
            ModelRecord(name, "", 0, {"segm": {f"AP-{k}": Score(v) for k, v in values.items()}})
            for name, values in zip("xy", models, strict=False)
        )
        changed = dataclasses.replace(evaluation, models=records)
        (picture,) = plots.plot_classes(changed, "segm", "AP-", "by class")
        names = [label.get_text() for label in picture.uri[0].get_yticklabels()]
        return "".join(names), picture.caption

    zero, middle = "in which every score is 0 are left out", "in the middle are left out"
    first = {"a": 1.0, "b": 0.0, "c": 5.0, "d": None, "e": 0.0, "f": 9.0}
    second = {"a": 4.0, "b": 0.0, "c": 3.0, "d": None, "e": 0.5, "f": 9.0}
    gain = "The class in which y gains most on top; the lines are the intervals."
    best = "The best class on top; the lines are the intervals."
    assert shown(first, second) == ("cfea", f"{gain} Classes {zero} (1).")  # by gain
    monkeypatch.setattr(plots, "_MOST_CLASSES", 2)
    assert shown(first, second) == ("ca", f"{gain} Classes {zero} (1). Classes {middle} (2).")
    assert shown(first) == ("af", f"{best} Classes {zero} (2). Classes {middle} (1).")


def bars_of(containers):
    return [c for c in containers if len(c) and hasattr(c[0], "get_height")]


def test_it_needs_nothing_else(report):
    _, text = report
    _, uris = read(text)
    assert uris
    assert all(uri.startswith("data:") for uri in uris)
    style = re.search("<style>(.*?)</style>", text, re.DOTALL).group(1)
    assert "figcaption {" in style
    assert "url(" not in style
    assert "@import" not in style
    assert html.escape(OTHER) in text
    assert "<script" not in text
    for title in ("Scores", "AP over the IoU", "AP by object size", "Classes", "Reliability",
                  "Where they differ", "Training"):  # fmt: skip
        assert f"<h2>{title}" in text


def test_pictures_show_the_objects(evaluation):
    found = list(gallery.object_pictures(evaluation, 3))
    assert len(found) in (3, 4)
    (caption, picture), example = found[0], evaluation.examples[0]
    assert caption.startswith(f"{example.class_name}, image {example.image_id}. old has score")
    assert picture.shape[1] == 3 * 300 + 2 * 6
    thirds = [picture[:, i * 306 : i * 306 + 300].astype(int) for i in range(3)]
    assert abs(thirds[1] - thirds[2]).mean() > 1  # the models differ there
    without = dataclasses.replace(example, image_file=None)
    ((_, grey),) = gallery.object_pictures(dataclasses.replace(evaluation, examples=(without,)), 1)
    assert grey.shape == picture.shape


@pytest.mark.parametrize("size_hw", [(60, 80), (600, 800)])  # enlarged, and made smaller
def test_the_frame_lies_where_the_zoom_is(size_hw):
    # The prediction lacks the lower right quarter of a square: it differs most there.
    unit = size_hw[0] // 6
    true = np.zeros(size_hw, bool)
    true[unit : 5 * unit, 2 * unit : 6 * unit] = True
    found = true.copy()
    found[3 * unit :, 4 * unit :] = False
    example = ObjectExample(1, 1, None, "x", True, {"a": FoundObject(0, 1.0, 0.75, 0.5)})
    image = np.full((*size_hw, 3), 90, np.uint8)
    picture = gallery._picture(image, ShownObject(example, true, {"a": found}), None)
    window = gallery._around(true, [found])
    edge = max(gallery._SMALLEST_ZOOM_PX, round(gallery._ZOOM_SHARE * 4 * unit))
    left, top, right, bottom = pick_zoom_window(found, true, true, edge)
    scale = 300 / (window[2] - window[0])
    cell = picture[picture.shape[0] - 4 - 600 :][:300, 306:]
    white = (cell > 250).all(axis=2)
    rows, columns = (np.flatnonzero(white.mean(axis=axis) > 0.3) for axis in (1, 0))
    for found, ends, start in (
        (rows, (top, bottom), window[1]),
        (columns, (left, right), window[0]),
    ):
        expected = [(end - start) * scale for end in ends]
        assert [found[0], found[-1] + 1] == pytest.approx(expected, abs=2)
    assert len(rows) + len(columns) <= 12  # lines of 2 pixels however large the object is


def test_points_are_drawn_where_they_are():
    window, colors = (10, 20, 30, 40), ([250, 204, 21], [74, 222, 128])  # finest, coarser
    black = np.zeros((100, 100, 3), np.uint8)
    shown = ShownObject(SEEN, np.ones((60, 60), bool), {"a": None, "b": None})
    places = [[15.0, 25.0], [22.5, 35.0], [9.0, 25.0], [15.0, 25.0]]
    points = RefinedPoints(np.array(places), np.array([8, 4, 8, 4]))
    row = point_row([black] * 2, window, shown, {"b": {3: points}, "a": None})
    assert row.shape == (120, 312, 3)
    legend, plain, cell = (row[20:, left : left + 100] for left in (0, 106, 212))
    assert (plain == 170).all()  # faded: nothing to show
    # (15, 25) is a quarter of the window to the right and down, (22.5, 35) lies at (5/8, 3/4); a
    # coarse point lies under a fine one, and (9, 25) outside.
    assert cell[24:26, 24:26].reshape(-1, 3).tolist() == [colors[0]] * 4
    assert cell[74:76, 61:64].reshape(-1, 3).tolist() == [colors[1]] * 6
    cell = cell.copy()
    cell[20:30, 20:30] = cell[70:80, 58:67] = 0
    assert not cell.any()
    for color in colors:  # both explained
        assert (legend == color).all(axis=2).any()


def test_points_in_words():
    found = RefinedPoints(np.zeros((3, 2)), np.array([56, 28, 56]))
    points = {"a": {}, "b": None, "c": {3: found}}
    assert points_sentence(SEEN, points) == (
        "a does not detect it. b has no points: its mask head does not refine. c refines its box "
        "at 1 of 28 x 28, 2 of 56 x 56 cells."
    )


def test_a_row_of_points_below_the_others(evaluation):
    key = evaluation.examples[0].annotation_id
    everywhere = np.stack(np.meshgrid(np.arange(400), np.arange(400)), axis=2).reshape(-1, 2) + 0.5
    points = {"old": None, OTHER: {key: RefinedPoints(everywhere, np.full(len(everywhere), 224))}}
    (_, without), *_ = gallery.object_pictures(evaluation, 1)
    (_, drawn), *_ = gallery.object_pictures(evaluation, 1, points)
    rows = len(without)
    np.testing.assert_array_equal(drawn[:rows], without)
    assert drawn.shape == (rows + 4 + 20 + 300, *without.shape[1:])
    yellow = (drawn[rows:] == [250, 204, 21]).all(axis=2)
    assert yellow[:, 612:].sum() > 400
    assert not yellow[:, 306:606].any()


def test_one_model_without_intervals(evaluation, instance_data, tmp_path):
    file = evaluation.models[0].predictions
    alone = evaluate_files(instance_data, {"a": file}, EvaluationOptions(("segm",), num_draws=0))
    text = page(alone, tmp_path, num_pictures=1)
    assert alone.models[0].scores["segm"]["AP"].text() in text
    assert "<h2>Training" not in text
    worst = alone.examples[0].models["a"].boundary_iou
    assert worst == min(e.models["a"].boundary_iou for e in alone.examples if e.found_by_all)


def test_label_maps(label_data, label_files, tmp_path, few_draws):
    files = {name: label_files[0][name] for name in ("old", "new")}
    evaluation = evaluate_files(label_data, files, few_draws)
    text = page(evaluation, tmp_path, data=label_data, num_pictures=2)
    tables, uris = read(text)
    check_numbers(tables, evaluation)
    assert text.count("data:image/jpeg") == 2
    assert text.count("data:image/svg") == 2
    assert all(uri.startswith("data:") for uri in uris)


def test_in_a_browser(report, tmp_path):
    names = [os.environ.get("CHROMIUM", ""), *BROWSERS]
    browser = next((found for name in names if name and (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip("no Chromium; install one, or name it in CHROMIUM")
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
        f"--user-data-dir={tmp_path}", "--dump-dom", report[0].resolve().as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "CONSOLE" not in done.stderr
    shown, _ = read(done.stdout)
    assert shown == read(report[1])[0]
    assert len(shown["scores-segm"]) > 6
