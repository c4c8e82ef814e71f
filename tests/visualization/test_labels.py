"""Label plates: inside the image, beside the object, never over each other."""

import numpy as np
import pytest

from pointrend_ext.visualization.labels import Plate, ascii_text, place_inside, place_label
from pointrend_ext.visualization.raster import text_width
from pointrend_ext.visualization.shapes import shape_of

EVERYWHERE = np.ones((200, 300), bool)


def place(mask, text="zebra", occupied=None, placed=()):
    occupied = mask if occupied is None else occupied
    return place_label(text, shape_of(mask[None], 0), occupied, placed, cap_height_px=8.0)


def rectangle(top, left, bottom, right, shape=(200, 300)):
    mask = np.zeros(shape, bool)
    mask[top:bottom, left:right] = True
    return mask


MIDDLE = rectangle(80, 100, 150, 200)


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
    plate = place(MIDDLE)
    assert 0 <= 80 - (plate.y + plate.height) <= plate.height / 2
    assert 100 <= plate.x + plate.width / 2 <= 200
    inside = place(EVERYWHERE)  # where nothing else is left
    assert inside.y + inside.height <= 200


def test_other_objects_are_avoided_but_covered_rather_than_its_own():
    occupied = MIDDLE | rectangle(40, 60, 80, 240)
    assert covered(place(MIDDLE, occupied=occupied), occupied) == 0
    plate = place(rectangle(40, 60, 110, 160), occupied=EVERYWHERE)
    assert plate.y + plate.height <= 40
    assert 60 <= plate.x + plate.width / 2 <= 160


def test_close_is_better_than_wholly_free():
    stripe = rectangle(0, 225, 200, 228) | rectangle(0, 72, 200, 75)  # crosses both sides
    above, below = Plate("x", 0, 60, 300, 20, 8.0), Plate("x", 0, 150, 300, 20, 8.0)
    plate = place(MIDDLE, occupied=MIDDLE | stripe, placed=[above, below])
    assert 80 <= plate.y < 150
    assert covered(plate, MIDDLE) == 0
    assert covered(plate, stripe) > 0


def test_plates_do_not_overlap():
    placed = []
    for _ in range(6):
        placed.append(place(MIDDLE, placed=placed))
    for i, plate in enumerate(placed):
        assert not any(plate.overlaps(other) for other in placed[:i])


def test_no_place_no_label():
    assert place(MIDDLE, placed=[Plate("x", 0, 0, 300, 200, 8.0)]) is None
    assert place(MIDDLE, text=" ") is None
    assert place(MIDDLE & False) is None
    small = rectangle(95, 140, 105, 150)  # its label would hide others
    assert place(small, text="wine glass", occupied=EVERYWHERE) is None
    assert place(small, text="wine glass") is not None


def test_text_shrinks_to_a_narrow_image_and_for_small_objects():
    plate = place(rectangle(20, 5, 60, 20, shape=(100, 24)), text="a very long name")
    assert plate.x == 0
    assert plate.width == 24
    assert text_width("a very long name", plate.cap_height_px) <= 24
    assert place(rectangle(50, 50, 150, 250)).cap_height_px == 8.0
    assert place(rectangle(90, 90, 100, 100)).cap_height_px == 6.0


def test_place_inside_takes_the_middle():
    mask = rectangle(10, 20, 70, 100, shape=(80, 120))
    plate = place_inside("x", mask, [], cap_height_px=8)
    assert abs(plate.y + plate.height / 2 - 40) <= 1
    assert plate.x >= 20
    assert plate.x + plate.width <= 100
    for text, region, placed in (("x", mask, [plate]), (" ", mask, []), ("x", mask & False, [])):
        assert place_inside(text, region, placed, cap_height_px=8) is None


def test_ascii_text():
    assert ascii_text("café ñu") == "cafe nu"
    assert ascii_text("犬 dog") == "? dog"
