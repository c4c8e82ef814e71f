"""When an annotation is a polygon and when RLE, on scenes made by hand."""

import numpy as np
import pycocotools.mask as mask_util
import pytest

from pointrend_ext.data.toy.coco_format import instance_annotations
from pointrend_ext.data.toy.scene import Scene, StuffRegion, Texture, ToyObject, scene_maps

GREY = (0.5, 0.5, 0.5)
PLAIN = Texture("plain", GREY, GREY, 8.0, 0.0)


def square(x0, y0, side):
    return np.array([[x0, y0], [x0 + side, y0], [x0 + side, y0 + side], [x0, y0 + side]], float)


def annotate(*objects, size_hw=(60, 80)):
    background = StuffRegion("sand", (square(0, 0, 100),), GREY, GREY)
    scene = Scene("val", 0, size_hw, 0, (background,), objects)
    return instance_annotations(scene, scene_maps(scene))


def plate(*outlines, crowd=False):
    return ToyObject("plate", outlines, PLAIN, crowd)


def test_a_whole_shape_is_a_polygon_with_its_own_outline():
    (annotation,) = annotate(plate(square(10, 5, 40)))
    assert annotation["segmentation"] == [[10, 5, 50, 5, 50, 45, 10, 45]]
    assert annotation["bbox"] == [10, 5, 40, 40]
    assert annotation["area"] == 1600
    assert annotation["category_id"] == 12
    assert annotation["iscrowd"] == 0


def test_a_shape_up_to_the_border_is_still_a_polygon():
    (annotation,) = annotate(plate(square(20, 0, 60)))
    assert annotation["segmentation"] == [[20, 0, 80, 0, 80, 60, 20, 60]]


@pytest.mark.parametrize(
    ("item", "area"),
    [
        (plate(square(10, 5, 40), square(20, 20, 2)), 1596),  # the hole is below 3 %
        (plate(square(50, 5, 40)), 1200),  # right part outside the image
        (plate(square(10, -0.4, 40)), 1600),  # outline outside, no pixel lost
        (plate(square(10, 5, 40), crowd=True), 1600),
    ],
)
def test_holes_border_and_crowds_need_rle(item, area):
    (annotation,) = annotate(item)
    assert annotation["segmentation"]["size"] == [60, 80]
    assert mask_util.area(annotation["segmentation"]) == annotation["area"] == area


def test_occluded_shapes_need_rle_and_lose_the_covered_pixels():
    behind, front = annotate(plate(square(10, 5, 40)), plate(square(48, 43, 6)))
    assert behind["area"] == 1600 - 2 * 2
    assert mask_util.area(behind["segmentation"]) == behind["area"]
    assert isinstance(front["segmentation"], list)


def test_an_object_that_nothing_is_seen_of_has_no_annotation():
    annotations = annotate(plate(square(12, 12, 4)), plate(square(10, 5, 40)))
    assert [annotation["area"] for annotation in annotations] == [1600]
