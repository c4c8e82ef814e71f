"""Pictures and masks that several tests draw."""

import numpy as np
import pytest


@pytest.fixture
def image():
    """Noise, 90 x 140."""
    return np.random.default_rng(0).integers(0, 256, (90, 140, 3)).astype(np.uint8)


@pytest.fixture
def two_masks():
    """A ring around (40, 45) with a hole, and a box cut by the right border, 90 x 140."""
    y, x = np.mgrid[:90, :140] + 0.5
    ring = (np.hypot(x - 40, y - 45) < 30) & (np.hypot(x - 40, y - 45) > 12)
    return np.stack([ring, (x > 100) & (y > 20) & (y < 70)])


@pytest.fixture
def boxes():
    """A function: masks of rectangles (top, left, bottom, right)."""

    def make(*corners, shape=(90, 140)):
        masks = np.zeros((len(corners), *shape), bool)
        for mask, (top, left, bottom, right) in zip(masks, corners, strict=True):
            mask[top:bottom, left:right] = True
        return masks

    return make
