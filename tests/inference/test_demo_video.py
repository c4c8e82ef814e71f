"""Videos are read upright and written so that browsers play them."""

import logging
import struct
import sys
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from pointrend_ext.data.pixels import ImageRules
from pointrend_ext.inference.demo import open_camera, open_video, write_video

av = pytest.importorskip("av")

QUARTER_TURN = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 48 << 16, 0, 1 << 30)
"""The matrix of an MP4 file that a player turns clockwise."""


def frames(number, size_hw=(48, 64)):
    """The upper left corner red, the lower half of a grey that rises."""
    for n in range(number):
        pixels = np.zeros((*size_hw, 3), np.uint8)
        pixels[:16, :24] = (220, 30, 20)
        pixels[24:] = 40 + 4 * n
        yield pixels


def write_stream(path, codec, pictures):
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=25)
        first = next(pictures)
        stream.height, stream.width, stream.pix_fmt = *first.shape[:2], "yuv420p"
        for pixels in (first, *pictures):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


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


LIST = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{}\n#EXT-X-ENDLIST\n"
LISTS = {
    "script.mp4": "ffconcat version 1.0\nfile whole.mp4\n",
    "script.mkv": "ffconcat version 1.0\nfile whole.mp4\n",
    "list.mp4": LIST.format("whole.mp4"),
    "list.ts": LIST.format("http://127.0.0.1:9/whole.ts"),
    "list.m3u8": LIST.format("whole.mp4"),
    "joined.avi": LIST.format("concat:whole.mp4|whole.mp4"),
    "stream.mp4": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    "dash.mp4": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" '
    'profiles="urn:mpeg:dash:profile:isoff-main:2011"></MPD>',
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_other_files_are_not_followed(tmp_path, name):
    """Whatever ffmpeg's release does with them by itself."""
    write_video(tmp_path / "whole.mp4", 5, frames(2))
    (tmp_path / name).write_text(LISTS[name])
    with pytest.raises(ValueError, match=rf"{name} is a list of other|{name}: ffmpeg.*Invalid d"):
        open_video(tmp_path / name)


def test_a_list_is_told_from_a_broken_file(tmp_path, monkeypatch):
    write_video(tmp_path / "whole.mp4", 5, frames(2))
    (tmp_path / "a.mp4").write_text(LISTS["script.mp4"])
    with pytest.raises(ValueError, match=r"a\.mp4 is a list of other files .* Convert it: ffmpeg"):
        open_video(tmp_path / "a.mp4")
    monkeypatch.chdir(tmp_path)
    Path("concat:a.mp4").write_bytes(Path("whole.mp4").read_bytes())  # a name, and no address
    assert len(list(open_video(Path("concat:a.mp4")).frames)) == 2


@pytest.mark.parametrize("suffix", ["avi", "flv", "m4v", "mkv", "mov", "mpg", "ogv", "ts", "wmv"])
def test_containers_that_are_read(tmp_path, suffix):
    path, codec = tmp_path / f"v.{suffix}", {"flv": "flv", "ogv": "libvpx", "wmv": "wmv2"}
    codec |= dict.fromkeys(("mpg", "ts"), "mpeg2video")
    write_stream(path, codec.get(suffix, "mpeg4"), frames(12))
    read = list(open_video(path).frames)
    assert [frame.shape for frame in read] == [(48, 64, 3)] * 12
    assert np.abs(read[2].astype(int) - list(frames(12))[2]).mean() < 6


def test_large_frames_are_refused(tmp_path):
    path = tmp_path / "v.mp4"
    write_video(path, 5, frames(2))
    assert len(list(open_video(path, ImageRules(max_megapixels=0.0031)).frames)) == 2
    with pytest.raises(ValueError, match=r"A frame of .*v\.mp4 is large: 48 x 64 .*MAX_MEGAPIXELS"):
        open_video(path, ImageRules(max_megapixels=0.003))
    parts = []
    for side in (64, 128):
        write_stream(tmp_path / "part.ts", "mpeg2video", frames(30, (side, side)))
        parts.append((tmp_path / "part.ts").read_bytes())
    (tmp_path / "grown.ts").write_bytes(b"".join(parts))  # its header is that of the first
    video = open_video(tmp_path / "grown.ts", ImageRules(max_megapixels=0.01))
    assert next(video.frames).shape == (64, 64, 3)
    with pytest.raises(ValueError, match=r"A frame of .*grown\.ts is large: 128 x 128"):
        list(video.frames)


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
