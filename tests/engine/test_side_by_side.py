"""Watching runs: fake training processes that write metrics."""

from __future__ import annotations

import sys

import pytest

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
