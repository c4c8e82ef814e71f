"""Reading and writing videos with PyAV, and reading cameras with OpenCV."""

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from pointrend_ext.data.rgb import ImageRules
from pointrend_ext.data.rgb_files import check_megapixels
from pointrend_ext.visualization.drawing_package import needs_opencv

logger = logging.getLogger(__name__)

_DEFAULT_FPS = 25.0
# ffmpeg looks at what a file holds, not at its name, and some of its formats are lists of other
# files, also of addresses: playlists (hls, dash), scripts (concat), descriptions of streams (sdp).
_FORMATS = (
    "asf,avi,dv,flv,gif,h264,hevc,ivf,m4v,matroska,mjpeg,mov,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg"
)


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


def open_video(
    path: Path,
    rules: ImageRules = ImageRules(),  # noqa: B008  (frozen)
) -> Video:
    """Open a file, in any format that ffmpeg reads of that file alone.

    Args:
        path: of the file.
        rules: tell which frames are too large.

    Raises:
        ValueError: it cannot be read as a video, its frames are too large (the iterator raises that
            as well), or PyAV is not installed.
    """
    with _ffmpeg(path) as av:
        options = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
        try:
            container = av.open(os.path.abspath(path), container_options=options)
        except av.ArgumentError as error:
            raise ValueError(
                f"{path} is a list of other files (a playlist, a script of ffmpeg), which are not "
                "followed, or of a format that is not read. Convert it: ffmpeg -i IN OUT.mp4"
            ) from error
        if not container.streams.video:
            raise ValueError(f"{path} holds no video.")
        stream = container.streams.video[0]
        check_megapixels((stream.height, stream.width), rules, f"A frame of {path}")
        stream.thread_type = "AUTO"
        rate = float(stream.average_rate or stream.guessed_rate or _DEFAULT_FPS)
        return Video(rate, stream.frames or None, _decoded(container, path, rules))


def open_camera(number: int) -> Video:
    """Open a camera, numbered as OpenCV counts them, from 0.

    Raises:
        ValueError: it gives no frame.
        ImportError: OpenCV is not installed.
    """
    with needs_opencv():
        import cv2
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
        ValueError: the file cannot be written, a frame has another size than the first, or PyAV is
            not installed.
    """
    frames = iter(frames_rgb)
    first = next(frames, None)
    if first is None:
        return
    height, width = first.shape[:2]
    path.parent.mkdir(parents=True, exist_ok=True)
    options = {"movflags": "faststart"}
    with _ffmpeg(path) as av, av.open(path, "w", options=options) as container:
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


@contextmanager
def _ffmpeg(path: Path) -> Iterator[Any]:
    """Give PyAV, whose errors become a ValueError that names the file."""
    try:
        import av
    except ImportError as error:
        raise ValueError("Videos need PyAV: pip install av.") from error
    try:
        yield av
    except av.FFmpegError as error:
        raise ValueError(f"{path}: ffmpeg can do nothing with it: {error}") from error


def _decoded(container: Any, path: Path, rules: ImageRules) -> Iterator[np.ndarray]:
    """Yield the frames that can be decoded: as in a player, damage costs no more than itself."""
    with _ffmpeg(path) as av, container:
        for packet in container.demux(video=0):
            try:
                decoded = packet.decode()
            except av.FFmpegError as error:
                logger.warning("%s: a part of it cannot be read: %s", path, error)
                continue
            for frame in decoded:
                check_megapixels((frame.height, frame.width), rules, f"A frame of {path}")
                pixels = frame.to_ndarray(format="rgb24")
                yield np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))
