"""What the demo finds and writes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch

from pointrend_ext.engine.classes import Classes
from pointrend_ext.inference.demo import OutputWriter, VideoSink, VideoSource, find_inputs
from pointrend_ext.inference.demo.outputs import cut_out, panoptic_picture
from pointrend_ext.inference.demo.same_objects import ObjectColors
from pointrend_ext.inference.pasted_masks import PastedMasks
from pointrend_ext.inference.prediction import Prediction
from pointrend_ext.visualization import distinct_colors


def instances(boxes, classes=None, size_hw=(40, 60), probability=None):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    if probability is None:
        probability = torch.ones(len(boxes), 8, 8)
    image = np.full((*size_hw, 3), 90, np.uint8)
    return Prediction(
        image,
        "a.jpg",
        Classes(things=("cat", "big dog"), thing_ids=(17, 18)),
        boxes=boxes,
        scores=np.linspace(0.9, 0.5, len(boxes)).astype(np.float32),
        classes=np.array(classes or [0] * len(boxes)),
        masks=PastedMasks(probability, torch.from_numpy(boxes), size_hw),
    )


def test_inputs_are_found_once_and_named_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.jpg", "a.png", "sub/a.jpg", "sub/ä b.JPG", "v.mp4", "notes.txt", "odd"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    (tmp_path / "folder.jpg").mkdir()
    inputs, problems = find_inputs([".", "a.*", "odd"])
    assert problems == []
    found = {x.path.relative_to(tmp_path).as_posix(): (str(x.name), x.is_video) for x in inputs}
    assert found == {
        "a.jpg": ("a", False),
        "a.png": ("a_2", False),
        "sub/a.jpg": ("sub/a", False),
        "sub/ä b.JPG": ("sub/ä b", False),
        "v.mp4": ("v", True),
        "odd": ("odd", False),  # named, so it is tried whatever its suffix
    }


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("none.jpg", "no such file or folder"),
        ("*.bmp", "no file matches"),
        ("folder.jpg", "the folder has no file"),
        ("MODEL.WEIGHTS", "configuration key.*--opts"),
    ],
)
def test_what_is_not_found_is_said(tmp_path, monkeypatch, pattern, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.jpg").mkdir()
    inputs, (problem,) = find_inputs([pattern])
    assert inputs == []
    assert problem.startswith(pattern)
    assert re.search(message, problem)


def test_cut_out_follows_the_probabilities():
    ramp = torch.linspace(0, 1, 11).repeat(11, 1)[None]  # 0 at the left, 1 at the right
    prediction = instances([[10, 5, 43, 38]], probability=ramp)
    cut = cut_out(prediction, 0)
    probability = prediction.masks.probability(0) / 255.0
    rows, columns = np.nonzero(probability > 0.26)
    y = rows.min()
    assert cut.shape[0] == rows.max() + 1 - y
    alpha = cut[..., 3] / 255.0
    expected = np.clip((probability - 0.25) / 0.5, 0, 1)
    area = expected[y : y + cut.shape[0], -cut.shape[1] - (60 - columns.max() - 1) :]
    area = area[:, : cut.shape[1]]
    np.testing.assert_allclose(alpha, area, atol=0.01)
    assert {0.0, 1.0} < set(np.unique(alpha)) or len(np.unique(alpha)) > 8  # smooth, and opaque
    assert (cut[..., :3] == 90).all()
    empty = instances([[10, 5, 43, 38]], probability=torch.zeros(1, 8, 8))
    assert cut_out(empty, 0).tolist() == [[[0, 0, 0, 0]]]


def test_coco_files_hold_the_masks(tmp_path):
    writer = OutputWriter(tmp_path / "out", ["json", "masks", "cutouts"])
    prediction = instances([[3, 4, 20, 30], [30, 5, 50, 20]], classes=[1, 0])
    writer.write(prediction, Path("sub/x"), tmp_path / "x.jpg")
    writer.close()
    results = json.loads((tmp_path / "out/coco_results.json").read_text())
    described = json.loads((tmp_path / "out/coco_images.json").read_text())
    assert [(r["image_id"], r["category_id"]) for r in results] == [(1, 18), (1, 17)]
    assert results[0]["bbox"] == [3, 4, 17, 26]
    mask = mask_util.decode(results[0]["segmentation"]).astype(bool)
    np.testing.assert_array_equal(mask, prediction.masks[0])
    assert 17 * 26 - 4 <= mask.sum() <= 17 * 26  # corners are rounded
    assert described["images"] == [{"id": 1, "file_name": "x.jpg", "height": 40, "width": 60}]
    assert described["categories"] == [{"id": 17, "name": "cat"}, {"id": 18, "name": "big dog"}]
    written = cv2.imread(str(tmp_path / "out/masks/sub/x_00_big-dog.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(written, 255 * mask)
    cut = cv2.imread(str(tmp_path / "out/cutouts/sub/x_01_cat.png"), cv2.IMREAD_UNCHANGED)
    assert cut.shape == (15, 22, 4)  # softer along x, where cells are larger


def test_ids_of_images_can_be_given(tmp_path):
    writer = OutputWriter(tmp_path, ["json"], {"x.jpg": 139})
    prediction = instances([[3, 4, 20, 30]])
    writer.write(prediction, tmp_path, tmp_path / "x.jpg")
    with pytest.raises(ValueError, match=r"y\.jpg has no id"):
        writer.write(prediction, tmp_path, tmp_path / "y.jpg")
    writer.close()
    assert json.loads((tmp_path / "coco_results.json").read_text())[0]["image_id"] == 139


def test_unknown_output_and_overwriting(tmp_path):
    with pytest.raises(ValueError, match=r"rle.*overlay"):
        OutputWriter(tmp_path, ["rle"])
    (tmp_path / "a.jpg").write_text("x")
    writer = OutputWriter(tmp_path, ["overlay"])
    with pytest.raises(ValueError, match="overwritten"):
        writer.overlay_path(Path("a"), tmp_path / "a.jpg")
    assert writer.overlay_path(Path("b"), tmp_path / "b.tif").name == "b.png"


def test_panoptic_ids_as_coco_writes_them():
    ids = np.array([[0, 255, 256, 70000]])
    rgb = panoptic_picture(ids).astype(int)
    np.testing.assert_array_equal(rgb @ [1, 256, 65536], ids)


def test_objects_keep_their_colours():
    colors = ObjectColors()
    palette = distinct_colors(4)
    first = colors(instances([[0, 0, 10, 10], [20, 0, 30, 10]]))
    np.testing.assert_array_equal(first, palette[:2])
    # In other order, a little moved, and one more; then one comes back after others left.
    moved = colors(instances([[21, 1, 31, 11], [40, 20, 50, 30], [1, 0, 11, 10]]))
    np.testing.assert_array_equal(moved, palette[[1, 2, 0]])
    other_class = colors(instances([[21, 1, 31, 11]], classes=[1]))
    np.testing.assert_array_equal(other_class, palette[[3]])
    assert colors(instances([])).shape == (0, 3)


@pytest.mark.parametrize("size_hw", [(48, 64), (47, 63)])
def test_video_is_read_back(tmp_path, size_hw):
    path = tmp_path / "new" / "v.mp4"
    frames = [np.full((*size_hw, 3), (40 * n, 120, 200 - 30 * n), np.uint8) for n in range(6)]
    with VideoSink(path, 7.0) as sink:
        for frame in frames:
            sink.write(frame)
        with pytest.raises(ValueError, match="all must be alike"):
            sink.write(frames[0][:-2])
    source = VideoSource(path)
    assert source.num_frames == 6
    assert source.fps == pytest.approx(7.0)
    read = list(source)
    assert len(read) == 6
    assert read[0].shape == (48, 64, 3)  # codecs need even sides
    for frame, expected in zip(read, frames, strict=True):
        assert np.abs(frame[:40, :40].astype(int) - expected[0, 0]).mean() < 8  # RGB, not BGR


def test_ffmpeg_gets_the_frames_where_it_is(tmp_path, monkeypatch):
    from pointrend_ext.inference.demo import video

    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\ncase "$*" in *-encoders*) echo libx264;; '
        f'*) echo "$@" > {tmp_path}/args; cat > {tmp_path}/raw;; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(video.shutil, "which", lambda _: str(program))
    video._ffmpeg_with_h264.cache_clear()
    frames = [np.full((3, 4, 3), n, np.uint8) for n in range(2)]
    try:
        with VideoSink(tmp_path / "v.mp4", 10) as sink:
            for frame in frames:
                sink.write(frame)
    finally:
        video._ffmpeg_with_h264.cache_clear()
    assert "-s 4x4 -r 10.000000" in (tmp_path / "args").read_text()
    assert (tmp_path / "raw").read_bytes() == b"".join(
        np.pad(f, ((0, 1), (0, 0), (0, 0)), mode="edge").tobytes() for f in frames
    )


def test_what_is_no_video_is_named(tmp_path):
    (tmp_path / "v.mp4").write_text("no video")
    with pytest.raises(ValueError, match=r"v\.mp4 cannot be read as a video"):
        VideoSource(tmp_path / "v.mp4")
