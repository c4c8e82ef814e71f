"""Wide samples, formats and sizes: values by hand, and refusals where a range is not certain."""

import logging
import struct
import threading

import numpy as np
import pytest
from PIL import Image

from pointrend_ext.data import build_mapper
from pointrend_ext.data.pixels import ImageRules, to_format, to_rgb
from pointrend_ext.data.reading import pillow_to_rgb, read_header, read_image, read_image_rgb

RULES = ImageRules()
TWELVE = ImageRules(white_value=4095)


def ycbcr_rgb(ycbcr):
    y, blue, red = np.moveaxis(ycbcr.astype(np.float64), 2, 0)
    blue, red = blue - 128, red - 128
    channels = [y + 1.402 * red, y - 0.344136 * blue - 0.714136 * red, y + 1.772 * blue]
    return np.clip(np.rint(np.stack(channels, axis=2)), 0, 255)


def greys(path, values, rules=RULES):
    """Write grey values; return what is read of them, all three channels being equal."""
    Image.fromarray(np.array([values])).save(path)
    got = read_image(str(path), "RGB", rules=rules)
    assert (got == got[:, :, :1]).all()
    return got[0, :, 0].tolist()


@pytest.mark.parametrize(
    ("dtype", "ending"), [(np.uint16, "png"), (np.uint16, "tif"), (">u2", "tif"), (np.int32, "tif")]
)
def test_whole_numbers_are_scaled_by_the_white_of_the_rules(tmp_path, dtype, ending):
    path = tmp_path / f"a.{ending}"
    values = np.array([0, 255, 256, 32768, 65279, 65535], dtype)
    assert greys(path, values) == [0, 0, 1, 128, 254, 255]  # the upper eight bits
    values = np.array([0, 15, 16, 2048, 4079, 4095], dtype)
    assert greys(path, values, TWELVE) == [0, 0, 1, 128, 254, 255]
    assert greys(path, np.array([0, 7, 255], dtype), ImageRules(white_value=255)) == [0, 7, 255]
    with pytest.raises(ValueError, match=r"a\.\w+' holds grey .* 3 to 4096, .*INPUT\.WHITE_VALUE"):
        greys(path, np.array([3, 4096], dtype), TWELVE)


def test_signed_numbers_have_no_black(tmp_path):
    with pytest.raises(ValueError, match=r"from -3 to 70000, but black is 0 and white is 65535"):
        greys(tmp_path / "a.tif", np.array([-3, 70000], np.int32))


def test_values_of_12_bits_are_told_once(tmp_path, caplog):
    for number in range(2):
        name = f"dark_{number}.png"
        assert greys(tmp_path / name, np.array([0, 1000, 4095], np.uint16)) == [0, 3, 15]
    assert caplog.text.count("INPUT.WHITE_VALUE") == 1
    assert "dark_0.png" in caplog.text
    assert "no grey value above 4095" in caplog.text


def test_what_is_not_dark_is_not_told(tmp_path, caplog):
    greys(tmp_path / "a.png", np.array([0, 5000], np.uint16))
    greys(tmp_path / "black.png", np.zeros(3, np.uint16))
    greys(tmp_path / "b.png", np.array([0, 4000], np.uint16), TWELVE)
    assert caplog.text == ""


def tiff(path, bits, packed, *, width, photometric=1):
    """A TIFF file of one row, by hand: Pillow does not write these."""
    tags = [(256, width), (257, 1), (258, bits), (259, 1), (262, photometric), (277, 1), (278, 1)]
    data_at = 8 + 2 + 12 * (len(tags) + 2) + 4
    tags = sorted([*tags, (273, data_at), (279, len(packed))])
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + struct.pack("<I", 0)
    path.write_bytes(head + packed)


def test_tiff_of_12_bits_a_sample_says_so_itself(tmp_path, caplog):
    path = tmp_path / "a.tif"
    tiff(path, 12, bytes([0x00, 0x08, 0x00, 0xFF, 0xF0, 0x10]), width=4)  # 0, 2048, 4095, 16
    assert read_image(str(path), "L")[0, :, 0].tolist() == [0, 128, 255, 1]
    assert caplog.text == ""


@pytest.mark.parametrize(("photometric", "expected"), [(1, [0, 128, 255]), (0, [255, 127, 0])])
def test_tiff_whose_white_is_zero(tmp_path, photometric, expected):
    path = tmp_path / "a.tif"
    packed = np.array([0, 32768, 65535], "<u2").tobytes()
    tiff(path, 16, packed, width=3, photometric=photometric)
    assert read_image(str(path), "L")[0, :, 0].tolist() == expected
    tiff(path, 8, bytes([0, 128, 255]), width=3, photometric=photometric)
    assert read_image(str(path), "L")[0, :, 0].tolist() == expected


def test_floats(tmp_path):
    path = tmp_path / "a.tif"
    assert greys(path, np.float32([0, 0.5, 1])) == [0, 128, 255]
    assert greys(path, np.float32([-0.0005, 1.0005])) == [0, 255]
    assert greys(path, np.float32([0, 1.4, 254.6])) == [0, 1, 255]
    assert greys(path, np.float32([0, 0])) == [0, 0]
    for values in ([0, 300], [-1, 100], [0, 1.5], [0, np.nan], [0, np.inf]):
        with pytest.raises(ValueError, match=r"a\.tif' holds floats from .* 8 bits"):
            greys(path, np.float32(values))


