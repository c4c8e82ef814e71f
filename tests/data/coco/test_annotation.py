"""One annotation: what is kept as it is, what is read in another form, left out or refused."""

import copy
import json

import numpy as np
import pycocotools.mask as mask_util
import pytest

from pointrend_ext.data.coco import causes, check_annotation
from pointrend_ext.data.coco.annotation import check_area
from tests.data.builders import annotation, square, without

SIZE_HW = (40, 60)
POINTS = [[10, 5], [30, 5], [30, 25], [10, 25]]
RUNS = [10 * 40 + 5, *[20, 20] * 19, 20, 29 * 40 + 15]  # the square of the builders
RUNS[-1] = 2400 - sum(RUNS[:-1])


def check(entry, **options):
    """Return the checked copy, whether it is kept, and what was found, most often nothing."""
    checked, found = copy.deepcopy(entry), []
    is_kept = check_annotation(checked, SIZE_HW, found.append, **options)
    return checked, is_kept, found


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"iscrowd": 1},
        {"segmentation": [square(), [1.5, 2, 3, 4, 5, 6.25]]},
        {"bbox": [9.5, 4, 21, 22.5]},
        {"bbox": [9, 5, 51.9, 35.5], "segmentation": [square(9, 5, 60.9, 40.5)]},
    ],
)
def test_what_is_right_stays_as_it_is(changes):
    entry = annotation(**changes)
    checked, is_kept, found = check(entry)
    assert is_kept
    assert checked == entry
    assert set(found) <= {causes.CROWD, causes.UNLIKE_MASK}


@pytest.mark.parametrize(
    ("changes", "cause", "expected"),
    [
        ({"segmentation": square()}, causes.FLAT, {"segmentation": [square()]}),
        ({"segmentation": POINTS}, causes.POINTS, {"segmentation": [square()]}),
        ({"segmentation": [POINTS]}, causes.POINTS, {"segmentation": [square()]}),
        ({"segmentation": [[square()]]}, causes.NESTED, {"segmentation": [square()]}),
        ({"segmentation": [square(), [1, 2, 3]]}, causes.BAD_POLYGON, {"segmentation": [square()]}),
        ({"bbox": None}, causes.BOX_FROM_MASK, {"bbox": [10, 5, 20, 20]}),
        ({"iscrowd": None}, causes.CROWD_FLAG, {"iscrowd": 0}),
        ({"iscrowd": False}, causes.CROWD_FLAG, {"iscrowd": 0}),
        ({"iscrowd": 0.0}, causes.CROWD_FLAG, {"iscrowd": 0}),
        ({"iscrowd": "0"}, causes.CROWD_FLAG, {"iscrowd": 0}),
        ({"segmentation": []}, causes.NO_MASK, {}),
        ({"segmentation": None}, causes.NO_MASK, {}),
        ({"segmentation": {}}, causes.NO_MASK, {}),
        ({"segmentation": [square(10, 5, 10, 25)]}, causes.NO_MASK, {"segmentation": None}),
        ({"segmentation": [square(61, 5, 70, 25)]}, causes.NO_MASK, {"segmentation": None}),
        (
            {"segmentation": {"size": [40, 60], "counts": [2400]}},
            causes.NO_MASK,
            {"segmentation": None},
        ),
        ({"bbox": [50, 5, 20, 20], "segmentation": [square(50, 5, 70, 25)]}, causes.BEYOND, {}),
        ({"bbox": [10, 5, 20, 23]}, causes.UNLIKE_MASK, {}),
        ({"bbox": [10, 5, 22.1, 20]}, None, {}),
    ],
)
def test_what_is_read_and_counted(changes, cause, expected):
    entry = annotation(**changes)
    checked, is_kept, found = check(entry)
    assert is_kept
    assert found == ([cause] if cause else [])
    assert checked == {**entry, **expected}
    again, is_kept, found = check(checked)  # nothing is done twice
    assert is_kept
    assert again == checked
    assert set(found) <= {causes.NO_MASK, causes.BEYOND, causes.UNLIKE_MASK}


@pytest.mark.parametrize("value", [1, True, "1", "true", 1.0])
def test_crowds_in_other_words(value):
    checked, is_kept, found = check(annotation(iscrowd=value))
    assert (checked["iscrowd"], is_kept) == (1, True)
    assert found[-1] is causes.CROWD


def test_without_keys():
    assert check(without(annotation(), "iscrowd"))[1:] == (True, [])
    checked, is_kept, found = check(without(annotation(), "segmentation"))
    assert (is_kept, found) == (True, [causes.NO_MASK])
    checked, is_kept, found = check(without(annotation(), "bbox"))
    assert (checked["bbox"], found) == ([10, 5, 20, 20], [causes.BOX_FROM_MASK])
    assert check(without(annotation(), "bbox", "segmentation"))[1:] == (False, [causes.NOWHERE])


