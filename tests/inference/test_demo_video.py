"""Videos are read upright and written so that browsers play them."""

import logging
import struct
import sys
from itertools import islice

import cv2
import numpy as np
import pytest

from pointrend_ext.inference.demo import open_camera, open_video, write_video

pytest.importorskip("av")

QUARTER_TURN = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 48 << 16, 0, 1 << 30)
"""The matrix of an MP4 file that a player turns clockwise."""


def frames(number, size_hw=(48, 64)):
    """The upper left corner red, the lower half of a grey that rises."""
    for n in range(number):
        pixels = np.zeros((*size_hw, 3), np.uint8)
        pixels[:16, :24] = (220, 30, 20)
        pixels[24:] = 40 + 4 * n
        yield pixels


@pytest.mark.parametrize("size_hw", [(48, 64), (47, 63)])
@pytest.mark.parametrize("fps", [7.0, 30000 / 1001])
def test_video_is_read_back(tmp_path, size_hw, fps):
    path = tmp_path / "new" / "v.mp4"
    write_video(path, fps, frames(40, size_hw))
    video = open_video(path)
    assert video.fps == pytest.approx(fps)
    read = list(video.frames)
    assert len(read) == video.num_frames == 40
    assert {frame.shape for frame in read} == {(48, 64, 3)}  # codecs need even sides
    height, width = size_hw
    for frame, expected in zip(read, frames(40, size_hw), strict=True):
        assert np.abs(frame[:height, :width].astype(int) - expected).mean() < 3  # RGB, not BGR
        assert np.abs(frame[-1].astype(int) - expected[-1, -1]).mean() < 3
    content = path.read_bytes()
    assert b"avc1" in content  # H.264
    assert content.index(b"moov") < content.index(b"mdat")  # starts before all is there


def test_turned_video_is_read_upright(tmp_path):
    path = tmp_path / "v.mp4"
    write_video(path, 5, frames(2))
    content = path.read_bytes()
    matrix = content.index(b"tkhd") + 44
    path.write_bytes(content[:matrix] + QUARTER_TURN + content[matrix + 36 :])
    for frame, lying in zip(open_video(path).frames, frames(2), strict=True):
        assert frame.flags.c_contiguous
        assert np.abs(frame.astype(int) - np.rot90(lying, -1)).mean() < 3


def test_what_made_the_frames_may_stop(tmp_path):
    def interrupted():
        yield from frames(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(tmp_path / "v.mp4", 5, interrupted())
    assert len(list(open_video(tmp_path / "v.mp4").frames)) == 3
    odd = [*frames(2), next(frames(1, (24, 32)))]
    with pytest.raises(ValueError, match=r"w\.mp4.*\(24, 32, 3\).*all must be alike"):
        write_video(tmp_path / "w.mp4", 5, odd)
    write_video(tmp_path / "none.mp4", 5, [])
    assert not (tmp_path / "none.mp4").exists()


def test_damage_costs_no_more_than_itself(tmp_path, caplog):
    path = tmp_path / "v.mp4"
    write_video(path, 5, frames(40))
    content = path.read_bytes()
    middle = (content.index(b"mdat") + len(content)) // 2
    path.write_bytes(content[:middle] + bytes(40) + content[middle + 40 :])
    with caplog.at_level(logging.WARNING):
        video = open_video(path)
        assert 20 < len(list(video.frames)) < video.num_frames
    assert "v.mp4: a part of it cannot be read" in caplog.text


def test_what_cannot_be_done_is_said(tmp_path, monkeypatch):
    (tmp_path / "v.mp4").write_text("no video")
    for name, reason in (("v.mp4", "Invalid data"), ("none.mp4", "No such file")):
        with pytest.raises(ValueError, match=rf"{name}: ffmpeg can do nothing with it: .*{reason}"):
            open_video(tmp_path / name)
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(ValueError, match=r"folder\.mp4: .*Is a directory"):
        write_video(tmp_path / "folder.mp4", 5, frames(1))
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ValueError, match="pip install av"):
        open_video(tmp_path / "v.mp4")


def test_camera(monkeypatch):
    class Camera:
        def __init__(self, number):
            self.left = 3 if number == 0 else 0

        def read(self):
            self.left -= 1
            return self.left >= 0, np.full((4, 6, 3), (250, 0, 10), np.uint8)

        def get(self, key):
            return 0.0

        def release(self):
            self.left = None

    monkeypatch.setattr(cv2, "VideoCapture", Camera)
    camera = open_camera(0)
    assert (camera.fps, camera.num_frames) == (25, None)
    first, *others = camera.frames
    assert first[0, 0].tolist() == [10, 0, 250]  # RGB
    assert len(others) == 2
    with pytest.raises(ValueError, match="Camera 7 gives no frame"):
        open_camera(7)
    assert len(list(islice(open_camera(0).frames, 1))) == 1