def test_pillow_images_of_every_mode():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    got = pillow_to_rgb(Image.fromarray(pixels, "YCbCr"), RULES)
    assert np.abs(got - ycbcr_rgb(pixels)).max() <= 1
    for mode in ("HSV", "LAB"):  # eight bits of hue, and of a* and b*, are few
        assert np.abs(pillow_to_rgb(image.convert(mode), RULES) - pixels.astype(int)).mean() < 4
    grey = np.arange(16, dtype=np.uint8).reshape(4, 4) * 17
    with_alpha = Image.merge("PA", [Image.fromarray(grey), Image.fromarray(255 - grey)])
    with_alpha.putpalette([v for i in range(256) for v in (255 - i, i, 9)])
    got = to_rgb(with_alpha, RULES.white_value, "x")
    np.testing.assert_array_equal(got, np.stack([255 - grey, grey, 0 * grey + 9], axis=2))
    got[0] = 1  # writable


def test_formats_by_hand():
    pixel = np.uint8([[[200, 100, 40]]])
    assert to_format(pixel, "RGB")[0, 0].tolist() == [200, 100, 40]
    assert to_format(pixel, "BGR")[0, 0].tolist() == [40, 100, 200]
    assert to_format(pixel, "L").tolist() == [[[123]]]  # 0.299, 0.587, 0.114
    yuv = to_format(pixel, "YUV-BT.601")[0, 0]
    luma = (0.299 * 200 + 0.587 * 100 + 0.114 * 40) / 255
    blue, red = 0.492 * (40 / 255 - luma), 0.877 * (200 / 255 - luma)
    np.testing.assert_allclose(yuv, [luma, blue, red], atol=1e-3)
    assert to_format(np.zeros((0, 4, 3), np.uint8), "BGR").shape == (0, 4, 3)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("FORMAT", "GBR", r"INPUT\.FORMAT is 'GBR'.*RGB, BGR, L, YUV-BT\.601"),
        ("FORMAT", "RGBA", r"INPUT\.FORMAT is 'RGBA'"),
        ("MAX_MEGAPIXELS", 0, r"INPUT\.MAX_MEGAPIXELS is 0"),
        ("WHITE_VALUE", 1, r"INPUT\.WHITE_VALUE 1: .*65535"),
    ],
)
def test_rules_that_cannot_be(cfg, key, value, message):
    cfg.INPUT[key] = value
    with pytest.raises(ValueError, match=message):
        build_mapper(cfg, is_train=True)


def test_the_loader_and_predictor_take_the_rules_of_the_config(cfg, tmp_path):
    Image.fromarray(np.full((40, 60), 2048, np.uint16)).save(tmp_path / "a.png")
    record = {"file_name": str(tmp_path / "a.png"), "height": 40, "width": 60}
    assert build_mapper(cfg, is_train=False)(record)["image"].unique().tolist() == [8]
    cfg.INPUT.WHITE_VALUE = 4095
    assert build_mapper(cfg, is_train=False)(record)["image"].unique().tolist() == [128]
    cfg.INPUT.WHITE_VALUE, cfg.INPUT.MAX_MEGAPIXELS = 65535, 1
    Image.new("L", (1001, 1000)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=r"a\.png' is large: 1000 x 1001 .*MAX_MEGAPIXELS 2 to"):
        build_mapper(cfg, is_train=False)(record)


@pytest.mark.parametrize("ending", ["png", "tif", "gif"])
@pytest.mark.filterwarnings("error")
def test_large_pictures_are_read_where_the_rules_allow_it(tmp_path, monkeypatch, ending):
    path = str(tmp_path / f"a.{ending}")
    Image.new("L", (2000, 1000), 7).save(path)
    for bound in (100, 1_500_000):  # Pillow refuses it, or warns
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", bound)
        assert read_image(path, "RGB")[999, 1999].tolist() == [7, 7, 7]
        assert read_header(path).size_hw == (1000, 2000)
        assert bound == Image.MAX_IMAGE_PIXELS
        with pytest.raises(ValueError, match=r"is large: 1000 x 2000 .* 2\.0 megapixels"):
            read_image_rgb(path, ImageRules(max_megapixels=1))
        assert bound == Image.MAX_IMAGE_PIXELS
    read_image_rgb(path, ImageRules(max_megapixels=2))


def test_pillow_is_left_as_it_was_after_many_threads(tmp_path, monkeypatch):
    Image.new("L", (40, 30), 7).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # so small that each of them needs its own
    failures = []

    def read():
        for _ in range(50):
            try:
                read_image_rgb(tmp_path / "a.png")
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert Image.MAX_IMAGE_PIXELS == 10


def test_several_pictures_are_told(tmp_path, caplog):
    first, second = Image.new("RGB", (8, 6), (9, 8, 7)), Image.new("RGB", (8, 6))
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    with caplog.at_level(logging.WARNING):
        assert read_image_rgb(tmp_path / "a.tif")[0, 0].tolist() == [9, 8, 7]
    assert "a.tif' holds 2 pictures (TIFF): the first one is used." in caplog.text
    assert read_header(str(tmp_path / "a.tif")).num_pictures == 2


def test_pictures_whose_exif_data_are_damaged_are_not_turned(tmp_path):
    path = str(tmp_path / "a.jpg")
    Image.new("RGB", (60, 40)).save(path, exif=b"Exif\0\0II*\0\xff\xff\xff\xff\1\2\3")
    assert read_image(path, "RGB").shape == (40, 60, 3)
    assert read_header(path).size_hw == (40, 60)
