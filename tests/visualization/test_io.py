"""Files: what is written is read back, orientation is applied, errors name the file."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pointrend_ext.visualization import read_image_rgb, write_image


def picture(height=12, width=20):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("name", ["a.png", "new/deep folder/ä.PNG"])
def test_png_is_lossless_and_folders_are_made(tmp_path, name):
    write_image(tmp_path / name, picture())
    np.testing.assert_array_equal(read_image_rgb(tmp_path / name), picture())


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg"])
def test_jpeg_keeps_channel_order(tmp_path, suffix):
    image = np.zeros((16, 24, 3), np.uint8)
    image[:] = (200, 100, 20)
    path = tmp_path / f"a{suffix}"
    write_image(str(path), image)
    assert Image.open(path).format == "JPEG"
    assert np.abs(read_image_rgb(str(path)).astype(int) - image).max() <= 3


def test_read_array_is_writable(tmp_path):
    write_image(tmp_path / "a.png", picture())
    read_image_rgb(tmp_path / "a.png")[0, 0] = 1


@pytest.mark.parametrize("name", ["a.bmp", "a"])
def test_unknown_suffix(tmp_path, name):
    with pytest.raises(ValueError, match=r"\.png, \.jpg, \.jpeg"):
        write_image(tmp_path / name, picture())


def test_not_a_picture_array(tmp_path):
    with pytest.raises(ValueError, match=r"a\.png.*\(5, 5\)"):
        write_image(tmp_path / "a.png", np.zeros((5, 5), np.uint8))
    assert not (tmp_path / "a.png").exists()


def test_unwritable_place_names_the_path(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        write_image(tmp_path / "file" / "a.png", picture())
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OSError, match=r"folder\.png"):
        write_image(tmp_path / "folder.png", picture())


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (6, lambda a: np.rot90(a, -1)),
        (8, lambda a: np.rot90(a, 1)),
    ],
)
def test_exif_orientation(tmp_path, orientation, turn):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture()).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image_rgb(tmp_path / "a.png"), turn(picture()))


def test_other_color_modes(tmp_path):
    grey = picture()[:, :, 0]
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "wide.png")
    for name in ("grey.png", "wide.png"):
        expected = np.repeat(grey[:, :, None], 3, axis=2)
        np.testing.assert_array_equal(read_image_rgb(tmp_path / name), expected)
    alpha = np.dstack([picture(), np.full(grey.shape, 128, np.uint8)])
    Image.fromarray(alpha).save(tmp_path / "alpha.png")
    np.testing.assert_array_equal(read_image_rgb(tmp_path / "alpha.png"), picture())
    Image.new("CMYK", (8, 6), (255, 0, 0, 0)).save(tmp_path / "cmyk.jpg")
    assert read_image_rgb(tmp_path / "cmyk.jpg").shape == (6, 8, 3)


@pytest.mark.parametrize("kind", ["truncated", "text", "empty"])
def test_broken_files_are_named(tmp_path, kind):
    path = tmp_path / "bad picture.jpg"
    Image.fromarray(picture(200, 300)).save(path)
    data = {"truncated": path.read_bytes()[:6000], "text": b"hello", "empty": b""}[kind]
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"bad picture\.jpg"):
        read_image_rgb(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        read_image_rgb(tmp_path / "none.png")
