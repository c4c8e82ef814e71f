"""Watching runs: fake training processes that write metrics."""

from __future__ import annotations

import json
import sys

import pytest

from pointrend_ext.engine.run_report import summarize_run, write_run_report
from pointrend_ext.engine.run_table import metrics_table
from pointrend_ext.engine.side_by_side import TrainingJob, last_results, train_side_by_side

FAKE = """
import json, os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
with open(folder / "metrics.json", "a") as f:
    for i in (0, 1):
        record = {"iteration": i, "total_loss": 2.0 - i, "eta_seconds": 61.0}
        f.write(json.dumps(record) + "\\n"); f.flush(); time.sleep(1.2)
    f.write(json.dumps({"iteration": 1, "segm/AP": 40.0, "segm/AP75": 41.0}) + "\\n")
    f.write('{"iteration": 1, "half')
print("threads", os.environ["OMP_NUM_THREADS"])
"""


def job(tmp_path, title, code=FAKE, max_iter=2):
    folder = tmp_path / title
    return TrainingJob(title, [sys.executable, "-c", code, str(folder)], folder, max_iter)


def test_runs_both_and_reports(tmp_path, monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(6))
    lines = []
    jobs = [job(tmp_path, "a"), job(tmp_path, "b")]
    train_side_by_side(jobs, lines.append)
    assert all("a: " in line and "b: " in line for line in lines)
    text = "\n".join(lines)
    assert "a: 1/2, loss 2.00, ETA 01:01" in text
    assert "evaluating" in text
    assert len(lines) == len(set(lines))
    assert jobs[0].log_file.read_text() == "threads 3\n"
    assert last_results(tmp_path / "a") == {"segm/AP": 40.0, "segm/AP75": 41.0}


def test_a_failing_run_stops_the_others_and_names_its_log(tmp_path):
    slow = job(tmp_path, "slow", "import time; time.sleep(60)")
    broken = job(tmp_path, "broken", "raise SystemExit('no such data set')")
    with pytest.raises(RuntimeError, match=r"broken ended with exit code 1[\s\S]*no such data set"):
        train_side_by_side([slow, broken], lambda line: None)
    with pytest.raises(RuntimeError, match="slow ended"):
        slow.is_running()  # terminated, not left behind


def write_metrics(folder, records):
    folder.mkdir()
    (folder / "metrics.json").write_text("".join(json.dumps(r) + "\n" for r in records))
    return folder


def test_run_report(tmp_path):
    a = write_metrics(
        tmp_path / "a",
        [
            {"iteration": 19, "total_loss": 3.0, "loss_mask": 0.7},
            {"iteration": 39, "total_loss": 9.0},
            {"iteration": 39, "total_loss": 2.0},  # logged again after a resume
            {"iteration": 39, "segm/AP": 12.345, "segm/AP-cat": 1.0, "segm/AP85": 3.0},
        ],
    )
    b = write_metrics(tmp_path / "b", [{"iteration": 39, "segm/AP": 7.0, "segm/AP-cat": 2.0}])
    assert summarize_run(a)["losses"] == {
        "total_loss": [[19, 3.0], [39, 2.0]],
        "loss_mask": [[19, 0.7]],
    }
    table = metrics_table({"ours": summarize_run(a), "theirs": summarize_run(b)})
    assert table == "| run | segm/AP |\n| --- | --- |\n| ours | 12.35 |\n| theirs | 7.00 |\n"
    write_run_report({"ours": [a], "theirs": [b]}, tmp_path / "report")
    assert json.loads((tmp_path / "report" / "runs.json").read_text())["ours"]["results"] == {
        "segm/AP": 12.35,
        "segm/AP-cat": 1.0,
        "segm/AP85": 3.0,
    }
    assert (tmp_path / "report" / "losses.png").stat().st_size > 1000


def test_runs_without_metrics_or_evaluation(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no metrics\.json"):
        summarize_run(tmp_path)
    folder = write_metrics(tmp_path / "a", [{"iteration": 1, "total_loss": 1.0}])
    with pytest.raises(ValueError, match="holds no evaluation"):
        summarize_run(folder)
