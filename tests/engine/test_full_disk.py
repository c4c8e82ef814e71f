"""A full disk in a training: the last checkpoint stays, and the disk is named."""

import errno
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from pointrend_ext.checkpoint import PointRendCheckpointer, files
from pointrend_ext.checkpoint.full_disk import FullDiskError, is_full_disk
from tests.engine.disturbed import last_checkpoint, weights_of


class Full:
    """A file on a disk with room for some bytes."""

    def __init__(self, file, room):
        self.file, self.room = file, room

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, data):
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(data)


@pytest.mark.parametrize("room", [0, 5_000, 60_000])
def test_a_full_disk_keeps_the_last_checkpoint(run, tmp_path, monkeypatch, room, caplog):
    """The first checkpoint fits, of the second a part; also the metrics at the end do not."""
    save = files.AtomicPaths.open
    opened = []

    def open_or_fail(self, path, mode="r"):
        opened.append(path)
        context = save(self, path, mode)
        if "w" not in mode or not path.endswith(("3.pth", "5.pth", "final.pth")):
            return context
        enter = context.__enter__
        context.__class__ = type(
            "Full", (type(context),), {"__enter__": lambda _: Full(enter(), room)}
        )
        return context

    monkeypatch.setattr(files.AtomicPaths, "open", open_or_fail)
    with pytest.raises(FullDiskError, match=r"disk of .*cut (is full|has).*MB free") as caught:
        run("cut", opts=["SOLVER.CHECKPOINT_PERIOD", 2])
    assert "4 iterations were done" not in str(caught.value)
    assert "model_0000001.pth" in str(caught.value)
    assert "--resume" in str(caught.value)
    assert last_checkpoint(tmp_path / "cut").name == "model_0000001.pth"
    assert weights_of(last_checkpoint(tmp_path / "cut"))
    assert [path.name for path in Path(tmp_path, "cut").glob("*.pth*")] == ["model_0000001.pth"]
    assert not any(record.exc_info for record in caplog.records)


@pytest.mark.parametrize("writer", ["JSONWriter", "TensorboardXWriter"])
def test_a_full_disk_of_a_writer_is_not_hidden(run, tmp_path, monkeypatch, writer):
    def write(self):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(f"detectron2.utils.events.{writer}.write", write)
    with pytest.raises(FullDiskError, match=r"disk of .*cut .*MB free.*model_final\.pth"):
        run("cut")


def test_what_the_system_refuses_ends_with_a_checkpoint(run, tmp_path):
    """Such as an evaluation's file, when the weights have all of the iteration behind them."""

    def event(trainer):
        if trainer.iter == 2:
            raise OSError(errno.EIO, "disk trouble", "results.json")

    said = r"^The system says: disk trouble \('results.json'\)\. 3 iterations .*2\.pth.*--resume"
    with pytest.raises(OSError, match=said):
        run("cut", after_step=event)
    run("cut", "--resume")
    run("whole")
    ours, theirs = (weights_of(tmp_path / name / "model_final.pth") for name in ("cut", "whole"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_checkpoint_that_cannot_be_written_is_not_written_as_an_earlier_one(
    run, tmp_path, monkeypatch
):
    save = PointRendCheckpointer.save

    def fail_once(self, name, **more):
        if name == "model_0000003":
            raise PermissionError(errno.EACCES, "no more", name)
        return save(self, name, **more)

    monkeypatch.setattr(PointRendCheckpointer, "save", fail_once)
    with pytest.raises(OSError, match=r"no more \('model_0000003'\)\. .*is .*model_0000001\.pth\."):
        run("cut", opts=["SOLVER.CHECKPOINT_PERIOD", 2])
    assert [path.name for path in Path(tmp_path, "cut").glob("*.pth*")] == ["model_0000001.pth"]


@pytest.mark.parametrize("number", [errno.EACCES, errno.ENOSPC])
def test_the_file_that_names_the_checkpoint(run, tmp_path, monkeypatch, number):
    """The checkpoint is there, and nothing names it: the remedy is told with the cause."""

    def refuse(self, name):
        raise OSError(number, os.strerror(number), name)

    monkeypatch.setattr(PointRendCheckpointer, "tag_last_checkpoint", refuse)
    cause = "Permission denied" if number == errno.EACCES else r"MB free"
    with pytest.raises(OSError, match=rf"{cause}.* no file last_checkpoint.*: echo model_0000003"):
        run("cut")


def test_a_folder_that_was_removed_is_made_again(run, tmp_path):
    def event(trainer):
        if trainer.iter == 2:
            shutil.rmtree(tmp_path / "cut")

    run("cut", after_step=event)
    names = sorted(path.name for path in Path(tmp_path, "cut").glob("*.pth"))
    assert names == ["model_0000003.pth", "model_final.pth"]


def test_an_output_folder_that_is_a_file(run, tmp_path):
    (tmp_path / "cut").write_text("notes")
    with pytest.raises(OSError, match=r"OUTPUT_DIR .*cut is no folder that can be written to \("):
        run("cut")
    assert (tmp_path / "cut").read_text() == "notes"


def test_errors_for_want_of_space_are_known_behind_others():
    assert is_full_disk(OSError(errno.EDQUOT, ""))
    assert not is_full_disk(OSError(errno.EACCES, ""))
    of_torch = RuntimeError("unexpected pos")
    of_torch.__context__ = ValueError()
    of_torch.__context__.__cause__ = OSError(errno.ENOSPC, "")
    assert is_full_disk(of_torch)


@pytest.mark.parametrize(("free", "words"), [(3e5, "is full (0.3 MB free)"), (9e9, "quota")])
def test_what_a_full_disk_is_called(tmp_path, monkeypatch, free, words):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    text = str(FullDiskError.of(tmp_path / "not" / "there"))
    assert words in text
    assert str(tmp_path / "not" / "there") in text
