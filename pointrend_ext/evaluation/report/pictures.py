"""Pictures inside a page, and the colours of models in all of them."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from pointrend_ext.visualization import zoom_panel

CELL_PX, GAP_PX = 300, 6
"""Width of a column of a gallery picture, and the distance between columns."""

_MODEL_COLORS = ("#2563eb", "#ea580c", "#16a34a", "#9333ea", "#0891b2", "#be123c")
_CONTOUR_PX, _JPEG_QUALITY = 2.5, 85


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI, and its caption as plain text."""

    uri: str
    caption: str


def data_uri(data: bytes, kind: str) -> str:
    """Return data as a URI of a MIME type."""
    return f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"


def jpeg_uri(image_rgb: np.ndarray) -> str:
    """Return a picture (H, W, 3) uint8 RGB as a URI."""
    bgr = np.ascontiguousarray(image_rgb[:, :, ::-1])
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return data_uri(data.tobytes(), "image/jpeg")


def resized(picture: np.ndarray, width_px: int, height_px: int | None = None) -> np.ndarray:
    """Resize (H, W, 3) uint8, smoothly in either direction; in proportion without a height."""
    height_px = height_px or max(1, round(picture.shape[0] * width_px / picture.shape[1]))
    how = cv2.INTER_AREA if picture.shape[1] > width_px else cv2.INTER_CUBIC
    return cv2.resize(picture, (width_px, height_px), interpolation=how)


def model_color(number: int) -> str:
    """Return the colour of a model in plots and pictures, as CSS and matplotlib know it."""
    return _MODEL_COLORS[number % len(_MODEL_COLORS)]


def model_colors_rgb(count: int) -> np.ndarray:
    """Return white, for the ground truth, and the colours of the models; (count + 1, 3) uint8."""
    hexadecimal = ["#ffffff", *(model_color(number) for number in range(count))]
    return np.array([list(bytes.fromhex(text[1:])) for text in hexadecimal], dtype=np.uint8)


def window_row(
    image: np.ndarray,
    masks: Sequence[np.ndarray | None],
    window: Sequence[int],
    titles: Sequence[str] | None = None,
    **drawing: Any,
) -> np.ndarray:
    """Draw a window of an image once per mask with ``zoom_panel``, in columns of ``CELL_PX``."""
    width = window[2] - window[0]
    scale = max(1, round(CELL_PX / width))
    shrink = CELL_PX / (scale * width)
    panel = zoom_panel(
        image,
        list(zip(titles or [""] * len(masks), masks, strict=True)),
        window,
        scale,
        contour_px=_CONTOUR_PX / min(shrink, 1),
        title_px=None if titles else 0,
        gap_px=GAP_PX,
        **drawing,
    )
    total = len(masks) * (CELL_PX + GAP_PX) - GAP_PX
    return resized(panel, total, round(panel.shape[0] * shrink))
