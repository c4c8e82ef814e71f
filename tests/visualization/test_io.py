"""Files: what is written is read back, errors name the file (more kinds: the demo's tests)."""

import numpy as np
import pytest
from PIL import Image

from pointrend_ext.data.reading import read_image_rgb
from pointrend_ext.visualization import encode_png, write_gif, write_image


@pytest.mark.parametrize("name", ["a.png", "new/deep folder/ä.PNG"])
def test_png_is_lossless_and_folders_are_made(tmp_path, image, name):
    write_image(tmp_path / name, image)
    read = read_image_rgb(tmp_path / name)
    np.testing.assert_array_equal(read, image)
    read[0, 0] = 1  # writable


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg"])
def test_jpeg_keeps_channel_order(tmp_path, suffix):
    image = np.full((16, 24, 3), (200, 100, 20), np.uint8)
    path = tmp_path / f"a{suffix}"
    write_image(str(path), image)
    assert Image.open(path).format == "JPEG"
    assert np.abs(read_image_rgb(str(path)).astype(int) - image).max() <= 3


def test_what_cannot_be_written_is_named(tmp_path, image):
    for name in ("a.bmp", "a"):
        with pytest.raises(ValueError, match=r"\.png, \.jpg, \.jpeg"):
            write_image(tmp_path / name, image)
    with pytest.raises(ValueError, match=r"a\.png.*\(5, 5\)"):
        write_image(tmp_path / "a.png", np.zeros((5, 5), np.uint8))
    assert not (tmp_path / "a.png").exists()
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder.png").mkdir()
    for name, named in (("file/a.png", "file"), ("folder.png", r"folder\.png")):
        with pytest.raises(OSError, match=named):
            write_image(tmp_path / name, image)


def test_broken_and_missing_files_are_named(tmp_path):
    path = tmp_path / "bad picture.jpg"
    path.write_bytes(b"hello")
    with pytest.raises(ValueError, match=r"bad picture\.jpg"):
        read_image_rgb(path)
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        read_image_rgb(tmp_path / "none.png")


def test_animation_is_read_back(tmp_path):
    frames = [np.full((20, 30, 3), value, np.uint8) for value in (0, 128, 255)]
    write_gif(tmp_path / "new" / "a.gif", frames, [0.5, 1, 2])
    with Image.open(tmp_path / "new" / "a.gif") as animation:
        assert (animation.n_frames, animation.size, animation.info["loop"]) == (3, (30, 20), 0)
        for number, frame in enumerate(frames):
            animation.seek(number)
            assert animation.info["duration"] == [500, 1000, 2000][number]
            np.testing.assert_array_equal(np.array(animation.convert("RGB")), frame)


def test_encoding_keeps_channels_and_depth(tmp_path):
    rng = np.random.default_rng(0)
    for shape, dtype in [((5, 6, 3), np.uint8), ((5, 6, 4), np.uint8), ((5, 6), np.uint16)]:
        picture = rng.integers(0, np.iinfo(dtype).max, shape).astype(dtype)
        (tmp_path / "a.png").write_bytes(encode_png(picture))
        with Image.open(tmp_path / "a.png") as read:
            np.testing.assert_array_equal(np.array(read), picture)
