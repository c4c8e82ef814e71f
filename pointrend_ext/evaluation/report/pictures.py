"""Pictures inside a page, and the colours of models in all of them."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import cv2
import numpy as np

__all__ = ["Picture", "data_uri", "jpeg_uri", "model_color", "model_colors_rgb", "resized"]

_MODEL_COLORS = ("#2563eb", "#ea580c", "#16a34a", "#9333ea", "#0891b2", "#be123c")
_JPEG_QUALITY = 85


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


def resized(picture: np.ndarray, width_px: int, height_px: int) -> np.ndarray:
    """Resize (H, W, 3) uint8, smoothly in either direction; to at least one pixel of height."""
    how = cv2.INTER_AREA if picture.shape[1] > width_px else cv2.INTER_CUBIC
    return cv2.resize(picture, (width_px, max(1, height_px)), interpolation=how)


def model_color(number: int) -> str:
    """Return the colour of a model in plots and pictures, as CSS and matplotlib know it."""
    return _MODEL_COLORS[number % len(_MODEL_COLORS)]


def model_colors_rgb(count: int) -> np.ndarray:
    """Return white, for the ground truth, and the colours of the models; (count + 1, 3) uint8."""
    hexadecimal = ["#ffffff", *(model_color(number) for number in range(count))]
    return np.array([list(bytes.fromhex(text[1:])) for text in hexadecimal], dtype=np.uint8)
