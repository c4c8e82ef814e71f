"""Maps of ids over an image, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from pointrend_ext.visualization import distinct_colors, draw_label_map, draw_segments


def picture(height=60, width=90):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


def three_regions():
    ids = np.zeros((60, 90), np.uint8)
    ids[:, 40:] = 2
    ids[50:, :40] = 7
    return ids


def test_fill_is_the_blend_formula():
    image, ids = picture(), three_regions()
    got = draw_segments(image, ids, colors={2: (10, 20, 30)}, alpha=0.3, contour_px=0)
    palette = distinct_colors(8)
    palette[2] = (10, 20, 30)
    assert np.abs(got - (0.7 * image + 0.3 * palette[ids])).max() <= 0.5 + 1e-3
    np.testing.assert_array_equal(image, picture())


@pytest.mark.parametrize(("contour_px", "reach"), [(1, 1), (2, 1), (4, 2), (6, 3)])
def test_borders_lie_on_either_side_of_the_boundary(contour_px, reach):
    image, ids = picture(), three_regions()
    plain = draw_segments(image, ids, contour_px=0)
    got = draw_segments(image, ids, contour_px=contour_px)
    changed = (got != plain).any(axis=2)
    assert changed[10, 40 - reach : 40 + reach].all()
    assert not changed[10, : 40 - reach].any()
    assert not changed[10, 40 + reach :].any()
    palette = distinct_colors(8)
    assert got[10, 39].tolist() == palette[0].tolist()
    assert got[10, 40].tolist() == palette[2].tolist()
    assert got[50, 10].tolist() == palette[7].tolist()


def test_void_stays_as_it_is_and_labels_are_inside():
    image, ids = picture(), three_regions()
    bare = draw_segments(image, ids, void_id=0)
    got = draw_segments(image, ids, void_id=0, names={2: "b", 7: "c", 0: ""}, text_px=6)
    np.testing.assert_array_equal(got[ids == 0], image[ids == 0])
    written = (got != bare).any(axis=2)
    assert written[ids == 2].sum() > 20
    assert not written[ids == 7].any()  # 10 rows are too few for a plate
    np.testing.assert_array_equal(
        got, draw_segments(image, ids, void_id=0, names={2: "b"}, text_px=6)
    )


@pytest.mark.parametrize("scale", [1, 3])
def test_label_map_tints_and_leaves_unknown_labels(scale):
    image, labels = picture(), three_regions().astype(np.int16)
    labels[:5], labels[5:8] = 255, -1
    colors = np.array([[250, 10, 20], [0, 0, 0], [40, 200, 90]], np.uint8)
    got = draw_label_map(image, labels, colors, scale=scale)
    expected = image.astype(float)
    for number in (0, 2):
        expected[labels == number] = 0.4 * image[labels == number] + 0.6 * colors[number]
    expected = np.kron(expected, np.ones((scale, scale, 1)))
    assert np.abs(got - expected).max() <= 0.5 + 1e-3
    same = np.kron(np.isin(labels, [7, 255, -1]), np.ones((scale, scale))).astype(bool)
    np.testing.assert_array_equal(got[same], np.kron(image, np.ones((scale, scale, 1)))[same])


def test_large_ids_cost_nothing():
    ids = np.array([[0, 2**22]])
    got = draw_segments(np.zeros((1, 2, 3), np.uint8), ids, alpha=1, void_id=2**22, contour_px=0)
    np.testing.assert_array_equal(got, [[distinct_colors(1)[0], [0, 0, 0]]])


@pytest.mark.parametrize(
    ("ids", "options", "message"),
    [
        (np.zeros((5, 5), int), {}, r"\(5, 5\).*60 x 90"),
        (np.full((60, 90), -1), {}, "negative"),
        (three_regions(), {"alpha": 2}, "alpha is 2"),
    ],
)
def test_mistakes_are_named(ids, options, message):
    with pytest.raises(ValueError, match=message):
        draw_segments(picture(), ids, **options)
