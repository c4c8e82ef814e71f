"""SOLVER.CHECKPOINT_KEEP: how many numbered checkpoints stay."""

import errno
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from pointrend_ext.checkpoint import PointRendCheckpointer, files


def names(folder):
    return sorted(path.name for path in Path(folder).glob("*.pth"))


def save_all(folder, keep, iterations=(1, 3, 5, 7)):
    checkpointer = PointRendCheckpointer(nn.Linear(2, 1), str(folder), keep=keep)
    for iteration in iterations:
        checkpointer.save(f"model_{iteration:07d}", iteration=iteration)
    return checkpointer


@pytest.mark.parametrize(
    ("keep", "kept"), [(0, [1, 3, 5, 7]), (1, [7]), (2, [5, 7]), (9, [1, 3, 5, 7])]
)
def test_the_latest_stay(tmp_path, keep, kept):
    checkpointer = save_all(tmp_path, keep)
    assert names(tmp_path) == [f"model_{i:07d}.pth" for i in kept]
    assert Path(checkpointer.get_checkpoint_file()).name == "model_0000007.pth"
    checkpointer.save("model_final")
    assert names(tmp_path)[-1] == "model_final.pth"
    assert len(names(tmp_path)) == len(kept) + 1


def test_those_of_the_training_before_it_was_resumed_count_and_other_files_do_not(tmp_path):
    others = ["model_best.pth", "model_00000010.pth", "ema_0000001.pth"]
    for name in others:
        (tmp_path / name).write_text("")
    save_all(tmp_path, 0)
    save_all(tmp_path, 2, [9])
    assert names(tmp_path) == sorted([*others, "model_0000007.pth", "model_0000009.pth"])


def test_a_training_that_went_back_keeps_what_it_writes(tmp_path):
    """Whose ``last_checkpoint`` was made to name an earlier one, as messages advise."""
    save_all(tmp_path, 0)
    checkpointer = save_all(tmp_path, 1, [2, 4])
    assert names(tmp_path) == [f"model_{i:07d}.pth" for i in (4, 5, 7)]
    assert torch.load(checkpointer.get_checkpoint_file())["iteration"] == 4
    checkpointer.save("model_0000009")
    assert names(tmp_path) == ["model_0000009.pth"]


def test_nothing_is_removed_before_the_new_one_is_complete(tmp_path, monkeypatch):
    checkpointer = save_all(tmp_path, 1, [1])

    def fail(*_):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="full"):
        checkpointer.save("model_0000003")
    monkeypatch.undo()
    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(OSError, match="full"):
        checkpointer.save("model_0000003")
    monkeypatch.undo()
    assert sorted(os.listdir(tmp_path)) == ["last_checkpoint", "model_0000001.pth"]
    assert torch.load(tmp_path / "model_0000001.pth")["iteration"] == 1
