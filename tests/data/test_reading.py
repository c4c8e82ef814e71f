"""Images and label maps: bad files are named, ids stay what they are."""

import io

import numpy as np
import pytest
from PIL import Image, ImageFile

from pointrend_ext.data.reading import (
    check_label_values,
    read_image,
    read_image_size,
    read_label_map,
)


def jpeg_bytes(height=40, width=60):
    pixels = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG")
    return buffer.getvalue()


def test_truncated_jpeg_is_refused_when_other_code_allows_it(tmp_path, monkeypatch):
    data = jpeg_bytes()
    path = tmp_path / "half.jpg"
    path.write_bytes(data[: len(data) // 2])
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(ValueError, match=r"half\.jpg' is truncated .*: .*image file is truncated"):
        read_image(str(path), "BGR")
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True  # given back as it was


@pytest.mark.parametrize(
    ("content", "message"),
    [
        *(
            (jpeg_bytes()[: int(len(jpeg_bytes()) * kept)], r"x\.jpg' is truncated or .*\(\d+ byt")
            for kept in (0.05, 0.5, 0.9, 0.999)
        ),
        (b"", r"x\.jpg' is .*no image \(0 bytes\)"),
        (b"just some text", r"x\.jpg' is .*no image .*: cannot identify"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, r"x\.jpg' .* no image"),
    ],
)
def test_file_that_is_no_image(tmp_path, content, message):
    path = tmp_path / "x.jpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_image(str(path), "BGR")


@pytest.mark.parametrize(
    ("name", "error"), [("gone.jpg", FileNotFoundError), ("", IsADirectoryError)]
)
def test_no_file(tmp_path, name, error):
    with pytest.raises(error, match=name or tmp_path.name):
        read_image(str(tmp_path / name), "BGR")


@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
def test_size_is_that_of_the_image_as_it_is_read(tmp_path, ending, orientation):
    exif = Image.Exif()
    if orientation is not None:
        exif[274] = orientation
    path = str(tmp_path / f"x.{ending}")
    Image.new("RGB", (60, 40)).save(path, exif=exif)
    if ending != "tif":  # Detectron2 turns those twice, as Pillow has turned them already
        assert read_image_size(path) == ((60, 40) if (orientation or 1) >= 5 else (40, 60))
    assert read_image_size(path) == read_image(path, "RGB").shape[:2]


@pytest.mark.parametrize("ending", ["jpg", "png"])
def test_size_needs_the_header_alone(tmp_path, ending):
    path = tmp_path / f"x.{ending}"
    noise = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:1000])
    assert read_image_size(str(path)) == (40, 60)


def test_size_of_what_is_no_image(tmp_path):
    (tmp_path / "x.jpg").write_text("text")
    with pytest.raises(ValueError, match=r"x\.jpg' .*no image"):
        read_image_size(str(tmp_path / "x.jpg"))
    with pytest.raises(FileNotFoundError, match=r"y\.jpg"):
        read_image_size(str(tmp_path / "y.jpg"))


def test_channel_order(tmp_path):
    Image.new("RGB", (2, 2), (1, 2, 3)).save(tmp_path / "c.png")
    assert read_image(str(tmp_path / "c.png"), "RGB")[0, 0].tolist() == [1, 2, 3]
    assert read_image(str(tmp_path / "c.png"), "BGR")[0, 0].tolist() == [3, 2, 1]


def test_16_bit_label_map_keeps_ids_above_255(tmp_path):
    labels = np.array([[0, 300], [5, 65535]], dtype=np.uint16)
    Image.fromarray(labels).save(tmp_path / "w.png")
    np.testing.assert_array_equal(read_label_map(str(tmp_path / "w.png")), labels)
    small = np.array([[0, 3], [5, 255]], dtype=np.uint16)
    Image.fromarray(small).save(tmp_path / "s.png")
    got = read_label_map(str(tmp_path / "s.png"))
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, small)


def test_colour_label_map_is_refused(tmp_path):
    Image.new("RGB", (4, 3)).save(tmp_path / "rgb.png")
    with pytest.raises(ValueError, match=r"rgb\.png' has 3 channels"):
        read_label_map(str(tmp_path / "rgb.png"))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_label_values(dtype):
    good = np.array([[0, 18], [255, 3]], dtype=dtype)
    check_label_values(good, 19, 255, "good.png")
    bad = np.array([[0, 19], [254, 19]], dtype=dtype)
    message = r"^bad\.png contains the values 19, 254 \(3 pixels\), which .* \(0 to 18\) .* \(255\)"
    with pytest.raises(ValueError, match=message):
        check_label_values(bad, 19, 255, "bad.png")
