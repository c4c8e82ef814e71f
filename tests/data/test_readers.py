"""Whoever reads a file gets the same pixels: of every mode, orientation and format, by hand."""

import numpy as np
import pytest
import torch
from detectron2.data.detection_utils import read_image as original
from PIL import Image

from pointrend_ext.data import build_mapper
from pointrend_ext.data.reading import pillow_to_rgb, read_image, read_image_rgb, read_image_size
from pointrend_ext.inference.demo import DemoOptions, OutputWriter, find_inputs, run_demo
from pointrend_ext.inference.image_input import load_image
from pointrend_ext.inference.predictor import Predictor
from pointrend_ext.inspection.sample_pictures import seen_image
from tests.data.builders import noise

HEIGHT, WIDTH = 24, 32
FORMATS = ("RGB", "BGR", "L", "YUV-BT.601", "HSV", "YCbCr", "LAB")
NOISE = noise(HEIGHT, WIDTH)
GREY = NOISE[:, :, 0]


def rgb_of(grey):
    return np.repeat(grey[:, :, None], 3, axis=2)


def stored_as(orientation, upright):
    """What a file of this EXIF orientation holds, pixel by pixel, from the table of the standard:
    where the first row and the first column of what is stored belong."""
    height, width = upright.shape[:2]
    place = {
        1: lambda r, c: (r, c),  # top, left
        2: lambda r, c: (r, width - 1 - c),  # top, right
        3: lambda r, c: (height - 1 - r, width - 1 - c),  # bottom, right
        4: lambda r, c: (height - 1 - r, c),  # bottom, left
        5: lambda r, c: (c, r),  # left, top
        6: lambda r, c: (c, width - 1 - r),  # right, top
        7: lambda r, c: (height - 1 - c, width - 1 - r),  # right, bottom
        8: lambda r, c: (height - 1 - c, r),  # left, bottom
    }[orientation]
    rows, columns = (width, height) if orientation >= 5 else (height, width)
    stored = [[upright[place(r, c)] for c in range(columns)] for r in range(rows)]
    return np.array(stored, dtype=upright.dtype)


def palette_image(indices, **info):
    image = Image.fromarray(indices).copy()
    image.putpalette([value for index in range(256) for value in (index, 255 - index, 7)])
    image.info.update(info)
    return image


def cmyk_rgb(cmyk):
    kept = 255 - cmyk.astype(np.float64)
    return np.rint(kept[..., :3] * kept[..., 3:] / 255)


