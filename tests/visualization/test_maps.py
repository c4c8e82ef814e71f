"""Maps of ids, coarse layers and points over an image, pixel by pixel."""

import numpy as np
import pytest

from pointrend_ext.visualization import (
    StepPicture,
    distinct_colors,
    draw_label_map,
    draw_points,
    draw_segments,
    draw_training_points,
    label_layer,
    probability_layer,
    subdivision_frames,
    subdivision_strip,
)
from pointrend_ext.visualization.layers import paint_layer
from pointrend_ext.visualization.points import (
    COVERAGE_COLOR,
    IMPORTANCE_COLOR,
    uncertainty_colors,
)

GREY = np.full((80, 120, 3), 100, np.uint8)
YELLOW = [240, 249, 33]


@pytest.fixture
def picture(image):
    return image[:60, :90]


@pytest.fixture
def ids():
    """0 at the upper left, 7 in ten rows below it, 2 from column 40 on."""
    regions = np.zeros((60, 90), np.int16)
    regions[50:] = 7
    regions[:, 40:] = 2
    return regions


def test_segments_are_filled_by_the_blend_formula(picture, ids):
    before = picture.copy()
    got = draw_segments(picture, ids, colors={2: (10, 20, 30)}, alpha=0.3, contour_px=0)
    palette = distinct_colors(8)
    palette[2] = (10, 20, 30)
    assert np.abs(got - (0.7 * picture + 0.3 * palette[ids])).max() <= 0.5 + 1e-3
    np.testing.assert_array_equal(picture, before)


@pytest.mark.parametrize(("contour_px", "reach"), [(1, 1), (2, 1), (4, 2), (6, 3)])
def test_borders_lie_on_either_side_of_the_boundary(picture, ids, contour_px, reach):
    plain, got = (draw_segments(picture, ids, contour_px=width) for width in (0, contour_px))
    changed = (got != plain).any(axis=2)[10]
    assert changed[40 - reach : 40 + reach].all()
    assert not changed[: 40 - reach].any()
    assert not changed[40 + reach :].any()
    rows, columns = [10, 10, 50], [39, 40, 10]
    np.testing.assert_array_equal(got[rows, columns], distinct_colors(8)[[0, 2, 7]])


def test_void_stays_as_it_is_and_labels_are_inside(picture, ids):
    options = {"void_id": 0, "text_px": 6}
    bare, got, only = (
        draw_segments(picture, ids, names=names, **options)
        for names in (None, {2: "b", 7: "c", 0: ""}, {2: "b"})
    )
    np.testing.assert_array_equal(got[ids == 0], picture[ids == 0])
    written = (got != bare).any(axis=2)
    assert written[ids == 2].sum() > 20
    assert not written[ids == 7].any()  # 10 rows are too few for a plate
    np.testing.assert_array_equal(got, only)


def test_large_ids_cost_nothing():
    ids = np.array([[0, 2**22]])
    got = draw_segments(np.zeros((1, 2, 3), np.uint8), ids, alpha=1, void_id=2**22, contour_px=0)
    np.testing.assert_array_equal(got, [[distinct_colors(1)[0], [0, 0, 0]]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": np.zeros((5, 5), int)}, r"\(5, 5\).*60 x 90"),
        ({"ids": np.full((60, 90), -1)}, "negative"),
        ({"alpha": 2}, "alpha is 2"),
    ],
)
def test_mistakes_are_named(picture, ids, change, message):
    with pytest.raises(ValueError, match=message):
        draw_segments(picture, **{"ids": ids, **change})


@pytest.mark.parametrize("scale", [1, 3])
def test_label_map_tints_and_leaves_unknown_labels(picture, ids, scale):
    ids[:5], ids[5:8] = 255, -1
    colors = np.array([[250, 10, 20], [0, 0, 0], [40, 200, 90]], np.uint8)
    got = draw_label_map(picture, ids, colors, scale=scale)
    known, square = np.isin(ids, [0, 2]), np.ones((scale, scale, 1))
    tinted = 0.4 * picture + 0.6 * colors[np.where(known, ids, 0)]
    expected = np.where(known[..., None], tinted, picture)
    assert np.abs(got - np.kron(expected, square)).max() <= 0.5 + 1e-3
    same = np.kron(~known, square[..., 0]).astype(bool)
    np.testing.assert_array_equal(got[same], np.kron(picture, square)[same])


