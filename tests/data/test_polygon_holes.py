"""Holes that are written as polygons."""

import json

import pytest

from pointrend_ext.data.polygon_holes import has_polygon_inside
from tests.data.builders import square
from tests.data.exports.table import content_of

U_SHAPE = [0, 0, 30, 0, 30, 30, 20, 30, 20, 10, 10, 10, 10, 30, 0, 30]  # open below
INSIDE_U = square(12, 15, 18, 25)  # within its bounds, not within it


@pytest.mark.parametrize(
    ("polygons", "is_hole"),
    [
        ([], False),
        ([square()], False),
        ([square(0, 0, 20, 20), square(5, 5, 10, 10)], True),
        ([square(5, 5, 10, 10), square(0, 0, 20, 20)], True),
        ([square(0, 0, 20, 20), square(30, 0, 40, 9), square(31, 1, 39, 8)], True),
        ([square(0, 0, 20, 20), square(30, 5, 40, 9)], False),  # two parts
        ([square(0, 0, 20, 20), square(10, 10, 30, 30)], False),  # they overlap
        ([square(), square()], False),  # twice the same
        ([U_SHAPE, INSIDE_U], False),
        ([U_SHAPE, square(2, 2, 8, 28)], True),
    ],
)
def test_polygons_within_others(polygons, is_hole):
    assert has_polygon_inside(polygons) is is_hole


@pytest.mark.parametrize("tool", ["fiftyone_detections", "imantics"])
def test_holes_of_real_tools(tool):
    masks = [a["segmentation"] for a in content_of(tool)["annotations"]]
    assert [has_polygon_inside([p for p in m if len(p) > 5]) for m in masks] == [True] + [False] * 6


@pytest.mark.real_data
def test_coco_has_next_to_none(real_data):
    content = json.loads((real_data / "coco/annotations/instances_val2017.json").read_text())
    masks = [a["segmentation"] for a in content["annotations"] if not a["iscrowd"]]
    assert sum(map(has_polygon_inside, masks)) == 1  # of 861: annotation 57620
