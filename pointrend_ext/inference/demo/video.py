"""Reading and writing videos: OpenCV, and ffmpeg where it is installed."""

from __future__ import annotations

import logging
import shutil
import subprocess
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np

__all__ = ["VideoSink", "VideoSource"]

logger = logging.getLogger(__name__)

_DEFAULT_FPS = 25.0


class VideoSource:
    """Frames of a file or a camera.

    Attributes:
        fps: frames per second; 25 where the source does not say.
        num_frames: as the file states it, or None.
    """

    def __init__(self, source: Path | int) -> None:
        """Open a source.

        Args:
            source: a file, or the number of a camera.

        Raises:
            ValueError: it cannot be opened, or gives no frame.
        """
        self._name = f"camera {source}" if isinstance(source, int) else str(source)
        self._capture = cv2.VideoCapture(source if isinstance(source, int) else str(source))
        done, frame = self._capture.read() if self._capture.isOpened() else (False, None)
        if not done:
            self._capture.release()
            raise ValueError(
                f"{self._name} cannot be read as a video: OpenCV gets no frame of it. Is the file "
                "whole, or the camera connected and free?"
            )
        self._first = frame
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps < 1000 else _DEFAULT_FPS
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.num_frames = count if count > 0 and not isinstance(source, int) else None

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield (H, W, 3) uint8 RGB, upright; once."""
        frame = self._first
        try:
            while frame is not None:
                yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
                done, frame = self._capture.read()
                frame = frame if done else None
        finally:
            self._capture.release()


class VideoSink:
    """Writes an MP4 file: H.264 by ffmpeg where it is installed, else MPEG-4 by OpenCV.

    Video codecs need even sides: an odd picture gets its last row or column twice.
    """

    def __init__(self, path: Path, fps: float) -> None:
        """Wait for the first frame, which decides the size.

        Args:
            path: ends in .mp4; missing folders are made.
            fps: frames per second.
        """
        self._path, self._fps = path, fps
        self._writer: cv2.VideoWriter | subprocess.Popen | None = None
        self._size_hw = (0, 0)

    def __enter__(self) -> VideoSink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def write(self, frame_rgb: np.ndarray) -> None:
        """Append a frame.

        Args:
            frame_rgb: (H, W, 3) uint8; all frames have one size.

        Raises:
            ValueError: a frame of another size than the first.
            OSError: the file cannot be written.
        """
        if self._writer is None:
            self._size_hw = frame_rgb.shape[:2]
            self._open()
        if frame_rgb.shape[:2] != self._size_hw:
            raise ValueError(
                f"{self._path}: a frame has {frame_rgb.shape[:2]} pixels (height, width), the "
                f"first one {self._size_hw}; all must be alike."
            )
        height, width = self._size_hw
        frame_rgb = np.pad(frame_rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if isinstance(self._writer, cv2.VideoWriter):
            self._writer.write(cv2.cvtColor(frame_rgb, cv2.COLOR_RGB2BGR))
            return
        try:
            self._writer.stdin.write(frame_rgb.tobytes())
        except BrokenPipeError as error:
            reason = self._writer.stderr.read().decode(errors="replace").strip()
            raise OSError(f"ffmpeg cannot write {self._path}: {reason or error}") from error

    def close(self) -> None:
        """Complete the file.

        Raises:
            OSError: ffmpeg failed.
        """
        writer, self._writer = self._writer, None
        if isinstance(writer, cv2.VideoWriter):
            writer.release()
        elif writer is not None:
            _, reason = writer.communicate()
            if writer.returncode:
                text = reason.decode(errors="replace").strip()
                raise OSError(f"ffmpeg cannot write {self._path}: {text}")

    def _open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        height, width = (side + side % 2 for side in self._size_hw)
        ffmpeg = _ffmpeg_with_h264()
        if ffmpeg:
            command = [
                *(ffmpeg, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24"),
                *("-s", f"{width}x{height}", "-r", f"{self._fps:.6f}", "-i", "-", "-an"),
                *("-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p"),
                *("-movflags", "+faststart", str(self._path)),
            ]
            self._writer = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
            return
        logger.warning(
            "%s is written in MPEG-4, which players show and browsers may not: for H.264 install "
            "ffmpeg.",
            self._path,
        )
        code = cv2.VideoWriter_fourcc(*"mp4v")
        self._writer = cv2.VideoWriter(str(self._path), code, self._fps, (width, height))
        if not self._writer.isOpened():
            raise OSError(f"{self._path} cannot be written: OpenCV opens no MPEG-4 encoder there.")


@lru_cache(maxsize=1)
def _ffmpeg_with_h264() -> str | None:
    program = shutil.which("ffmpeg")
    if program is None:
        return None
    listed = subprocess.run(
        [program, "-hide_banner", "-encoders"], capture_output=True, text=True, check=False
    )
    return program if "libx264" in listed.stdout else None
