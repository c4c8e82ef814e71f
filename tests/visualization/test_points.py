"""Points and coarse layers over an image, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pointrend_ext.visualization import (
    StepPicture,
    draw_points,
    draw_training_points,
    encode_png,
    label_layer,
    probability_layer,
    subdivision_frames,
    subdivision_strip,
    write_gif,
)
from pointrend_ext.visualization.layers import paint_layer
from pointrend_ext.visualization.points import (
    COVERAGE_COLOR,
    IMPORTANCE_COLOR,
    uncertainty_colors,
)

IMAGE = np.full((80, 120, 3), 100, np.uint8)


@pytest.mark.parametrize("xy_px", [(30.5, 20.5), (60, 40), (100.25, 60.75)])
def test_discs_are_centred(xy_px):
    point = np.array([xy_px]) / (120, 80)
    got = draw_points(IMAGE, point, (250, 10, 20), radius_px=5, rim_px=0)
    weight = (got[..., 0].astype(float) - 100) / 150
    y, x = np.mgrid[:80, :120] + 0.5
    assert (weight * x).sum() / weight.sum() == pytest.approx(xy_px[0], abs=0.15)
    assert (weight * y).sum() / weight.sum() == pytest.approx(xy_px[1], abs=0.15)
    assert weight.sum() == pytest.approx(np.pi * 25, rel=0.25)
    assert got[int(xy_px[1]), int(xy_px[0])].tolist() == [250, 10, 20]
    assert (IMAGE == 100).all()


def test_rim_and_order():
    points = np.array([[0.5, 0.5], [0.5, 0.5]])
    got = draw_points(IMAGE, points, np.array([[255, 0, 0], [0, 0, 255]]), radius_px=4, rim_px=2)
    assert got[40, 60].tolist() == [0, 0, 255]
    assert got[40, 65].max() < 60  # the rim, 5 px from the centre


def test_layers_have_the_edges_of_the_image():
    labels = np.array([[0, 1, 0], [1, 0, 1]])
    palette = np.array([[200, 0, 0], [0, 0, 200]], np.uint8)
    got = paint_layer(IMAGE, label_layer(labels, palette))
    cells = np.kron(labels, np.ones((40, 40), int))
    expected = np.rint(0.4 * IMAGE + 0.6 * palette[cells])
    assert np.abs(got - expected).max() <= 1
    mask = probability_layer(np.array([[0.0, 1.0]]))
    blue = [0.25 * 100 + 0.75 * 40] * 2
    assert paint_layer(IMAGE, mask)[0, [0, 59, 60, 119], 0].tolist() == [100, 100, *blue]


def test_yellow_is_most_uncertain():
    colors = uncertainty_colors(np.array([-3.0, -0.1, -1.0])).astype(int)
    assert colors[1].tolist() == [240, 249, 33]
    assert colors[0].tolist() == [13, 8, 135]
    assert uncertainty_colors(np.zeros(2)).tolist() == [[240, 249, 33]] * 2
    assert uncertainty_colors(np.zeros(0)).shape == (0, 3)


def steps():
    coarse, fine = np.zeros((2, 3)), np.zeros((4, 6))
    points = (np.stack(np.meshgrid(np.arange(6), np.arange(4)), -1).reshape(-1, 2) + 0.5) / (6, 4)
    one = StepPicture(
        probability_layer(fine), points[:5], -np.arange(5.0), probability_layer(fine + 1)
    )
    return probability_layer(coarse), [one]


def test_strip_and_frames():
    start, pictures = steps()
    strip = subdivision_strip(IMAGE, start, pictures)
    assert strip.shape[1] == 2 * 120 + 6
    bar = (strip.shape[0] - 6 - 2 * 80) // 2
    np.testing.assert_array_equal(strip[bar : bar + 80, :120], IMAGE)
    corrected = paint_layer(IMAGE, pictures[0].after)
    np.testing.assert_array_equal(strip[-80:, 126:], corrected)
    chosen = strip[bar : bar + 80, 126:]
    assert chosen[10, 10].tolist() == [240, 249, 33]  # the first cell, most uncertain
    assert chosen[70, 110].tolist() == [100, 100, 100]  # a cell that was not chosen
    frames = subdivision_frames(IMAGE, start, pictures)
    assert len(frames) == 4
    np.testing.assert_array_equal(frames[3][-80:], corrected)


def test_training_points_by_kind():
    one, other = np.array([[0.25, 0.5]]), np.array([[0.75, 0.5]])
    got = draw_training_points(IMAGE, one, other)
    assert tuple(got[40, 30]) == IMPORTANCE_COLOR
    assert tuple(got[40, 90]) == COVERAGE_COLOR
    both = draw_training_points(IMAGE, one, one)
    assert tuple(both[40, 30]) == IMPORTANCE_COLOR


def test_animation_is_read_back(tmp_path):
    frames = [np.full((20, 30, 3), value, np.uint8) for value in (0, 128, 255)]
    write_gif(tmp_path / "new" / "a.gif", frames, [0.5, 1, 2])
    with Image.open(tmp_path / "new" / "a.gif") as animation:
        assert (animation.n_frames, animation.size, animation.info["loop"]) == (3, (30, 20), 0)
        durations = []
        for number, frame in enumerate(frames):
            animation.seek(number)
            durations.append(animation.info["duration"])
            np.testing.assert_array_equal(np.array(animation.convert("RGB")), frame)
    assert durations == [500, 1000, 2000]


def test_encoding_keeps_channels_and_depth(tmp_path):
    rng = np.random.default_rng(0)
    for shape, dtype in [((5, 6, 3), np.uint8), ((5, 6, 4), np.uint8), ((5, 6), np.uint16)]:
        picture = rng.integers(0, np.iinfo(dtype).max, shape).astype(dtype)
        (tmp_path / "a.png").write_bytes(encode_png(picture))
        with Image.open(tmp_path / "a.png") as read:
            np.testing.assert_array_equal(np.array(read), picture)
