"""Images to the size that a model sees, and its maps back, as Detectron2 and PyTorch resize."""

import numpy as np
from PIL import Image


def test_size(size_hw: tuple[int, int], min_size: int, max_size: int) -> tuple[int, int]:
    """Return the (height, width) of Detectron2's ``ResizeShortestEdge``.

    Args:
        size_hw: of the image.
        min_size: of the shorter side; 0 changes nothing.
        max_size: that the longer side has at most.
    """
    if min_size == 0:
        return size_hw
    height, width = size_hw
    scale = float(min_size) / min(height, width)
    sides = (
        (float(min_size), scale * width) if height < width else (scale * height, float(min_size))
    )
    if max(sides) > max_size:
        shrink = float(max_size) / max(sides)
        sides = sides[0] * shrink, sides[1] * shrink
    return int(sides[0] + 0.5), int(sides[1] + 0.5)


def model_image(
    image_rgb: np.ndarray, image_format: str, min_size: int, max_size: int
) -> np.ndarray:
    """Resize an image as in an evaluation.

    Args:
        image_rgb: (H, W, 3) uint8.
        image_format: "RGB" or "BGR".
        min_size: see ``test_size``.
        max_size: see there.

    Returns:
        (3, h, w) float32, from 0 to 255.

    Raises:
        ValueError: an image too thin to be resized.
    """
    height, width = test_size((image_rgb.shape[0], image_rgb.shape[1]), min_size, max_size)
    if min(height, width) == 0:
        raise ValueError(
            "a picture of {} x {} (height x width) cannot be resized to a shorter side of {} and a "
            "longer one of at most {} pixels. Cut it into pieces.".format(
                *image_rgb.shape[:2], min_size, max_size
            )
        )
    if (height, width) != image_rgb.shape[:2]:
        picture = Image.fromarray(image_rgb).resize((width, height), Image.Resampling.BILINEAR)
        image_rgb = np.asarray(picture)
    pixels = image_rgb[:, :, ::-1] if image_format == "BGR" else image_rgb
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32)


def resized_plane(plane: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Resize a map (h, w) float32 bilinearly; pixel centres at half-integers (not at corners)."""
    if plane.shape == size_hw:
        return plane
    (y0, y1, low, high), (x0, x1, left, right) = (
        _taps(old, new) for old, new in zip(plane.shape, size_hw, strict=True)
    )
    rows = plane[y0] * low[:, None] + plane[y1] * high[:, None]
    resized, other = rows[:, x0], rows[:, x1]
    resized *= left  # in place: photographs have 50 megapixels
    other *= right
    resized += other
    return resized


def _taps(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the two places along an axis that each new pixel lies between, and their weights."""
    scale = np.float32(old) / np.float32(new)
    # Rounded once, as PyTorch's fused multiply-add does it.
    position = ((np.arange(new) + 0.5) * scale.astype(np.float64) - 0.5).astype(np.float32).clip(0)
    first = position.astype(np.int64).clip(max=old - 1)
    share = position - first.astype(np.float32)
    return first, (first + 1).clip(max=old - 1), np.float32(1) - share, share


def enlarged_labels(labels: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Resize labels (h, w) to the label of the nearest pixel."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64)
        for old, new in zip(labels.shape, size_hw, strict=True)
    )
    return labels[rows[:, None], columns]
