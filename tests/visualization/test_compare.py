"""Panels: exact sizes, the same object in the same colour, contours at the zoomed place."""

from __future__ import annotations

import numpy as np
import pytest

from pointrend_ext.visualization import (
    Column,
    compare_panel,
    distinct_colors,
    draw_instances,
    mark_window,
    stack_rows,
    zoom_panel,
)
from pointrend_ext.visualization.compare import matching_numbers


def picture(height=60, width=90):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def boxes(*corners, shape=(60, 90)):
    masks = np.zeros((len(corners), *shape), bool)
    for mask, (top, left, bottom, right) in zip(masks, corners, strict=True):
        mask[top:bottom, left:right] = True
    return masks


@pytest.mark.parametrize("upscale", [1, 2])
def test_compare_panel_is_made_of_overlays(upscale):
    image = picture()
    first, second = boxes((5, 5, 30, 40), (35, 50, 55, 85)), boxes((6, 5, 30, 41))
    panel = compare_panel(
        image,
        [Column("a", first), ("b", second, None, ["x"])],
        upscale=upscale,
        title_px=20,
        gap_px=4,
    )
    height, width = 60 * upscale, 90 * upscale
    assert panel.shape == (20 + height, 2 * width + 4, 3)
    left = draw_instances(image, masks=first, upscale=upscale)
    right = draw_instances(image, masks=second, labels=["x"], upscale=upscale)
    np.testing.assert_array_equal(panel[20:, :width], left)
    np.testing.assert_array_equal(panel[20:, width + 4 :], right)
    assert (panel[20:, width : width + 4] == 255).all()
    for start in (0, width + 4):
        title = panel[:20, start : start + width]
        assert title.min() < 80
        assert (title[:, : width // 3] == 255).all()  # one letter, centred


def test_long_titles_stay_in_their_column():
    title = "too long for a narrow column"
    panel = compare_panel(picture(), [(title, boxes()), ("", boxes())], title_px=20, gap_px=4)
    assert (panel[:20, 90:] == 255).all()
    assert panel[:20, :90].min() < 200


def test_objects_keep_their_color_in_another_order():
    image = np.zeros((60, 90, 3), np.uint8)
    first = boxes((5, 5, 30, 40), (35, 50, 55, 85))
    second = boxes((34, 50, 55, 84), (0, 60, 10, 80), (5, 5, 29, 40))
    assert matching_numbers(first, second).tolist() == [1, 2, 0]
    panel = compare_panel(image, [("a", first), ("b", second)], title_px=0, gap_px=0, alpha=1)
    colors = distinct_colors(3)
    for x in (0, 90):
        assert panel[20, x + 20].tolist() == colors[0].tolist()
        assert panel[45, x + 70].tolist() == colors[1].tolist()
    assert panel[5, 90 + 70].tolist() == colors[2].tolist()


def test_matching_of_empty_sets():
    some, none = boxes((5, 5, 30, 40)), boxes()
    assert matching_numbers(none, some).tolist() == [0]
    assert matching_numbers(some, none).tolist() == []
    assert matching_numbers(some, boxes((30, 40, 50, 60))).tolist() == [1]


def test_zoom_panel_enlarges_the_window():
    image = picture()
    panel = zoom_panel(
        image, [("a", None), ("b", None)], (10, 20, 34, 30), 5, smooth=False, title_px=12, gap_px=3
    )
    assert panel.shape == (12 + 50, 2 * 120 + 3, 3)
    enlarged = np.repeat(np.repeat(image[20:30, 10:34], 5, axis=0), 5, axis=1)
    np.testing.assert_array_equal(panel[12:, :120], enlarged)
    np.testing.assert_array_equal(panel[12:, 123:], enlarged)


def test_zoomed_contour_is_at_the_boundary():
    image = np.full((60, 90, 3), 100, np.uint8)
    (mask,) = boxes((0, 0, 60, 22))  # boundary at x = 22, that is 12 pixels into the window
    color = np.array([[250, 40, 10]], np.uint8)
    panel = zoom_panel(
        image, [("", mask)], (10, 20, 34, 40), 8, colors=color, contour_px=4, title_px=0
    )
    assert (panel[:, 94:98] == color).all()
    assert (panel[:, :90] == 100).all()
    assert (panel[:, 102:] == 100).all()
    assert (panel[:, 93] < 100).all()  # the dark rim


def test_reference_lies_below_the_contour():
    image = np.full((60, 90, 3), 100, np.uint8)
    mask, truth = boxes((0, 0, 60, 22), (0, 0, 60, 30))
    window = (10, 20, 34, 40)
    panel = zoom_panel(image, [("", mask)], window, 8, reference=truth, contour_px=5, title_px=0)
    assert (panel[:, 159:161] == 255).all()
    same = zoom_panel(image, [("", mask)], window, 8, reference=mask, contour_px=5, title_px=0)
    alone = zoom_panel(image, [("", mask)], window, 8, contour_px=5, title_px=0)
    np.testing.assert_array_equal(same, alone)


def test_zoom_fill_keeps_holes_open():
    image = np.zeros((60, 90, 3), np.uint8)
    (mask,) = boxes((10, 10, 50, 50))
    mask[25:35, 25:35] = False
    color = np.array([[200, 100, 40]], np.uint8)
    panel = zoom_panel(
        image, [("", mask)], (0, 0, 60, 60), 2, colors=color, alpha=0.5, contour_px=0, title_px=0
    )
    assert panel[40, 40].tolist() == [100, 50, 20]
    assert panel[60, 60].tolist() == [0, 0, 0]


def test_inputs_are_not_changed():
    image = picture()
    before = image.copy()
    (mask,) = boxes((0, 0, 60, 22))
    zoom_panel(image, [("a", mask)], (0, 0, 90, 60), 1, alpha=0.5)
    mark_window(image, (5, 5, 20, 20))
    np.testing.assert_array_equal(image, before)


def test_marked_window():
    image = np.full((60, 90, 3), 100, np.uint8)
    got = mark_window(image, (10, 5, 30, 25), scale=2, width_px=4)
    assert (got[14:46, 20] == 255).all()
    assert (got[10, 24:56] == 255).all()
    assert (got[16:44, 26:54] == 100).all()


def test_stacked_rows():
    wide, narrow = np.full((10, 40, 3), 7, np.uint8), np.full((5, 20, 3), 9, np.uint8)
    page = stack_rows([wide, narrow], gap_px=3, background=(1, 2, 3))
    assert page.shape == (18, 40, 3)
    assert (page[:10] == 7).all()
    assert (page[13:, 10:30] == 9).all()
    assert (page[10:13] == (1, 2, 3)).all()
    assert (page[13:, :10] == (1, 2, 3)).all()
    with pytest.raises(ValueError, match="no rows"):
        stack_rows([])


@pytest.mark.parametrize(
    "window", [(-1, 0, 10, 10), (0, 0, 91, 10), (5, 5, 5, 10), (0, 50, 10, 61)]
)
def test_window_outside_the_image(window):
    with pytest.raises(ValueError, match="60 x 90"):
        zoom_panel(picture(), [("", None)], window)


def test_other_mistakes_are_named():
    with pytest.raises(ValueError, match=r"column 'b'.*\(1, 60, 80\).*60 x 90"):
        compare_panel(picture(), [("a", boxes()), ("b", boxes((0, 0, 1, 1), shape=(60, 80)))])
    with pytest.raises(ValueError, match=r"\(60, 80\).*60 x 90"):
        zoom_panel(picture(), [("a", np.zeros((60, 80), bool))], (0, 0, 10, 10))
    with pytest.raises(ValueError, match="no columns"):
        compare_panel(picture(), [])
    with pytest.raises(ValueError, match="no columns"):
        zoom_panel(picture(), [], (0, 0, 10, 10))