def test_run_lengths_are_compressed_and_compared_with_the_box():
    entry = annotation(segmentation={"size": [40, 60], "counts": RUNS})
    checked, is_kept, found = check(entry)
    assert (is_kept, found) == (True, [])
    expected = np.zeros(SIZE_HW, np.uint8)
    expected[5:25, 10:30] = 1
    np.testing.assert_array_equal(mask_util.decode(checked["segmentation"]), expected)
    assert check({**entry, "bbox": [5, 10, 20, 20]})[2] == [causes.UNLIKE_MASK]


def test_corners():
    entry = annotation(bbox=[10, 5, 30, 25])
    assert check(entry, corners=True) == (entry, True, [])
    assert check(entry)[2] == [causes.UNLIKE_MASK]
    assert check({**entry, "bbox": None}, corners=True)[0]["bbox"] == [10, 5, 30, 25]


@pytest.mark.parametrize(
    ("box", "cause"),
    [
        ([10, 5, 0, 20], causes.BAD_BOX),
        ([10, 5, 20, -1], causes.BAD_BOX),
        ([30, 25, -20, -20], causes.BAD_BOX),
        ([float("nan"), 5, 20, 20], causes.BAD_BOX),
        ([10, 5, float("inf"), 20], causes.BAD_BOX),
        ([60, 5, 20, 20], causes.BOX_OUTSIDE),
        ([10, -20, 20, 20], causes.BOX_OUTSIDE),
        ([10, 40, 20, 20], causes.BOX_OUTSIDE),
        ([0.2, 0.1, 0.8, 0.9], causes.SHARES),
    ],
)
def test_boxes_that_are_left_out(box, cause):
    assert check(annotation(bbox=box))[1:] == (False, [cause])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"iscrowd": 2}, "has iscrowd 2: write 0 for an object, 1 for a crowd"),
        ({"iscrowd": "yes"}, "has iscrowd 'yes'"),
        ({"iscrowd": [0]}, r"has iscrowd \[0\]"),
        ({"ignore": 1}, "has 'ignore' set"),
        ({"bbox": [1, 2, 3]}, r"has bbox \[1, 2, 3\], not 4 numbers"),
        ({"bbox": [10, 5, 20, 20, 0]}, "has bbox .*, not 4"),
        ({"bbox": "1 2 3 4"}, "has bbox '1 2 3 4', not 4"),
        ({"bbox": [1, 2, "3", 4]}, "has bbox .*, not 4"),
        ({"bbox": [1, 2, True, 4]}, "has bbox .*, not 4"),
        ({"bbox": {"x": 1}}, "has bbox .*, not 4"),
        ({"segmentation": "[[1, 2]]"}, "neither a list of polygons"),
        ({"segmentation": 5}, "neither a list of polygons"),
        ({"segmentation": [[1, 2, "3", 4, 5, 6]]}, "with '3' where a finite number is due"),
        ({"segmentation": [[1, 2, None, 4, 5, 6]]}, "with None where"),
        ({"segmentation": [[1, 2, True, 4, 5, 6]]}, "with True where"),
        ({"segmentation": [[1, 2, float("nan"), 4, 5, 6]]}, "with nan where"),
        ({"segmentation": [{"x": 1, "y": 2}] * 3}, "with {'x': 1, 'y': 2} where"),
        ({"segmentation": [square(), None]}, "with None where"),
        ({"segmentation": [square(10, 5, 121, 25)]}, "from x 10 to 121 .* 60 x 40 pixels"),
        ({"segmentation": [square(10, -41, 20, 25)]}, "y -41 to 25, further outside its image"),
        ({"segmentation": {"size": [60, 40], "counts": [2400]}}, "width and height are swapped"),
        ({"segmentation": {"size": [40, 60], "counts": [100, 200]}}, "add up to 300, not to the 2"),
        ({"segmentation": {"counts": [2400]}}, r"the keys \['counts'\], not 'size' and"),
    ],
)
def test_what_is_refused(changes, message):
    with pytest.raises(ValueError, match=f"^(has .*)?{message}"):
        check(annotation(**changes))


@pytest.mark.parametrize(
    ("area", "kept", "cause"),
    [
        (300.5, 300.5, None),
        (400, 400, None),
        (None, None, causes.NO_AREA),
        (0, None, causes.NO_AREA),
        (-3, None, causes.NO_AREA),
        ("300", None, causes.NO_AREA),
        (True, None, causes.NO_AREA),
        (float("nan"), None, causes.NO_AREA),
        (500, 500, causes.ODD_AREA),
        (0.12, 0.12, causes.ODD_AREA),
    ],
)
def test_area(area, kept, cause):
    entry, found = annotation(area=area), []
    check_area(entry, found.append)
    assert (entry["area"], found) == (kept, [cause] if cause else [])


def test_it_takes_what_json_writes():
    """No type of NumPy or of a user is left in a checked annotation."""
    json.dumps(check(annotation(segmentation=POINTS, bbox=None))[0])
