"""Two trainings side by side: fake processes that write metrics."""

import sys
import time

import pytest

from pointrend_ext.engine.side_by_side import Job, train_side_by_side

FAKE = """
import json, os, pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
with open(folder / "metrics.json", "a") as f:
    for i in (0, 1):
        record = {"iteration": i, "total_loss": 2.0 - i, "eta_seconds": 61.0}
        f.write(json.dumps(record) + "\\n"); f.flush(); time.sleep(1.2)
print("threads", os.environ["OMP_NUM_THREADS"])
"""


@pytest.fixture
def job(tmp_path):
    def make(title, code):
        folder = tmp_path / title
        return Job(title, [sys.executable, "-c", code, str(folder)], folder, 2)

    return make


def test_runs_both_and_reports(job, monkeypatch, capsys):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: range(6))
    jobs = [job("a", FAKE), job("b", FAKE)]
    train_side_by_side(jobs, print)
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert all("a: " in line and "b: " in line for line in lines)
    assert "a: 1/2, loss 2.00, ETA 01:01" in text
    assert "evaluating" in text
    assert len(lines) == len(set(lines))
    assert jobs[0].log_file.read_text() == "threads 3\n"


def test_a_failing_run_stops_the_others_and_names_its_log(job):
    slow = job("slow", "import time; time.sleep(60); print('left behind')")
    broken = job("broken", "raise SystemExit('no such data set')")
    start = time.monotonic()
    with pytest.raises(ValueError, match=r"broken ended with exit code 1[\s\S]*no such data set"):
        train_side_by_side([slow, broken], print)
    assert time.monotonic() - start < 30
    assert slow.log_file.read_text() == ""
