"""Overlays, pixel by pixel."""

import cv2
import numpy as np
import pytest

from pointrend_ext.visualization import distinct_colors, draw_instances
from pointrend_ext.visualization.shapes import window_of

COLORS = np.array([[240, 30, 60], [20, 200, 90]], np.uint8)


def boundary_distance(mask):
    """Distance of every pixel centre from the nearest pixel on either side of the boundary."""
    padded = np.pad(mask, 1).astype(np.uint8)
    inner = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    outer = cv2.distanceTransform(1 - padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return (inner + outer)[1:-1, 1:-1] - 0.5


@pytest.mark.parametrize("contour_px", [1.5, 3.0, 5.0])
def test_contour_lies_on_the_boundary(image, two_masks, contour_px):
    plain, got = (
        draw_instances(image, masks=two_masks, colors=COLORS, contour_px=width)
        for width in (0, contour_px)
    )
    changed = (got != plain).any(axis=-1)
    distance = np.minimum(*(boundary_distance(mask) for mask in two_masks))
    # Half the width, half a pixel for a pixel that is touched at its rim (diagonally more), and
    # the midline's own distance from the pixel edges.
    assert distance[changed].max() <= contour_px / 2 + 0.71 + 0.36
    ring = boundary_distance(two_masks[0]) <= contour_px / 2 - 0.75
    assert (got[ring] == COLORS[0]).all()


def test_nothing_is_changed_in_place_and_calls_agree(image, two_masks):
    before = image.copy(), two_masks.copy()
    calls = [draw_instances(image, masks=two_masks, labels=["a ring", "box"]) for _ in range(2)]
    np.testing.assert_array_equal(*calls)
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(two_masks, before[1])
    assert not np.shares_memory(calls[0], image)


@pytest.mark.parametrize("masks", [np.zeros((0, 90, 140), bool), [], np.zeros((2, 90, 140), bool)])
def test_nothing_to_draw_returns_a_copy(image, masks):
    got = draw_instances(image, masks=masks, labels=["x"] * len(masks))
    assert not np.shares_memory(got, image)
    np.testing.assert_array_equal(got, image)


BLACK = np.zeros((90, 140, 3), np.uint8)


def test_pictures_by_hand(boxes):
    one_pixel = boxes((7, 11, 8, 12))
    got = draw_instances(BLACK, masks=one_pixel, colors=COLORS[:1], contour_px=1, alpha=1)
    assert got[7, 11].tolist() == COLORS[0].tolist()
    assert window_of(got.any(axis=-1)) == (6, 10, 9, 13)
    whole = boxes((0, 0, 90, 140))
    got = draw_instances(BLACK, masks=whole, colors=COLORS[:1], alpha=0.5, contour_px=4)
    for edge in (got[0, 2:-2], got[-1, 2:-2], got[2:-2, 0], got[2:-2, -1]):
        assert (edge == COLORS[0]).all()
    assert got[10, 15].tolist() == [120, 15, 30]
    border = boxes((30, 40, 90, 140), (20, 20, 90, 140))  # the small one is drawn above
    got = draw_instances(BLACK, masks=border, colors=COLORS, alpha=1, contour_px=0)
    np.testing.assert_array_equal(got[[89, 25], [139, 25]], COLORS)
    box, none = np.array([[10, 20, 50, 40.0]]), boxes((0, 0, 0, 0))  # a frame
    got = draw_instances(BLACK, masks=none, boxes_px=box, colors=COLORS[:1], contour_px=4)
    assert (got[[30, 20], [10, 30]] == COLORS[0]).all()
    assert (got[30, [30, 7]] == 0).all()


def test_default_colors_and_label_plate_color(boxes):
    image, masks = np.zeros((200, 300, 3), np.uint8), boxes((100, 100, 150, 200), shape=(200, 300))
    got, bare = (draw_instances(image, masks=masks, labels=labels) for labels in (["thing"], None))
    plate = got[80:97].reshape(-1, 3)
    assert (plate == distinct_colors(1)[0]).all(axis=-1).sum() > 100
    assert not (got != bare).any(axis=-1)[masks[0]].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"masks": np.zeros((2, 90, 139), bool)}, r"\(90, 139\).*90 x 140"),
        ({"masks": np.zeros((90, 140), bool)}, r"\(140,\).*90 x 140"),
        ({"boxes_px": np.zeros((3, 4))}, "'masks': 2, 'boxes_px': 3"),
        ({"colors": np.zeros((1, 3))}, "'masks': 2, 'colors': 1"),
        ({"labels": ["a"]}, "'masks': 2, 'labels': 1"),
        ({"alpha": 1.5}, "alpha is 1.5"),
        ({"image_rgb": np.zeros((90, 140), np.uint8)}, r"\(90, 140\).*\(H, W, 3\)"),
        ({"image_rgb": np.zeros((90, 140, 3), np.float32)}, "float32"),
    ],
)
def test_mistakes_are_named(image, two_masks, change, message):
    arguments = {"image_rgb": image, "masks": two_masks, **change}
    with pytest.raises(ValueError, match=message):
        draw_instances(arguments.pop("image_rgb"), **arguments)
