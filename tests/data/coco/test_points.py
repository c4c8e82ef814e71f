"""Points of objects: what is kept, read in another form or refused, and drawing them of masks."""

import copy

import numpy as np
import pycocotools.mask as mask_util
import pytest

from pointrend_ext.data.coco import causes, check_annotation
from pointrend_ext.data.coco.points import draw_points
from tests.data.builders import annotation, square

SIZE_HW = (40, 60)


def checked(coords, labels):
    entry = annotation(point_coords=coords, point_labels=labels)
    found, again = [], []
    assert check_annotation(entry, SIZE_HW, found.append)
    before = copy.deepcopy(entry)
    assert check_annotation(entry, SIZE_HW, again.append)
    assert entry == before  # nothing changes a second time
    assert not {cause for cause in again if cause.kind.value == "changed"}
    return entry["point_coords"], entry["point_labels"], found


@pytest.mark.parametrize(
    ("coords", "labels"),
    [
        ([[12.5, 6.25], [29, 24.5], [10.0, 5.5]], [1, 0, -1]),
        ([[9.5, 25.5]], [1]),  # of a pixel that the box only touches
    ],
)
def test_what_is_right_stays_as_it_is(coords, labels):
    assert checked(coords, labels) == (coords, labels, [])


def test_whole_numbers_are_pixels():
    """As Detectron2's tool writes them; one fraction shows that they are not."""
    coords, labels, found = checked([[12, 6], [29, 24.0]], [True, 0.0])
    assert (coords, labels) == ([[12.5, 6.5], [29.5, 24.5]], [1, 0])
    assert [type(label) for label in labels] == [int, int]
    assert found == [causes.POINTS_OF_PIXELS]
    assert checked([[12, 6], [29, 24.25]], [1, 0]) == ([[12, 6], [29, 24.25]], [1, 0], [])


def test_points_outside_the_image_are_not_known():
    coords, labels, found = checked([[60.5, 6.5], [12.5, 41.0], [12.5, 6.5]], [0, 1, 1])
    assert labels == [-1, -1, 1]
    assert coords == [[60.5, 6.5], [12.5, 41.0], [12.5, 6.5]]
    assert found == [causes.POINT_OUTSIDE]


def test_points_outside_their_box_and_objects_without_points_are_noted():
    assert checked([[32.0, 6.5], [12.5, 6.5]], [0, 1])[2] == [causes.POINT_OUTSIDE_BOX]
    assert checked([], []) == ([], [], [causes.NO_POINT])
    assert checked([[12.5, 6.5]], [-1])[2] == [causes.NO_POINT]


@pytest.mark.parametrize(
    ("coords", "labels", "message"),
    [
        ([[1.5, 2.5]], [1, 0], "write a list of"),
        ([[1.5, 2.5]], None, "write a list of"),
        (None, [1], "write a list of"),
        ("[[1, 2]]", [1], "write a list of"),
        ([1.5, 2.5], [1, 0], "has the point 1.5, not"),
        ([[1.5, 2.5, 1]], [1], r"has the point \[1.5, 2.5, 1\], not"),
        ([["1", 2.5]], [1], "not .x, y. in pixels"),
        ([[1.5, float("nan")]], [1], "has the point"),
        ([[1.5, float("inf")]], [1], "has the point"),
        ([[True, 2.5]], [1], "has the point"),
        ([[1.5, 2.5]], [2], "has the point label 2: write 1 for"),
        ([[1.5, 2.5]], [0.5], "has the point label 0.5"),
        ([[1.5, 2.5]], ["1"], "has the point label '1'"),
        ([[1.5, 2.5]], [None], "has the point label None"),
        ([[1.5, 2.5]], [[1]], r"has the point label \[1\]"),
        ([[1.5, 2.5]], [float("nan")], "has the point label nan"),
    ],
)
def test_what_cannot_be_read_for_certain_is_refused(coords, labels, message):
    entry = annotation(point_coords=coords, point_labels=labels)
    with pytest.raises(ValueError, match=message):
        check_annotation(entry, SIZE_HW, lambda cause: None)


def test_one_list_without_the_other_is_refused():
    for key in ("point_coords", "point_labels"):
        with pytest.raises(ValueError, match="or neither"):
            check_annotation(annotation(**{key: []}), SIZE_HW, lambda cause: None)


SQUARE = np.zeros(SIZE_HW, dtype=np.uint8)
SQUARE[5:25, 10:20] = 1  # the left half of the box


@pytest.mark.parametrize(
    "mask", [[square(10, 5, 20, 25)], mask_util.encode(np.asfortranarray(SQUARE))]
)
def test_drawn_points_are_uniform_in_the_box_with_the_labels_of_their_pixels(mask):
    entry = annotation(segmentation=mask)
    drawn = draw_points(entry, SIZE_HW, 2000, np.random.default_rng(3))
    points, labels = np.array(drawn["point_coords"]), np.array(drawn["point_labels"])
    assert (points % 1 == 0.5).all()
    cells = np.floor(points).astype(int)
    assert (labels == SQUARE[cells[:, 1], cells[:, 0]]).all()
    assert cells.min(0).tolist() == [10, 5]
    assert cells.max(0).tolist() == [29, 24]
    assert abs(labels.mean() - 0.5) < 0.04  # half of the box
    counts = np.unique(cells, axis=0, return_counts=True)[1]
    assert counts.max() <= 20  # 5 per pixel on average
    assert draw_points(entry, SIZE_HW, 2000, np.random.default_rng(3)) == drawn
    assert draw_points(entry, SIZE_HW, 2000, np.random.default_rng(4)) != drawn
    found = []
    check_annotation({**entry, **drawn}, SIZE_HW, found.append)
    assert not set(found) & causes.OF_POINTS


@pytest.mark.parametrize("bbox", [[-9, -9, 100, 80], [59.6, 39.7, 0.2, 0.2]])
def test_points_of_boxes_beyond_the_image_and_below_a_pixel_lie_in_the_image(bbox):
    entry = annotation(bbox=bbox)
    coords = np.array(draw_points(entry, SIZE_HW, 50, np.random.default_rng(0))["point_coords"])
    assert coords.min() >= 0.5
    assert (coords.max(0) <= [59.5, 39.5]).all()