def test_layers_have_the_edges_of_the_image():
    labels = np.array([[0, 1, 0], [1, 0, 1]])
    palette = np.array([[200, 0, 0], [0, 0, 200]], np.uint8)
    got = paint_layer(GREY, label_layer(labels, palette))
    cells = np.kron(labels, np.ones((40, 40), int))
    assert np.abs(got - np.rint(0.4 * GREY + 0.6 * palette[cells])).max() <= 1
    mask = probability_layer(np.array([[0.0, 1.0]]))
    blue = [0.25 * 100 + 0.75 * 40] * 2
    assert paint_layer(GREY, mask)[0, [0, 59, 60, 119], 0].tolist() == [100, 100, *blue]


@pytest.mark.parametrize("xy_px", [(30.5, 20.5), (60, 40), (100.25, 60.75)])
def test_discs_are_centred(xy_px):
    point = np.array([xy_px]) / (120, 80)
    got = draw_points(GREY, point, (250, 10, 20), radius_px=5, rim_px=0)
    weight = (got[..., 0].astype(float) - 100) / 150
    y, x = np.mgrid[:80, :120] + 0.5
    middle = (weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()
    assert middle == pytest.approx(xy_px, abs=0.15)
    assert weight.sum() == pytest.approx(np.pi * 25, rel=0.25)
    assert got[int(xy_px[1]), int(xy_px[0])].tolist() == [250, 10, 20]
    assert (GREY == 100).all()


def test_rim_order_and_colors_of_training_points():
    points = np.array([[0.5, 0.5], [0.5, 0.5]])
    got = draw_points(GREY, points, np.array([[255, 0, 0], [0, 0, 255]]), radius_px=4, rim_px=2)
    assert got[40, 60].tolist() == [0, 0, 255]
    assert got[40, 65].max() < 60  # the rim, 5 px from the centre
    one, other = np.array([[0.25, 0.5]]), np.array([[0.75, 0.5]])
    got, both = (draw_training_points(GREY, one, coverage) for coverage in (other, one))
    assert tuple(got[40, 90]) == COVERAGE_COLOR
    assert tuple(got[40, 30]) == tuple(both[40, 30]) == IMPORTANCE_COLOR


def test_yellow_is_most_uncertain():
    colors = uncertainty_colors(np.array([-3.0, -0.1, -1.0]))
    assert colors[:2].tolist() == [[13, 8, 135], YELLOW]
    assert uncertainty_colors(np.zeros(2)).tolist() == [YELLOW] * 2
    assert uncertainty_colors(np.zeros(0)).shape == (0, 3)


def test_strip_and_frames():
    cells = np.stack(np.meshgrid(np.arange(6), np.arange(4)), -1).reshape(-1, 2)
    start, before, after = (
        probability_layer(p) for p in (np.zeros((2, 3)), np.zeros((4, 6)), np.ones((4, 6)))
    )
    step = StepPicture(before, (cells[:5] + 0.5) / (6, 4), -np.arange(5.0), after)
    strip = subdivision_strip(GREY, start, [step])
    assert strip.shape[1] == 2 * 120 + 6
    bar = (strip.shape[0] - 6 - 2 * 80) // 2
    np.testing.assert_array_equal(strip[bar : bar + 80, :120], GREY)
    corrected = paint_layer(GREY, after)
    np.testing.assert_array_equal(strip[-80:, 126:], corrected)
    chosen = strip[bar : bar + 80, 126:]
    assert chosen[10, 10].tolist() == YELLOW  # the first cell, most uncertain
    assert chosen[70, 110].tolist() == [100, 100, 100]  # a cell that was not chosen
    frames = subdivision_frames(GREY, start, [step])
    assert len(frames) == 4
    np.testing.assert_array_equal(frames[3][-80:], corrected)
