"""The summary of a data set: counts, and problems with file names."""

import json

import numpy as np
import pytest
import torch
from detectron2.structures import BitMasks, Boxes, Instances, PolygonMasks

from pointrend_ext.data.summary import summarize_dataset
from pointrend_ext.engine import load_cfg
from pointrend_ext.engine.classes import Classes
from pointrend_ext.inspection.sample_pictures import draw_sample
from pointrend_ext.structures import CroppedMasks
from tests.data.builders import annotation, square, write_image


def boxed(image_id, *box):
    x, y, width, height = box
    polygon = square(x, y, x + width, y + height)
    return annotation(image_id, category_id=5, bbox=list(box), segmentation=[polygon])


def test_counts_and_problems(coco):
    """Four images: good, without objects, broken, of another size than stated."""
    boxes = [(1, 10, 10, 20, 20), (1, 5, 5, 50, 35), (1, 0, 0, 0, 10), (3, 1, 1, 8, 8)]
    boxes.append((4, 1, 1, 8, 8))
    categories = [{"id": 5, "name": "cat"}, {"id": 9, "name": "dog"}]
    data = coco([boxed(*box) for box in boxes], num_images=4, categories=categories)
    data.content["images"][1].update(height=100, width=50)
    data.json_file.write_text(json.dumps(data.content))
    write_image(data.images / "2.jpg", 100, 50)
    broken = (data.images / "3.jpg").read_bytes()
    (data.images / "3.jpg").write_bytes(broken[: len(broken) // 2])
    write_image(data.images / "4.jpg", 30, 30)
    cfg = load_cfg("Toy/pointrend_rcnn_toy.yaml", ["MODEL.ROI_HEADS.NUM_CLASSES", 2])
    summary = summarize_dataset(cfg, data.name)
    assert (summary.num_images, summary.num_empty, summary.num_read) == (4, 1, 4)
    assert summary.objects == {"cat": 4, "dog": 0}  # one has no width
    assert summary.object_sizes == (3, 1, 0)
    np.testing.assert_array_equal(summary.sizes_hw[1], [100, 50])
    found = {name: [p for p in summary.problems if f"{name}.jpg" in p] for name in "1234"}
    assert {name: len(texts) for name, texts in found.items()} == {"1": 0, "2": 0, "3": 1, "4": 1}
    assert any("1 of 5 (20.0%) left out: objects whose box" in p for p in summary.problems)
    assert "truncated" in found["3"][0]
    assert any("no object of the classes dog" in p for p in summary.problems)
    text = summary.text(max_problems=2)
    assert "height 40 to 100 (median 40), width 50 to 60 (median 60)" in text
    assert "... and 2 more" in text
    few = summarize_dataset(cfg, data.name, max_read=2)  # the first and the last
    assert few.num_read == 2
    assert [p for p in few.problems if "3.jpg: it seems damaged (Corrupt JPEG data: premature" in p]


def sample(masks):
    image = torch.full((3, 40, 60), 90, dtype=torch.uint8)
    image[0] = 30  # blue comes first
    boxes, classes = Boxes(torch.tensor([[10.0, 10, 30, 30]])), torch.tensor([1])
    instances = Instances((40, 60), gt_boxes=boxes, gt_classes=classes, gt_masks=masks)
    return {"image": image, "instances": instances}


@pytest.mark.parametrize("kind", [PolygonMasks, BitMasks, CroppedMasks])
def test_points_are_green_inside_the_mask(kind):
    mask = torch.zeros(1, 40, 60, dtype=torch.bool)
    mask[0, 10:30, 10:20] = True  # the left half of the box
    polygons = PolygonMasks([[np.array([10.0, 10, 20, 10, 20, 30, 10, 30])]])
    cfg = load_cfg("Toy/pointrend_rcnn_toy.yaml")
    picture = draw_sample(
        sample(polygons if kind is PolygonMasks else kind(mask)),
        cfg,
        Classes(things=("a", "b")),
        generator=torch.Generator().manual_seed(0),
    )
    assert picture.shape[1] == 3 * 60 + 2 * 6
    rows = picture[-40:]
    assert rows[0, 0].tolist() == [90, 90, 30]  # RGB
    points = rows[:, 132:].astype(int)
    drawn = (points != [90, 90, 30]).any(axis=2)
    assert drawn.sum() > 100
    assert not drawn[:8].any()
    assert not drawn[:, 33:].any()
    green = drawn & (points[..., 1] > points[..., 0] + 60)
    red = drawn & (points[..., 0] > points[..., 1] + 60)
    assert green[12:28, 12:18].sum() > 40
    assert green[:, 23:].sum() == 0
    assert red[12:28, 22:28].sum() > 40
    assert red[:, :17].sum() == 0
    objects = rows[:, 66:126].astype(int)
    filled = (objects != [90, 90, 30]).any(axis=2)
    assert filled[12:28, 11:19].all()
    assert not filled[:, 22:27].any(axis=1)[12:28].any()


def test_objects_without_masks_are_drawn_too():
    item = sample(BitMasks(torch.zeros(1, 40, 60)))
    expected = draw_sample(item, load_cfg(), Classes(), generator=torch.Generator().manual_seed(0))
    item["instances"].remove("gt_masks")
    got = draw_sample(item, load_cfg(), Classes(), generator=torch.Generator().manual_seed(0))
    np.testing.assert_array_equal(got, expected)


def test_label_maps_and_empty_images():
    cfg = load_cfg("Toy/pointrend_rcnn_toy.yaml")
    empty = sample(BitMasks(torch.zeros(1, 40, 60)))
    empty["instances"] = empty["instances"][torch.zeros(1, dtype=torch.bool)]
    labels = torch.zeros(40, 60, dtype=torch.int64)
    labels[:20] = 255
    empty["sem_seg"] = labels
    info = Classes(stuff=("sky", "sea"), stuff_colors=((200, 0, 0), (0, 0, 200)))
    rows = draw_sample(empty, cfg, info)[-40:, -60:]
    assert rows[5, 5].tolist() == [90, 90, 30]  # ignored
    assert rows[39, 0].tolist() == [145, 45, 15]


@pytest.mark.parametrize("missing", ["2.jpg", "4.jpg"])
def test_missing_images_are_listed_once(coco, cfg, missing):
    data = coco(num_images=4)
    (data.images / missing).unlink()
    summary = summarize_dataset(cfg, data.name, max_read=2)  # the first and the last
    assert summary.num_read == (1 if missing == "4.jpg" else 2)
    assert len(summary.problems) == 2
    assert "no object of the classes gear" in summary.problems
    assert any(
        f"image files is not there: '{data.images / missing}'" in p for p in summary.problems
    )
