"""Painted coverage against analytic areas and positions."""

import numpy as np
import pytest

from pointrend_ext.visualization import raster
from pointrend_ext.visualization.canvas import blend
from pointrend_ext.visualization.labels import Plate, paint_plate

WHITE = np.array([255, 255, 255], np.uint8)


def canvas(height=60, width=90):
    return np.zeros((height, width, 3), np.uint8)


def covered(picture):
    return picture[:, :, 0].astype(float) / 255


def circle(center, radius, count=400):
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([center[0] + radius * np.cos(angle), center[1] + radius * np.sin(angle)], 1)


@pytest.mark.parametrize("width_px", [1.0, 1.5, 2.0, 3.2, 6.0])
def test_stroke_lies_where_it_should_and_has_the_width_asked_for(width_px):
    picture = canvas()
    raster.paint_stroke(picture, [circle((44.3, 29.8), 20)], WHITE, width_px)
    y, x = np.mgrid[:60, :90] + 0.5
    radius, weight = np.hypot(x - 44.3, y - 29.8), covered(picture)
    assert weight.sum() / (2 * np.pi * 20) == pytest.approx(width_px, abs=0.13)
    assert (weight * radius).sum() / weight.sum() == pytest.approx(20 + width_px**2 / 240, abs=0.06)
    assert (weight * x).sum() / weight.sum() == pytest.approx(44.3, abs=0.06)
    assert weight[np.abs(radius - 20) > width_px / 2 + 1].max() == 0
    if width_px >= 2:
        assert weight[np.abs(radius - 20) < width_px / 2 - 0.8].min() > 0.95


def test_fill_covers_the_area_and_leaves_holes():
    picture = canvas()
    raster.paint_fill(picture, [circle((40, 30), 20), circle((40, 30), 8)[::-1]], WHITE, 1.0)
    weight = covered(picture)
    assert weight.sum() == pytest.approx(np.pi * (20**2 - 8**2), rel=0.02)
    assert weight[30, 40] == 0
    assert weight[30, 54] == 1


def test_drawing_beyond_the_canvas_is_cut_off():
    big, small, none = canvas(100, 120), canvas(40, 50), canvas()
    for picture in (big, small):
        raster.paint_stroke(picture, [circle((50, 40), 30)], WHITE, 3.0)
        raster.paint_text(picture, "HEHEHE", (-6.0, 12.0), 9.0, WHITE)
        raster.paint_text(picture, "HE", (30.0, 42.0), 9.0, WHITE)
    np.testing.assert_array_equal(big[:40, :50], small)
    assert small[4:11, :40].any()
    raster.paint_stroke(none, [circle((40, 30), 20)], WHITE, 0)
    raster.paint_fill(none, [], WHITE, 1.0)
    raster.paint_stroke(none, [circle((400, 30), 20)], WHITE, 3)  # beside the canvas
    assert none.max() == 0


def test_objects_of_many_pixels_are_drawn_on_a_coarser_grid(monkeypatch):
    long = [np.array([[100, 5], [19900, 5], [19900, 15], [100, 15.0]])]
    for most_cells in (2**26, 2**20):
        monkeypatch.setattr(raster, "_MOST_CELLS", most_cells)
        picture = canvas(20, 20000)
        raster.paint_stroke(picture, long, WHITE, 3.0)
        assert covered(picture)[:, 10000].sum() == pytest.approx(6, abs=0.3)
        assert picture[5, 10000, 0] == 255
        assert picture[10, 10000, 0] == 0


def test_blend_rounds_to_nearest():
    region = np.full((1, 1, 3), 100, np.uint8)
    blend(region, np.array([201, 0, 255], np.uint8), 0.25)
    assert region.ravel().tolist() == [125, 75, 139]  # 125.25, 75, 138.75


@pytest.mark.parametrize("cap", [8.0, 20.0])
def test_text_fills_its_width_and_height(cap):
    picture = canvas(80, 400)
    raster.paint_text(picture, "HEH", (20.0, 50.0), cap, WHITE)
    rows, columns = np.nonzero(covered(picture) > 0.5)
    assert rows.max() + 1 == pytest.approx(50, abs=0.1 * cap + 1)
    assert rows.max() + 1 - rows.min() == pytest.approx(cap, abs=0.2 * cap + 1)
    assert columns.min() >= 20
    assert columns.max() < 20 + raster.text_width("HEH", cap)


@pytest.mark.parametrize("cap", [4.5, 6.0])
def test_small_text_does_not_fade(cap):
    picture = canvas(30, 120)
    raster.paint_text(picture, "person 94%", (5.0, 20.0), cap, WHITE)
    assert np.quantile(covered(picture)[picture[..., 0] > 0], 0.8) > 0.6


def test_plate_has_round_corners():
    picture = canvas()
    paint_plate(picture, Plate("", 10, 20, 40, 20, 20), WHITE)
    weight = covered(picture)
    assert weight.sum() == pytest.approx(40 * 20 - (4 - np.pi) * 36, rel=0.02)
    assert weight[20, 10] == 0
    assert weight[30, 11] == 1
    assert weight[:, :9].max() == 0
