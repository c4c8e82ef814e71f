"""Writing segment ids as a picture: see ``segments``. It needs NumPy alone."""

import numpy as np


def segment_picture(ids: np.ndarray) -> np.ndarray:
    """Return the (H, W, 3) uint8 RGB picture of (H, W) ids in 0..2^24 - 1."""
    return np.stack([ids & 0xFF, (ids >> 8) & 0xFF, ids >> 16], axis=-1).astype(np.uint8)
