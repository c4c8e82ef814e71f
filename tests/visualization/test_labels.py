"""Label plates: inside the image, beside the object, never over each other."""

from __future__ import annotations

import numpy as np
import pytest

from pointrend_ext.visualization.labels import Plate, ascii_text, place_label
from pointrend_ext.visualization.raster import text_width
from pointrend_ext.visualization.shapes import shape_of


def place(mask, text="zebra", occupied=None, placed=()):
    occupied = mask if occupied is None else occupied
    return place_label(text, shape_of(mask[None], 0), occupied, placed, cap_height_px=8.0)


def rectangle(top, left, bottom, right, shape=(200, 300)):
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


def covered(plate, mask):
    return mask[plate.y : plate.y + plate.height, plate.x : plate.x + plate.width].sum()


@pytest.mark.parametrize(
    "box",
    [
        (80, 100, 150, 200),
        (0, 0, 40, 60),
        (150, 240, 200, 300),
        (0, 100, 200, 180),
        (0, 0, 30, 300),
    ],
)
def test_plate_is_inside_and_leaves_the_object_free(box):
    mask = rectangle(*box)
    plate = place(mask)
    assert 0 <= plate.x <= 300 - plate.width
    assert 0 <= plate.y <= 200 - plate.height
    assert covered(plate, mask) == 0
    assert plate.width >= text_width("zebra", plate.cap_height_px)


def test_above_the_object_is_preferred_and_close():
    plate = place(rectangle(80, 100, 150, 200))
    assert 0 <= 80 - (plate.y + plate.height) <= plate.height / 2
    assert 100 <= plate.x + plate.width / 2 <= 200


def test_full_image_object_gets_its_label_inside():
    plate = place(np.ones((200, 300), bool))
    assert plate is not None
    assert plate.y + plate.height <= 200


def test_other_objects_are_avoided():
    mask = rectangle(80, 100, 150, 200)
    above = rectangle(40, 60, 80, 240)
    plate = place(mask, occupied=mask | above)
    assert covered(plate, mask | above) == 0


def test_in_a_crowd_others_are_covered_rather_than_the_object():
    plate = place(rectangle(40, 60, 110, 160), occupied=np.ones((200, 300), bool))
    assert plate.y + plate.height <= 40
    assert 60 <= plate.x + plate.width / 2 <= 160


def test_plates_do_not_overlap():
    mask = rectangle(80, 100, 150, 200)
    placed = []
    for _ in range(6):
        placed.append(place(mask, placed=placed))
    for i, plate in enumerate(placed):
        assert not any(plate.overlaps(other) for other in placed[:i])


def test_no_free_place_no_label():
    mask = rectangle(80, 100, 150, 200)
    assert place(mask, placed=[Plate("x", 0, 0, 300, 200, 8.0)]) is None


def test_small_object_among_others_gets_no_label_that_hides_them():
    mask = rectangle(95, 140, 105, 150)
    assert place(mask, text="wine glass", occupied=np.ones((200, 300), bool)) is None
    assert place(mask, text="wine glass") is not None


def test_empty_text_or_mask():
    assert place(rectangle(80, 100, 150, 200), text=" ") is None
    assert place(np.zeros((200, 300), bool)) is None


def test_text_shrinks_to_a_narrow_image():
    plate = place(rectangle(20, 5, 60, 20, shape=(100, 24)), text="a very long name")
    assert plate.x == 0
    assert plate.width == 24
    assert text_width("a very long name", plate.cap_height_px) <= 24


def test_small_objects_get_smaller_text():
    large = place(rectangle(50, 50, 150, 250))
    small = place(rectangle(90, 90, 100, 100))
    assert large.cap_height_px == 8.0
    assert small.cap_height_px == 6.0


def test_ascii_text():
    assert ascii_text("café ñu") == "cafe nu"
    assert ascii_text("犬 dog") == "? dog"


def test_close_is_better_than_wholly_free():
    mask = rectangle(80, 100, 150, 200)
    stripe = rectangle(0, 225, 200, 228) | rectangle(0, 72, 200, 75)  # crosses both sides
    above, below = Plate("x", 0, 60, 300, 20, 8.0), Plate("x", 0, 150, 300, 20, 8.0)
    plate = place(mask, occupied=mask | stripe, placed=[above, below])
    assert 80 <= plate.y < 150
    assert covered(plate, mask) == 0
    assert covered(plate, stripe) > 0
