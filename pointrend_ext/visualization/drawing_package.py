"""OpenCV draws and reads cameras; all else works without it."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs_opencv() -> Iterator[None]:
    """Let an import that fails for want of OpenCV say what to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "cv2":
            raise
        raise ImportError(
            "Drawing and cameras need OpenCV, which is not installed: pip install "
            "opencv-python-headless. Masks, label maps and results are had without it."
        ) from error
