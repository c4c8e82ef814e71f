"""What a training logged is read back."""

import json

import pytest

from pointrend_ext.engine.metrics_file import last_results, loss_curves

RECORDS = [
    {"iteration": 19, "total_loss": 3.0, "loss_mask": 0.7, "loss_sem_seg": 0.12345},
    {"iteration": 39, "total_loss": 9.0},
    {"iteration": 39, "segm/AP": 40.0},
    {"iteration": 39, "total_loss": 2.0},  # logged again after a resume
    {"iteration": 39, "segm/AP": 12.345, "segm/AP-cat": 1.0, "sem_seg/mIoU": 3.0, "time": 9.0},
]


def write(folder, records):
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (folder / "metrics.json").write_text(lines + '{"iteration": 59, "half')
    return folder


def test_losses_and_results(tmp_path):
    write(tmp_path, RECORDS)
    assert loss_curves(tmp_path) == {
        "total_loss": [[19, 3.0], [39, 2.0]],
        "loss_mask": [[19, 0.7]],
        "loss_sem_seg": [[19, 0.1235]],
    }
    assert last_results(tmp_path) == {"segm/AP": 12.345, "segm/AP-cat": 1.0, "sem_seg/mIoU": 3.0}


def test_a_line_that_was_cut_and_gone_on_with(tmp_path):
    write(tmp_path, RECORDS[:1])
    with (tmp_path / "metrics.json").open("a") as file:
        file.write('": 1, "lo' + json.dumps(RECORDS[3]) + "\n" + json.dumps(RECORDS[4]) + "\n")
    assert loss_curves(tmp_path)["total_loss"] == [[19, 3.0], [39, 2.0]]
    assert last_results(tmp_path)["segm/AP"] == 12.345


def test_long_curves_are_thinned(tmp_path):
    write(tmp_path, [{"iteration": i, "total_loss": 1.0 * i} for i in range(250)])
    assert loss_curves(tmp_path) == {"total_loss": [[i, 1.0 * i] for i in range(0, 250, 3)]}


def test_runs_without_metrics_or_evaluation(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"metrics\.json"):
        loss_curves(tmp_path)
    write(tmp_path, RECORDS[:2])
    with pytest.raises(ValueError, match="holds no evaluation"):
        last_results(tmp_path)
