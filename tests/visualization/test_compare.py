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
    titled_columns,
    zoom_panel,
)
from pointrend_ext.visualization.compare import matching_numbers


def test_compare_panel_is_made_of_overlays(image, boxes):
    first, second = boxes((5, 5, 30, 40), (35, 50, 55, 85)), boxes((6, 5, 30, 41))
    panel = compare_panel(image, [Column("a", first), Column("b", second, None, ["x"])])
    bar = panel.shape[0] - 90
    assert panel.shape == (bar + 90, 2 * 140 + 6, 3)
    np.testing.assert_array_equal(panel[bar:, :140], draw_instances(image, masks=first))
    right = draw_instances(image, masks=second, labels=["x"])
    np.testing.assert_array_equal(panel[bar:, 146:], right)
    assert (panel[bar:, 140:146] == 255).all()
    for start in (0, 146):
        title = panel[:bar, start : start + 140]
        assert title.min() < 80
        assert (title[:, : 140 // 3] == 255).all()  # one letter, centred


def test_long_titles_stay_in_their_column(image):
    titles = ["too long for a narrow column", ""]
    panel = titled_columns(titles, [image[:, :90]] * 2, bar_px=20, gap_px=4)
    assert (panel[:20, 90:] == 255).all()
    assert panel[:20, :90].min() < 200


def test_objects_keep_their_color_in_another_order(boxes):
    image = np.zeros((90, 140, 3), np.uint8)
    first = boxes((5, 5, 30, 40), (35, 50, 55, 85))
    second = boxes((34, 50, 55, 84), (0, 60, 10, 80), (5, 5, 29, 40))
    assert matching_numbers(first, second).tolist() == [1, 2, 0]
    panel = compare_panel(image, [Column("a", first), Column("b", second)])[-90:]
    colors = np.rint(0.4 * distinct_colors(3).astype(float)).tolist()
    for x in (0, 146):
        assert panel[20, x + 20].tolist() == colors[0]
        assert panel[45, x + 70].tolist() == colors[1]
    assert panel[5, 146 + 70].tolist() == colors[2]


def test_matching_of_empty_sets(boxes):
    some, none = boxes((5, 5, 30, 40)), boxes()
    assert matching_numbers(none, some).tolist() == [0]
    assert matching_numbers(some, none).tolist() == []
    assert matching_numbers(some, boxes((30, 40, 50, 60))).tolist() == [1]


def test_zoom_panel_enlarges_the_window(image):
    columns = [("a", None), ("b", None)]
    panel = zoom_panel(image, columns, (10, 20, 34, 30), 5, smooth=False, title_px=12, gap_px=3)
    assert panel.shape == (12 + 50, 2 * 120 + 3, 3)
    enlarged = np.repeat(np.repeat(image[20:30, 10:34], 5, axis=0), 5, axis=1)
    np.testing.assert_array_equal(panel[12:, :120], enlarged)
    np.testing.assert_array_equal(panel[12:, 123:], enlarged)


GREY = np.full((90, 140, 3), 100, np.uint8)


def test_zoomed_contour_is_at_the_boundary(boxes):
    (mask,) = boxes((0, 0, 90, 22))  # boundary at x = 22, that is 12 pixels into the window
    color = np.array([[250, 40, 10]], np.uint8)
    window = (10, 20, 34, 40)
    panel = zoom_panel(GREY, [("", mask)], window, 8, colors=color, contour_px=4, title_px=0)
    assert (panel[:, 94:98] == color).all()
    assert (panel[:, :90] == 100).all()
    assert (panel[:, 102:] == 100).all()
    assert (panel[:, 93] < 100).all()  # the dark rim


def test_reference_lies_below_the_contour(boxes):
    mask, truth = boxes((0, 0, 90, 22), (0, 0, 90, 30))

    def zoomed(reference):
        columns, window = [("", mask)], (10, 20, 34, 40)
        return zoom_panel(GREY, columns, window, 8, reference=reference, contour_px=5, title_px=0)

    assert (zoomed(truth)[:, 159:161] == 255).all()
    np.testing.assert_array_equal(zoomed(mask), zoomed(None))


def test_zoom_fill_keeps_holes_open(boxes):
    (mask,) = boxes((10, 10, 50, 50))
    mask[25:35, 25:35] = False
    options = {"colors": [(200, 100, 40)], "alpha": 0.5, "contour_px": 0, "title_px": 0}
    panel = zoom_panel(0 * GREY, [("", mask)], (0, 0, 60, 60), 2, **options)
    assert panel[40, 40].tolist() == [100, 50, 20]
    assert panel[60, 60].tolist() == [0, 0, 0]


def test_inputs_are_not_changed(image, boxes):
    before = image.copy()
    (mask,) = boxes((0, 0, 60, 22))
    zoom_panel(image, [("a", mask)], (0, 0, 140, 90), 1, alpha=0.5)
    mark_window(image, (5, 5, 20, 20))
    np.testing.assert_array_equal(image, before)


def test_marked_window():
    got = mark_window(GREY, (20, 10, 60, 50), width_px=4)
    assert (got[14:46, 20] == 255).all()
    assert (got[10, 24:56] == 255).all()
    assert (got[16:44, 26:54] == 100).all()


def test_stacked_rows():
    wide, narrow = np.full((10, 40, 3), 7, np.uint8), np.full((5, 20, 3), 9, np.uint8)
    page = stack_rows([wide, narrow], gap_px=3)
    assert page.shape == (18, 40, 3)
    assert (page[:10] == 7).all()
    assert (page[13:, 10:30] == 9).all()
    assert (page[10:13] == 255).all()
    assert (page[13:, :10] == 255).all()


@pytest.mark.parametrize(
    "window", [(-1, 0, 10, 10), (0, 0, 141, 10), (5, 5, 5, 10), (0, 50, 10, 91)]
)
def test_window_outside_the_image(image, window):
    with pytest.raises(ValueError, match="90 x 140"):
        zoom_panel(image, [("", None)], window)


def test_sizes_that_disagree_are_named(image, boxes):
    wrong = boxes((0, 0, 1, 1), shape=(60, 80))
    with pytest.raises(ValueError, match=r"\(60, 80\).*90 x 140"):
        compare_panel(image, [Column("a", wrong)])
    with pytest.raises(ValueError, match=r"\(60, 80\).*90 x 140"):
        zoom_panel(image, [("a", wrong[0])], (0, 0, 10, 10))
