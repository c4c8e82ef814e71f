"""Reading and writing videos with PyAV, and reading cameras with OpenCV."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np

__all__ = ["Video", "open_camera", "open_video", "write_video"]

logger = logging.getLogger(__name__)

_DEFAULT_FPS = 25.0


@dataclass(frozen=True)
class Video:
    """Frames of a file or a camera.

    Attributes:
        fps: frames per second; 25 where the source does not say.
        num_frames: as the file states it, or None.
        frames: (H, W, 3) uint8 RGB each, upright; can be read once.
    """

    fps: float
    num_frames: int | None
    frames: Iterator[np.ndarray]


def open_video(path: Path) -> Video:
    """Open a file.

    Args:
        path: in any format that ffmpeg reads.

    Raises:
        ValueError: it holds no frame that can be read, or PyAV is not installed.
        OSError: it cannot be opened.
    """
    av = _pyav()
    container = av.open(path)  # its errors name the file
    if not container.streams.video:
        raise ValueError(f"{path} holds no video.")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    rate = float(stream.average_rate or stream.guessed_rate or _DEFAULT_FPS)
    return Video(rate, stream.frames or None, _decoded(container, path))


def open_camera(number: int) -> Video:
    """Open a camera.

    Args:
        number: as OpenCV counts them, from 0.

    Raises:
        ValueError: it gives no frame.
    """
    capture = cv2.VideoCapture(number)
    done, first = capture.read()
    if not done:
        capture.release()
        raise ValueError(f"Camera {number} gives no frame. Is it connected, and not in use?")

    def frames() -> Iterator[np.ndarray]:
        done, frame = True, first
        try:
            while done:
                yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
                done, frame = capture.read()
        finally:
            capture.release()

    fps = capture.get(cv2.CAP_PROP_FPS)
    return Video(fps if 0 < fps < 1000 else _DEFAULT_FPS, None, frames())


def write_video(path: Path, fps: float, frames_rgb: Iterable[np.ndarray]) -> None:
    """Write an MP4 file in H.264, which browsers play; none if there is no frame.

    The codec needs even sides: an odd picture gets its last row or column twice. When making the
    frames fails or is interrupted, the file holds those made so far.

    Args:
        path: ends in .mp4; missing folders are made.
        fps: frames per second.
        frames_rgb: (H, W, 3) uint8, all of one size.

    Raises:
        ValueError: a frame of another size than the first, or PyAV is not installed.
        OSError: the file cannot be written.
    """
    av = _pyav()
    frames = iter(frames_rgb)
    first = next(frames, None)
    if first is None:
        return
    height, width = first.shape[:2]
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w", options={"movflags": "faststart"}) as container:
        rate = Fraction(fps).limit_denominator(1001)  # 29.97 is 30000/1001
        stream = container.add_stream("libx264", rate=rate, options={"crf": "18"})
        stream.height, stream.width = height + height % 2, width + width % 2
        stream.pix_fmt = "yuv420p"
        try:
            for pixels in chain([first], frames):
                if pixels.shape != first.shape:  # PyAV would squeeze it
                    raise ValueError(
                        f"{path}: a frame has the shape {pixels.shape}, the first one "
                        f"{first.shape}; all must be alike."
                    )
                even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
                frame = av.VideoFrame.from_ndarray(even, format="rgb24")
                container.mux(stream.encode(frame))
        finally:
            container.mux(stream.encode(None))


def _pyav() -> Any:
    try:
        import av
    except ImportError as error:
        raise ValueError("Videos need PyAV: pip install av.") from error
    return av


def _decoded(container: Any, path: Path) -> Iterator[np.ndarray]:
    """Yield the frames that can be decoded: as in a player, damage costs no more than itself."""
    with container:
        for packet in container.demux(video=0):
            try:
                decoded = packet.decode()
            except ValueError as error:  # PyAV's for invalid data
                logger.warning("%s: a part of it cannot be read: %s", path, error)
                continue
            for frame in decoded:
                pixels = frame.to_ndarray(format="rgb24")
                yield np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))
