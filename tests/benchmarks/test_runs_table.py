"""Tables of runs, with what their models cost."""

import json

import pytest

from benchmarks.measure import Timing
from benchmarks.report import Report, Row
from benchmarks.runs import main, summarize, table

NAMES = ["FPN", "FAM", "PointRend"]
LOSS = {"iteration": 19, "total_loss": 3.0}


def results(shift, metrics=("IoU", "TrimapIoU1", "BoundaryIoU")):
    found = {"sem_seg/fwIoU": 1.0, "sem_seg/ACC-sky": 2.0}  # in no table
    for i, metric in enumerate(metrics):
        found[f"sem_seg/m{metric}"] = 50.0 + 10 * i + shift
        for j, name in enumerate(("sky", "road")):
            found[f"sem_seg/{metric}-{name}"] = 40.0 + 10 * i + j + shift
    return found


def write_run(folder, *records):
    folder.mkdir()
    (folder / "metrics.json").write_text("".join(json.dumps(r) + "\n" for r in records))
    return folder


@pytest.fixture
def semantic_runs(tmp_path):
    return {n: write_run(tmp_path / n, LOSS, results(i)) for i, n in enumerate(NAMES)}


@pytest.fixture
def costs_folder(tmp_path):
    """What ``benchmarks.models`` writes."""
    names = [*NAMES, "another"]
    seconds = {name: Timing(0.12345 + i, 0, 9) for i, name in enumerate(names)}
    parameters = {name: 1_234_567 + i for i, name in enumerate(names)}
    row = Row("Models", "480 x 360", 1, seconds, {}, "not compared", parameters)
    Report({"processor": "a CPU"}, "python", 3, [row]).write(tmp_path / "costs")
    return tmp_path / "costs"


def words_of(runs, output, *more):
    words = [f"--run={name}={folder}" for name, folder in runs]
    return [*words, "--output", str(output), *map(str, more)]


def test_one_table_of_means_and_costs_then_the_classes(
    tmp_path, semantic_runs, costs_folder, capsys
):
    report = tmp_path / "report"
    main(words_of(semantic_runs.items(), report, "--costs", costs_folder))
    text = (report / "results.md").read_text()
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
    assert capsys.readouterr().out == text
    assert (report / "losses.png").stat().st_size > 1000
    summaries = json.loads((report / "runs.json").read_text())
    assert table(summaries) == text  # the table follows from the data that is kept
    assert "sem_seg/fwIoU" not in summaries["FPN"]["results"]
    assert summaries["FAM"]["cost"] == {
        "parameters": 1_234_568,
        "seconds_per_image": 1.1235,
        "image": "480 x 360",
        "threads": 1,
        "processor": "a CPU",
    }


def test_a_run_whose_model_was_not_measured(tmp_path, semantic_runs, costs_folder):
    words = words_of([("CAB", semantic_runs["FPN"])], tmp_path / "out", "--costs", costs_folder)
    with pytest.raises(ValueError, match=r"has \['FPN', .*, not 'CAB': models and runs need"):
        main(words)


def test_runs_of_one_name_are_averaged(tmp_path):
    """Three seeds of one model, one of the other: means with their range; then the classes."""
    folders = [write_run(tmp_path / str(s), LOSS, results(s * s)) for s in range(3)]
    other = write_run(tmp_path / "other", LOSS, results(7))
    runs = [*(("FPN", folder) for folder in folders), ("FAM", other)]
    main(words_of(runs, tmp_path / "report"))
    assert (tmp_path / "report" / "results.md").read_text() == (
        "| run | mIoU | mTrimapIoU1 | mBoundaryIoU |\n"
        "| --- | --- | --- | --- |\n"
        "| FPN | 51.67 (50.0 to 54.0) | 61.67 (60.0 to 64.0) | 71.67 (70.0 to 74.0) |\n"
        "| FAM | 57.00 | 67.00 | 77.00 |\n\n"
        "| FPN / FAM | IoU | BoundaryIoU |\n"
        "| --- | --- | --- |\n"
        "| mean | 51.7 (50.0 to 54.0) / 57.0 | 71.7 (70.0 to 74.0) / 77.0 |\n"
        "| sky | 41.7 (40.0 to 44.0) / 47.0 | 61.7 (60.0 to 64.0) / 67.0 |\n"
        "| road | 42.7 (41.0 to 45.0) / 48.0 | 62.7 (61.0 to 65.0) / 68.0 |\n"
    )
    many = {str(number): summarize(folders) for number in range(5)}
    assert "road" not in table(many)  # a cell would hold five
    assert summarize(folders)["ranges"]["sem_seg/IoU-sky"] == [40.0, 44.0]
    assert "ranges" not in summarize(folders[:1])


def test_without_costs_two_runs_show_every_metric():
    lines = table({name: {"results": results(0)} for name in NAMES[:2]}).splitlines()
    assert lines[0] == "| FPN / FAM | IoU | TrimapIoU1 | BoundaryIoU |"


def test_instance_runs_show_what_all_have_but_no_single_class(tmp_path):
    ours = write_run(
        tmp_path / "ours",
        LOSS,
        {"iteration": 39, "segm/AP": 12.345, "segm/AP-cat": 1.0, "segm/AP85": 3.0},
    )
    theirs = write_run(tmp_path / "theirs", {"iteration": 39, "segm/AP": 7.0, "segm/AP-cat": 2.0})
    summaries = {"ours": summarize([ours]), "theirs": summarize([theirs])}
    assert summaries["ours"]["results"] == {"segm/AP": 12.35, "segm/AP85": 3.0}
    rows = "| run | segm/AP |\n| --- | --- |\n| ours | 12.35 |\n| theirs | 7.00 |\n"
    assert table(summaries) == rows
    for summary in summaries.values():
        summary["cost"] = {"parameters": 1_500_000, "seconds_per_image": 0.25}
    assert table(summaries).splitlines()[-1] == "| theirs | 7.00 | 1.50 | 0.250 |"


def test_runs_without_metrics_or_evaluation(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"metrics\.json"):
        summarize([tmp_path])
    folder = write_run(tmp_path / "a", LOSS)
    with pytest.raises(ValueError, match="holds no evaluation"):
        summarize([folder])


def test_panoptic_models_have_a_row_of_pq(tmp_path):
    found = {"panoptic_seg/PQ": 50.0, "panoptic_seg/PQ_th": 40.0, "panoptic_seg/BoundaryPQ": 30.0}
    others = {"panoptic_seg/SQ": 1.0, "panoptic_seg/PQ-sky": 2.0, "segm/AP": 3.0}
    record = {**found, **others, **results(0)}
    first, second = (
        write_run(tmp_path / str(i), LOSS, {k: v + i for k, v in record.items()}) for i in (0, 2)
    )
    assert table({"a": summarize([first, second])}) == (
        "| run | PQ | PQ_th | BoundaryPQ |\n| --- | --- | --- | --- |\n"
        "| a | 51.00 (50.0 to 52.0) | 41.00 (40.0 to 42.0) | 31.00 (30.0 to 32.0) |\n"
    )
