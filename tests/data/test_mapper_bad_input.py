"""The mapper on bad data: the file is named, what is dropped is counted and logged once."""

import logging

import numpy as np
import pytest
import torch
from detectron2.structures import BoxMode

from pointrend_ext.data import DropCounter, build_mapper
from pointrend_ext.data.coco import causes
from tests.data.builders import square, target, without

NAN = float("nan")


def run(cfg, record, *annotations):
    mapper = build_mapper(cfg, is_train=True)
    record["annotations"] = [*annotations, target(category_id=1)]  # a good one comes last
    instances = mapper(record)["instances"]
    assert instances.gt_classes.tolist()[-1:] == [1]
    return instances, mapper.drops.counts()


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"bbox": [70, 5, 20, 20]}, causes.BOX_OUTSIDE),
        ({"bbox": [10, 5, NAN, 20]}, causes.BAD_BOX),
        ({"bbox": [0.2, 0.1, 0.3, 0.5]}, causes.SHARES),
        ({"bbox": None, "segmentation": None}, causes.NOWHERE),
        ({"segmentation": []}, causes.NO_MASK),
        ({"segmentation": None}, causes.NO_MASK),
        ({"segmentation": [[10, 5, 10, 5, 10, 5]]}, causes.NO_MASK),
        ({"segmentation": {"size": [40, 60], "counts": [2400]}}, causes.NO_MASK),
        (
            {"iscrowd": 1, "segmentation": {"size": [40, 60], "counts": [100, 2300]}},
            causes.CROWD,
        ),
        ({"iscrowd": 1, "segmentation": {"size": [40, 60], "counts": b"broken"}}, causes.CROWD),
    ],
)
def test_dropped_annotation_is_counted(cfg, record, changes, cause):
    instances, counts = run(cfg, record, target(**changes))
    assert len(instances) == 1
    assert counts == {cause: 1}


@pytest.mark.parametrize(
    "polygon", [[10, 5, 30, 25], [10, 5, 30, 5, 30], [10, 5, 30, 5, 30, 25, 10], []]
)
def test_bad_polygon(cfg, record, polygon):
    """Two points would be read as a box by pycocotools: they must not become a mask."""
    instances, counts = run(cfg, record, target(segmentation=[polygon]))
    assert len(instances) == 1
    assert counts == {causes.BAD_POLYGON: 1, causes.NO_MASK: 1}

    instances, counts = run(cfg, record, target(segmentation=[polygon, square()]))
    assert counts == {causes.BAD_POLYGON: 1}
    torch.testing.assert_close(instances.gt_masks.tensor[0], instances.gt_masks.tensor[1])


def test_box_partly_outside_is_clipped_and_counted(cfg, record):
    instances, counts = run(
        cfg, record, target(bbox=[50, 5, 20, 20], segmentation=[[50, 5, 70, 5, 70, 25, 50, 25]])
    )
    assert instances.gt_boxes.tensor[0].tolist() == [50, 5, 60, 25]
    assert instances.gt_masks.tensor[0].sum() == 200
    assert counts == {causes.BEYOND: 1}
    _, counts = run(cfg, record, target(bbox=[40.5, 5, 20, 20]))  # COCO's own rounding
    assert counts == {}


@pytest.mark.parametrize(
    "annotations", [[], [target(bbox=[70, 5, 20, 20]), target(segmentation=[[1, 2, 3, 4]])]]
)
def test_an_image_without_any_target(cfg, record, annotations):
    record["annotations"] = annotations
    instances = build_mapper(cfg, is_train=True)(record)["instances"]
    assert instances.gt_masks.tensor.shape == (0, 40, 60)
    assert instances.gt_boxes.tensor.shape == (0, 4)
    assert instances.gt_classes.shape == (0,)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        # What else there is: coco/test_annotation.py.
        (target(segmentation=[[NAN] * 6]), "has a segmentation with nan where a finite number"),
        (target(iscrowd=2), "has iscrowd 2: write 0"),
        (target(bbox=["a", 5, 20, 1]), r"has bbox \['a', 5, 20, 1\], not 4"),
        (without(target(), "bbox_mode"), "has no 'bbox_mode'"),
        (target(bbox_mode=BoxMode.XYWHA_ABS), "which is neither XYXY_ABS nor XYWH_ABS"),
    ],
)
def test_corrupt_annotation_names_the_file(cfg, record, bad, message):
    with pytest.raises(ValueError, match=rf"Annotation 0 .*one\.jpg' cannot be used: .*{message}"):
        run(cfg, record, bad)


def test_each_cause_is_logged_once(cfg, record, caplog):
    mapper = build_mapper(cfg, is_train=True)
    record["annotations"] = [target(bbox=[70, 5, 20, 20]), target(bbox=[80, 5, 2, 2])]
    with caplog.at_level(logging.INFO, logger="pointrend_ext.data.drops"):
        for _ in range(3):
            mapper(record)
        lines = [r.getMessage() for r in caplog.records]
        assert len(lines) == 1
        assert "one.jpg" in lines[0]
        assert "[70, 5, 20, 20]" in lines[0]
        mapper.drops.log_total()
    assert "6 left out: objects whose box lies outside the image" in caplog.messages[-1]


def test_counter_adds_over_workers(monkeypatch):
    counter = DropCounter()
    counter.add(causes.CROWD, "a.jpg")
    worker = type("Info", (), {"id": 2})()
    monkeypatch.setattr("pointrend_ext.data.drops.get_worker_info", lambda: worker)
    counter.add(causes.CROWD, "b.jpg")
    counter.add(causes.BAD_BOX, "b.jpg")
    assert counter.counts() == {causes.CROWD: 2, causes.BAD_BOX: 1}


def test_counter_without_cases_logs_nothing(caplog):
    with caplog.at_level(logging.INFO):
        DropCounter().log_total()
    assert not caplog.records


def test_float_types_of_numpy_are_taken(cfg, record):
    box = np.array([10, 5, 30, 25], dtype=np.float32)
    polygon = np.array(square(), dtype=np.int32)
    instances, counts = run(
        cfg, record, target(bbox=box, bbox_mode=BoxMode.XYXY_ABS, segmentation=[polygon])
    )
    assert counts == {}
    torch.testing.assert_close(instances.gt_boxes.tensor[0], instances.gt_boxes.tensor[1])
