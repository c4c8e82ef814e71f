"""SSD colour: against the original transform with the same draws, ranges, order, seed."""

import random

import numpy as np
import pytest

from pointrend_ext.data.color_augmentation import ColorJitter, SSDColorAugmentation
from tests.data.builders import noise


def jitters(number, image_format="BGR"):
    augmentation = SSDColorAugmentation(image_format)
    image = noise(2, 2)
    return [augmentation.get_transform(image).op for _ in range(number)]


def test_nothing_drawn_is_the_identity():
    np.testing.assert_array_equal(ColorJitter("BGR")(noise()), noise())


@pytest.mark.parametrize(
    ("image_format", "jitter", "expected"),
    [
        ("BGR", {"brightness": 32.0}, [255, 132, 32]),
        ("BGR", {"brightness": -32.0}, [218, 68, 0]),
        ("BGR", {"contrast": 1.5}, [255, 150, 0]),
        ("BGR", {"contrast": 0.5}, [125, 50, 0]),
        ("BGR", {"brightness": 10.6, "contrast": 0.5}, [127, 55, 5]),
        ("RGB", {"hue": 60}, [0, 255, 0]),  # 120 degrees: red turns into green
        ("RGB", {"hue": -60}, [0, 0, 255]),
        ("BGR", {"hue": 60}, [0, 0, 255]),  # blue turns into red
    ],
)
def test_values_by_hand(image_format, jitter, expected):
    image = np.array([[[255, 0, 0] if "hue" in jitter else [250, 100, 0]]], dtype=np.uint8)
    assert ColorJitter(image_format, **jitter)(image)[0, 0].tolist() == expected


def test_ranges_and_probabilities():
    draws = jitters(4000)
    for name, low, high in [
        ("brightness", -32, 32),
        ("contrast", 0.5, 1.5),
        ("saturation", 0.5, 1.5),
        ("hue", -18, 18),
    ]:
        values = np.array([v for j in draws if (v := getattr(j, name)) is not None])
        assert abs(len(values) / len(draws) - 0.5) < 0.04
        span = high - low
        assert low <= values.min() < low + 0.01 * span
        assert high - 0.01 * span < values.max() <= high
        assert abs(values.mean() - (low + high) / 2) < 0.03 * span
    hues = {j.hue for j in draws} - {None}
    assert hues == set(range(-18, 19))
    assert abs(np.mean([j.contrast_first for j in draws]) - 0.5) < 0.04


def test_transform_repeats_itself_and_leaves_labels_alone():
    image, labels = noise(), noise()[..., 0]
    coords = np.array([[1.5, 2.5]])
    for _ in range(10):
        transform = SSDColorAugmentation("RGB").get_transform(image)
        np.testing.assert_array_equal(transform.apply_image(image), transform.apply_image(image))
        np.testing.assert_array_equal(transform.apply_segmentation(labels), labels)
        np.testing.assert_array_equal(transform.apply_coords(coords), coords)
    np.testing.assert_array_equal(image, noise())  # the input is not written to


@pytest.mark.parity
@pytest.mark.parametrize("image_format", ["BGR", "RGB"])
def test_equals_upstream_with_the_same_draws(monkeypatch, image_format):
    upstream = pytest.importorskip("detectron2.projects.point_rend.color_augmentation")
    image = noise()
    for jitter in jitters(40, image_format):
        coins, numbers = replay(jitter)
        monkeypatch.setattr(random, "randrange", lambda _, coins=coins: coins.pop(0))
        monkeypatch.setattr(random, "uniform", lambda *_, n=numbers: n.pop(0))
        monkeypatch.setattr(random, "randint", lambda *_, n=numbers: n.pop(0))
        expected = upstream.ColorAugSSDTransform(image_format).apply_image(image)
        assert not coins
        assert not numbers
        np.testing.assert_array_equal(jitter(image), expected)


def replay(jitter):
    """The coins and numbers that upstream draws, in its order, to do what ``jitter`` does."""
    rest = [jitter.saturation, jitter.hue]
    steps = [jitter.contrast, *rest] if jitter.contrast_first else [*rest, jitter.contrast]
    coins = [int(jitter.brightness is not None), int(jitter.contrast_first)]
    coins += [int(step is not None) for step in steps]
    return coins, [step for step in [jitter.brightness, *steps] if step is not None]


def test_wrong_format_and_type():
    with pytest.raises(ValueError, match=r"INPUT\.FORMAT is 'L'"):
        SSDColorAugmentation("L")
    with pytest.raises(ValueError, match="needs a uint8 image, but got float32"):
        SSDColorAugmentation("RGB").get_transform(noise().astype(np.float32))
