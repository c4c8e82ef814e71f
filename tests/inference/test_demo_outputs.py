"""What the demo finds and writes."""

import dataclasses
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pycocotools.mask as mask_util
import pytest
import torch
from detectron2.layers import paste_masks_in_image

from pointrend_ext._command import escaped
from pointrend_ext.engine.classes import Classes
from pointrend_ext.inference.demo import CocoIds, Input, OutputWriter, find_inputs
from pointrend_ext.inference.demo.outputs import cut_out
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
    found = find_inputs([".", "a.*", "odd"])
    inputs = found.inputs
    assert found.problems == []
    (note,) = found.notes
    assert "2 files passed over" in note
    assert "1 .txt, 1 no suffix" in note
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
        ("rtsp://camera/1", "addresses are not read"),
        ("MODEL.WEIGHTS", "configuration key.*--opts"),
    ],
)
def test_what_is_not_found_is_said(tmp_path, monkeypatch, pattern, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.jpg").mkdir()
    found = find_inputs([pattern])
    (problem,) = found.problems
    assert found.inputs == []
    assert problem.startswith(pattern)
    assert re.search(message, problem)


def test_cut_out_follows_the_probabilities():
    ramp = torch.linspace(0, 1, 11).repeat(11, 1)[None]  # 0 at the left, 1 at the right
    prediction = instances([[10, 5, 43, 38]], probability=ramp)
    cut = cut_out(prediction.image, prediction.masks.probability_crop(0))
    box = torch.tensor([[10.0, 5, 43, 38]])
    probability = paste_masks_in_image(ramp, box, (40, 60), -1)[0].numpy() / 255.0
    rows, columns = np.nonzero(probability > 0.26)
    y = rows.min()
    assert cut.shape[0] == rows.max() + 1 - y
    alpha, right = cut[..., 3] / 255.0, columns.max() + 1
    expected = np.clip((probability - 0.25) / 0.5, 0, 1)
    area = expected[y : y + cut.shape[0], right - cut.shape[1] : right]
    np.testing.assert_allclose(alpha, area, atol=0.01)
    assert {0.0, 1.0} < set(np.unique(alpha)) or len(np.unique(alpha)) > 8  # smooth, and opaque
    assert (cut[..., :3] == 90).all()
    empty = instances([[10, 5, 43, 38]], probability=torch.zeros(1, 8, 8))
    assert cut_out(empty.image, empty.masks.probability_crop(0)).tolist() == [[[0, 0, 0, 0]]]


def test_coco_files_hold_the_masks(tmp_path):
    writer = OutputWriter(tmp_path / "out", ["json", "masks", "cutouts"])
    prediction = instances([[3, 4, 20, 30], [30, 5, 50, 20]], classes=[1, 0])
    writer.write(prediction, Input(tmp_path / "x.jpg", Path("sub/x"), "sub/x.jpg"))
    writer.close()
    results = json.loads((tmp_path / "out/coco_results.json").read_text())
    described = json.loads((tmp_path / "out/coco_images.json").read_text())
    assert [(r["image_id"], r["category_id"]) for r in results] == [(1, 18), (1, 17)]
    assert results[0]["bbox"] == [3, 4, 17, 26]
    mask = mask_util.decode(results[0]["segmentation"]).astype(bool)
    np.testing.assert_array_equal(mask, prediction.masks[0])
    assert 17 * 26 - 4 <= mask.sum() <= 17 * 26  # corners are rounded
    assert described["images"] == [{"id": 1, "file_name": "sub/x.jpg", "height": 40, "width": 60}]
    assert described["categories"] == [{"id": 17, "name": "cat"}, {"id": 18, "name": "big dog"}]
    written = cv2.imread(str(tmp_path / "out/masks/sub/x_00_big-dog.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(written, 255 * mask)
    cut = cv2.imread(str(tmp_path / "out/cutouts/sub/x_01_cat.png"), cv2.IMREAD_UNCHANGED)
    assert cut.shape == (15, 22, 4)  # softer along x, where cells are larger


@pytest.fixture
def ids(tmp_path):
    content = {
        "images": [
            {"id": 0, "file_name": "x.jpg"},
            {"id": 139, "file_name": "left\\y.jpg"},
            {"id": 140, "file_name": "right/y.jpg"},
        ],
        "categories": [{"id": 7, "name": "cat"}, {"id": 0, "name": "big dog"}],
    }
    path = tmp_path / "ids.json"
    path.write_text("\ufeff" + json.dumps(content), encoding="utf-8")
    return CocoIds.read(path)


def test_ids_are_those_of_the_given_file(tmp_path, ids):
    writer = OutputWriter(tmp_path / "out", ["json"], ids)
    for name in ("x.jpg", "left/y.jpg", "photos/right/y.jpg"):
        writer.write(instances([[3, 4, 20, 30]], [1]), Input(tmp_path / name, Path(name), name))
    writer.close()
    results = json.loads((tmp_path / "out/coco_results.json").read_text())
    assert [(r["image_id"], r["category_id"]) for r in results] == [(0, 0), (139, 0), (140, 0)]
    described = json.loads((tmp_path / "out/coco_images.json").read_text())
    assert described["categories"] == [{"id": 7, "name": "cat"}, {"id": 0, "name": "big dog"}]


@pytest.mark.parametrize(
    ("name", "message"), [("z.jpg", r"z\.jpg has no id"), ("y.jpg", r"may be 'left.*right/y\.jpg'")]
)
def test_an_image_without_one_id_is_refused(ids, name, message):
    with pytest.raises(ValueError, match=message):
        ids.image_id(name)


def test_two_images_do_not_get_one_id(tmp_path, ids):
    def found(*names):
        return [Input(tmp_path / name, Path(name), name) for name in names]

    with pytest.raises(ValueError, match=r"a/x\.jpg and b/x\.jpg would both be the image 0 of"):
        OutputWriter(tmp_path / "out", ["json"], ids, found("a/x.jpg", "none.jpg", "b/x.jpg"))
    OutputWriter(tmp_path / "out", ["json"], ids, found("x.jpg", "left/y.jpg", "right/y.jpg"))


def test_a_file_is_no_output_folder(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(ValueError, match="out is a file: choose a folder as --output"):
        OutputWriter(tmp_path / "out", ["json"])


def test_ids_that_are_not_known_are_not_made_up(tmp_path, ids):
    unnamed = dataclasses.replace(instances([[3, 4, 20, 30]]).class_info, thing_ids=())
    writer = OutputWriter(tmp_path / "out", ["json"])
    with pytest.raises(ValueError, match=r"ids .* are not known.*--image-ids"):
        writer.check_classes(unnamed)
    OutputWriter(tmp_path / "out", ["overlay"]).check_classes(unnamed)
    OutputWriter(tmp_path / "out", ["json"], ids).check_classes(unnamed)
    with pytest.raises(ValueError, match="no category 'cow'"):
        ids.of_classes(Classes(things=("cat", "cow")))
    broken = tmp_path / "broken.json"
    broken.write_text('{"images": [{"id": 1, "file_name": "a"}, {"id": 2, "file_name": "a"}]}')
    with pytest.raises(ValueError, match=r"'a' is listed 2 times"):
        CocoIds.read(broken)
    broken.write_text('{"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}]}')
    with pytest.raises(ValueError, match=r"two image entries have the id 1"):
        CocoIds.read(broken)
    endless = '{"images": [{"id": 1e400, "file_name": "a"}]}'
    for text in ("[]", "[" * 100_000, endless):
        broken.write_text(text)
        with pytest.raises(ValueError, match=r"no annotations in COCO's format"):
            CocoIds.read(broken)


@pytest.mark.parametrize(
    ("source", "overlay"),
    [("b.tif", "b.png"), ("b.JPG", "b.JPG"), ("v.avi", "v.mp4"), ("a.jpg", None), ("a.mp4", None)],
)
def test_overlays_never_overwrite_an_input(tmp_path, source, overlay):
    path = tmp_path / source
    path.write_text("x")
    if overlay is None:
        writer = OutputWriter(tmp_path, ["overlay"], inputs=[Input(path, Path("elsewhere"))])
        with pytest.raises(ValueError, match="would be overwritten"):
            writer.overlay_path(Input(path, Path(path.stem)))
    else:
        (tmp_path / "source").mkdir()
        path = path.rename(tmp_path / "source" / source)
        writer = OutputWriter(tmp_path, ["overlay"], inputs=[Input(path, Path(path.stem))])
        assert writer.overlay_path(Input(path, Path(path.stem))) == tmp_path / overlay


def test_the_next_run_leaves_nothing_of_the_last_one_and_nothing_else_is_touched(tmp_path):
    out, source = tmp_path / "out", Input(tmp_path / "x.jpg", Path("x"), "x.jpg")
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    for boxes, names in (
        ([[3, 4, 20, 30], [30, 5, 50, 20]], ["x_00_cat.png", "x_01_cat.png"]),
        ([[3, 4, 20, 30]], ["x_00_cat.png"]),
    ):
        writer = OutputWriter(out, ["masks"])
        writer.write(instances(boxes), source)
        writer.close()
        assert sorted(p.name for p in (out / "masks").iterdir()) == names
    assert (out / "notes.txt").read_text() == "mine"
    # What the last run wrote is the input of this one.
    mask = out / "masks/x_00_cat.png"
    OutputWriter(out, ["json"], inputs=[Input(mask, Path("mask"))])
    assert mask.exists()


def test_links_in_the_output_are_replaced_or_refused(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.json").write_text("precious")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/coco_results.json").symlink_to(outside / "precious.json")
    (tmp_path / "out/masks").symlink_to(outside)
    writer = OutputWriter(tmp_path / "out", ["json", "masks"])
    with pytest.raises(ValueError, match="leads out of"):
        writer.write(instances([[3, 4, 20, 30]]), Input(tmp_path / "x", Path("x"), "x"))
    writer.close()
    assert (outside / "precious.json").read_text() == "precious"
    assert sorted(p.name for p in outside.iterdir()) == ["precious.json"]
    assert len(json.loads((tmp_path / "out/coco_results.json").read_text())) == 1


def test_links_keep_their_names_and_circles_end(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("store", "photos/a", "photos/b"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "store/3f9a").write_text("x")
    for name in ("a/cat.jpg", "b/cat.jpg", "dog.jpg"):
        (tmp_path / "photos" / name).symlink_to(tmp_path / "store/3f9a")
    (tmp_path / "photos/a/circle").symlink_to(tmp_path / "photos")
    expected = ["a/cat.jpg", "b/cat.jpg", "dog.jpg"]
    assert sorted(x.file_name for x in find_inputs(["photos"]).inputs) == expected
    for pattern in ("photos/**/*.jpg", str(tmp_path / "photos/**/*.jpg")):
        found = find_inputs([pattern]).inputs
        assert len(found) == 3
        assert {x.path.name for x in found} == {"cat.jpg", "dog.jpg"}
    two = find_inputs(["photos/a/cat.jpg", "photos/b/cat.jpg"]).inputs
    assert [(str(x.name), x.file_name) for x in two] == [
        ("cat", "photos/a/cat.jpg"),
        ("cat_2", "photos/b/cat.jpg"),
    ]
    assert all(x.path.is_symlink() for x in two)


def test_names_cannot_speak_to_the_terminal(tmp_path):
    assert escaped("a\x1b[2Jb\nc ä") == "a\\x1b[2Jb\\nc ä"
    (tmp_path / "red\x1b[31m.raw").write_text("x")
    (tmp_path / "a.jpg").write_text("x")
    (note,) = find_inputs([str(tmp_path)]).notes
    assert "\x1b" not in note
    assert "red" in note


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
