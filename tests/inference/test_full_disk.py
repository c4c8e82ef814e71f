"""A full disk ends the demo, names itself, and leaves no half of a file."""

import errno
import json
import os
from pathlib import Path

import pytest
from PIL import Image

from pointrend_ext.checkpoint.full_disk import FullDiskError
from pointrend_ext.inference.demo import DemoOptions, OutputWriter, find_inputs, run_demo


@pytest.fixture
def demo(tmp_path, predictors, make_picture):
    for number in range(4):
        Image.fromarray(make_picture(seed=number)).save(tmp_path / f"{number}.png")

    def run(kinds):
        inputs = find_inputs([str(tmp_path / "*.png")]).inputs
        writer = OutputWriter(tmp_path / "out", kinds, None, inputs)
        return run_demo(
            inputs, DemoOptions({"one": predictors("instance")}, writer, progress=False)
        )

    return run


def full_after(monkeypatch, owner, name, number):
    """Let a writing method write a part and fail from a call on."""
    write, calls = getattr(owner, name), []

    def fail(path, data, *args, **options):
        calls.append(path)
        if len(calls) > number:
            Path(path).write_text("half") if name == "save" else write(path, data[:3])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, data, *args, **options)

    monkeypatch.setattr(owner, name, fail)


def test_masks_and_results(tmp_path, demo, monkeypatch):
    full_after(monkeypatch, Path, "write_bytes", 3)
    with pytest.raises(FullDiskError, match=r"disk of .*out (is full|has) "):
        demo(["masks", "json"])
    written = [path for path in Path(tmp_path, "out").rglob("*.*") if path.suffix == ".png"]
    assert len(written) == 3
    for path in written:
        Image.open(path).load()
    assert not list(Path(tmp_path, "out").glob("*.json"))

    monkeypatch.undo()
    with Path(tmp_path, "out", ".pointrend_files").open("a") as listed:
        listed.write('"masks/a')  # the end of a list for which there was no room
    report = demo(["json"])
    assert report.num_images == 4
    assert not list(Path(tmp_path, "out", "masks").glob("*.png"))
    assert len(json.loads(Path(tmp_path, "out", "coco_images.json").read_text())["images"]) == 4


def test_overlays(tmp_path, demo, monkeypatch):
    def write(path, pixels):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pointrend_ext.inference.demo.run.write_image", write)
    with pytest.raises(FullDiskError, match=r"disk of .*out (is full|has) "):
        demo(["overlay"])


def test_another_error_of_a_picture_is_its_own(tmp_path, demo, monkeypatch):
    def write(path, pixels):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("pointrend_ext.inference.demo.run.write_image", write)
    assert len(demo(["overlay"]).failures) == 4