WIDE = (GREY.astype(np.uint16) << 8) + NOISE[:, :, 1]  # the lower bits are lost
ALPHA = NOISE[:, :, 2:]
CMYK = np.concatenate([NOISE, ALPHA // 2], axis=2)
BITS = GREY > 127
# name: (stored values, how they become a picture, the RGB that they mean, endings)
KINDS = {
    "1": (BITS, Image.fromarray, rgb_of(BITS * np.uint8(255)), "png tif"),
    "L": (GREY, Image.fromarray, rgb_of(GREY), "png tif jpg webp"),
    "LA": (
        np.stack([GREY, ALPHA[:, :, 0]], axis=2),
        lambda a: Image.merge("LA", [Image.fromarray(x.copy()) for x in np.moveaxis(a, 2, 0)]),
        rgb_of(GREY),
        "png tif",
    ),
    "P": (GREY, palette_image, np.stack([GREY, 255 - GREY, 0 * GREY + 7], axis=2), "png tif"),
    "P transparent": (
        GREY,
        lambda a: palette_image(a, transparency=bytes(range(256))),
        np.stack([GREY, 255 - GREY, 0 * GREY + 7], axis=2),
        "png",
    ),
    "I;16": (WIDE, Image.fromarray, rgb_of(GREY), "png tif"),
    "I;16B": (WIDE.astype(">u2"), Image.fromarray, rgb_of(GREY), "tif"),
    "I": (WIDE.astype(np.int32), Image.fromarray, rgb_of(GREY), "tif"),
    "F of 0 to 1": ((GREY / 255).astype(np.float32), Image.fromarray, rgb_of(GREY), "tif"),
    "F of 0 to 255": (GREY + np.float32(0.25), Image.fromarray, rgb_of(GREY), "tif"),
    "RGB": (NOISE, Image.fromarray, NOISE, "png tif jpg webp"),
    "RGBA": (np.concatenate([NOISE, ALPHA], axis=2), Image.fromarray, NOISE, "png tif webp"),
    "CMYK": (CMYK, lambda a: Image.fromarray(a, "CMYK"), cmyk_rgb(CMYK), "tif jpg"),
}
CASES = [(kind, ending) for kind, row in KINDS.items() for ending in row[3].split()]


def written(path, kind, orientation):
    """Write a file; return the upright RGB that it shows, and by how much that may be rounded."""
    values, to_image, expected, _ = KINDS[kind]
    is_lossy = path.suffix == ".jpg"
    stored = values if is_lossy else stored_as(orientation, values)
    exif = Image.Exif()
    if orientation:
        exif[274] = orientation
    options = {"lossless": True, "exact": True} if path.suffix == ".webp" else {}
    options = {"quality": 98, "subsampling": 0} if is_lossy else options
    to_image(stored).save(path, exif=exif, **options)
    if not is_lossy:
        return expected, int(kind == "CMYK")
    to_image(stored).save(
        path.with_suffix(".plain.jpg"), **options
    )  # what the decoder makes of it, untouched
    with Image.open(path.with_suffix(".plain.jpg")) as plain:
        pixels = np.array(plain.convert("RGB"))
    assert np.abs(pixels.astype(int) - expected).mean() < 5
    return unturned(orientation, pixels), 0


def unturned(orientation, stored):
    """The inverse of ``stored_as``, by trying which upright place each pixel came from."""
    shape = stored.shape[1::-1] if orientation >= 5 else stored.shape[:2]
    numbers = stored_as(orientation, np.arange(np.prod(shape)).reshape(shape))
    upright = np.empty((*shape, 3), stored.dtype)
    upright.reshape(-1, 3)[numbers.reshape(-1)] = stored.reshape(-1, 3)
    return upright


class Seeing(Predictor):
    """Keeps the pictures that it is shown."""

    def stream(self, images, given=None):
        self.seen = list(images)
        return super().stream(self.seen, given)


@pytest.fixture(scope="module")
def readers(predictors):
    """By format, a configuration that changes no size, and a predictor of it."""
    plain = predictors("semantic")

    def make(image_format):
        cfg = plain.cfg.clone()
        cfg.defrost()
        cfg.INPUT.FORMAT = image_format
        cfg.INPUT.MIN_SIZE_TEST = 0  # no resizing
        return cfg, Seeing(plain.model, cfg)

    return {image_format: make(image_format) for image_format in FORMATS}


@pytest.mark.filterwarnings("error:.*Transparency")
@pytest.mark.parametrize(("kind", "ending"), CASES)
def test_all_readers_agree_and_are_right(tmp_path, readers, kind, ending):
    for orientation in range(1, 9):
        path = tmp_path / f"{orientation}.{ending}"
        expected, rounding = written(path, kind, orientation)
        got = read_image(str(path), "RGB")
        assert (got.dtype, got.shape) == (np.uint8, expected.shape)
        assert np.abs(got - expected.astype(float)).max() <= rounding, (kind, orientation)
        assert read_image_size(str(path)) == got.shape[:2]
        with Image.open(path) as opened:
            np.testing.assert_array_equal(pillow_to_rgb(opened, readers["RGB"][1].image_rules), got)
        for cfg, predictor in readers.values():
            np.testing.assert_array_equal(predictor.read_image(path), got)
            record = {"file_name": str(path), "height": got.shape[0], "width": got.shape[1]}
            of_loader = build_mapper(cfg, is_train=False)(record)["image"]
            of_predictor = predictor.model_input(predictor.read_image(path))["image"]
            torch.testing.assert_close(of_loader, of_predictor, rtol=0, atol=0)
            if cfg.INPUT.FORMAT in ("RGB", "BGR"):
                np.testing.assert_array_equal(seen_image({"image": of_loader}, cfg), got)


def test_models_side_by_side_read_by_the_same_rules(tmp_path, readers):
    cfg, predictor = readers["RGB"]
    other = cfg.clone()
    other.INPUT.WHITE_VALUE = 4095
    models = {"a": predictor, "b": Predictor(predictor.model, other)}
    Image.fromarray(np.full((4, 4), 4095, np.uint16)).save(tmp_path / "a.png")
    assert [m.read_image(tmp_path / "a.png").max() for m in models.values()] == [15, 255]
    with Image.open(tmp_path / "a.png") as opened:
        assert load_image(opened, models["b"].image_rules)[0].max() == 255
    with pytest.raises(ValueError, match=r"differ in .*INPUT\.WHITE_VALUE"):
        run_demo([], DemoOptions(models, OutputWriter(tmp_path, ["overlay"])))


def test_the_demo_sees_what_the_loader_sees(tmp_path, readers):
    _, predictor = readers["BGR"]
    folder = tmp_path / "in"
    folder.mkdir()
    for kind, orientation, ending in (("I;16", 6, "tif"), ("RGB", 8, "tif"), ("CMYK", 3, "jpg")):
        path = folder / f"a.{ending}"
        written(path, kind, orientation)
        options = DemoOptions({"": predictor}, OutputWriter(tmp_path / "out", ["overlay"]))
        report = run_demo(find_inputs([str(path)]).inputs, options)
        assert report.failures == []
        np.testing.assert_array_equal(predictor.seen[0], read_image(str(path), "RGB"))


@pytest.mark.parametrize("image_format", FORMATS)
def test_8_bit_files_are_read_as_detectron2_reads_them(tmp_path, image_format):
    for number, kind in enumerate(("RGB", "L", "RGBA", "P", "CMYK", "RGB")):
        path = tmp_path / f"{number}.{'jpg' if number == 5 else 'tif'}"
        written(path, kind, 1)
        if kind != "RGB" and image_format == "LAB":
            continue  # Detectron2 cannot, with older Pillows
        expected = original(str(path), image_format)
        got = read_image(str(path), image_format)
        assert got.dtype == (np.float32 if image_format == "YUV-BT.601" else np.uint8)
        # Of grey, Pillow computes Y twice: once not at all, and by way of RGB with a rounding.
        rounding = int(image_format == "YCbCr" and kind == "L")
        assert np.abs(got - expected.astype(got.dtype).astype(float)).max() <= rounding


@pytest.mark.parametrize("image_format", FORMATS)
def test_what_a_model_sees_is_shown_as_it_is(tmp_path, readers, image_format):
    path = tmp_path / "a.png"
    flat = np.broadcast_to(np.uint8([200, 100, 40]), (HEIGHT, WIDTH, 3))
    Image.fromarray(flat.copy()).save(path)
    cfg, predictor = readers[image_format]
    shown = seen_image(predictor.model_input(read_image_rgb(path)), cfg)
    grey = round(0.299 * 200 + 0.587 * 100 + 0.114 * 40)
    expected = np.full_like(shown, grey) if image_format == "L" else flat
    assert np.abs(shown.astype(int) - expected).max() <= 6  # 8 bits of hue, or of a*b*, are few
