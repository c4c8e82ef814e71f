"""The demo on odd files: the right picture, or a message; and the rest goes on."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pointrend_ext.inference.demo import (
    DemoOptions,
    OutputWriter,
    find_inputs,
    open_video,
    run_demo,
    write_video,
)
from pointrend_ext.inference.demo.same_objects import ObjectColors
from pointrend_ext.visualization import read_image_rgb, write_image

SIZE_HW = (40, 56)


def base_picture():
    """Left half red, right half blue, its upper left corner green: orientation and channels."""
    pixels = np.zeros((*SIZE_HW, 3), np.uint8)
    pixels[:, :28], pixels[:, 28:], pixels[:12, :16] = (220, 30, 20), (20, 40, 210), (10, 230, 30)
    return pixels


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[274] = orientation
    return tags


def good_files() -> dict[str, tuple[bytes, np.ndarray]]:
    """Bytes and the picture that they hold, by name."""
    pixels = base_picture()
    rgb = Image.fromarray(pixels)
    grey = rgb.convert("L")
    as_grey = np.repeat(np.array(grey)[:, :, None], 3, axis=2)
    tall, wide = np.zeros((200, 2, 3), np.uint8), np.zeros((20, 2000, 3), np.uint8)
    rgba = rgb.copy()
    rgba.putalpha(Image.fromarray(np.tile(np.arange(56, dtype=np.uint8) * 4, (40, 1))))
    sixteen = Image.fromarray(np.array(grey).astype(np.uint16) * 257)
    frames = [rgb.quantize(), Image.new("P", rgb.size)]
    gif = {"save_all": True, "append_images": frames[1:]}
    two_pages = {"save_all": True, "append_images": [grey]}
    bits = np.array(grey.convert("1")).astype(np.uint8) * 255
    unit = Image.fromarray(np.array(grey).astype(np.float32) / 255)
    files = {
        "plain.png": (encoded(rgb, "PNG"), pixels),
        "plain.jpg": (encoded(rgb, "JPEG", quality=95), pixels),
        "progressive.jpg": (encoded(rgb, "JPEG", quality=95, progressive=True), pixels),
        "plain.bmp": (encoded(rgb, "BMP"), pixels),
        "plain.webp": (encoded(rgb, "WEBP", lossless=True), pixels),
        "plain.tif": (encoded(rgb, "TIFF"), pixels),
        "plain.ppm": (encoded(rgb, "PPM"), pixels),
        "lzw.tiff": (encoded(rgb, "TIFF", compression="tiff_lzw"), pixels),
        "two pages.tif": (encoded(rgb, "TIFF", **two_pages), pixels),
        "grey.jpg": (encoded(grey, "JPEG", quality=95), as_grey),
        "grey.png": (encoded(grey, "PNG"), as_grey),
        "grey alpha.png": (encoded(rgba.convert("LA"), "PNG"), as_grey),
        "rgba.png": (encoded(rgba, "PNG"), pixels),
        "rgba.tif": (encoded(rgba, "TIFF"), pixels),
        "palette.png": (encoded(rgb.quantize(8), "PNG"), pixels),
        "see-through.png": (encoded(rgb.quantize(8), "PNG", transparency=0), pixels),
        "bits.png": (encoded(grey.convert("1"), "PNG"), np.dstack([bits] * 3)),
        "sixteen.tif": (encoded(sixteen, "TIFF"), as_grey),
        "sixteen.png": (encoded(sixteen, "PNG"), as_grey),
        "sixteen rgb.png": (
            cv2.imencode(".png", pixels[:, :, ::-1].astype(np.uint16) * 257)[1].tobytes(),
            pixels,
        ),
        "float.tif": (encoded(unit, "TIFF"), as_grey),
        "cmyk.jpg": (encoded(rgb.convert("CMYK"), "JPEG", quality=95), pixels),
        "cmyk.tif": (encoded(rgb.convert("CMYK"), "TIFF"), pixels),
        "animated.gif": (encoded(frames[0], "GIF", **gif), pixels),
        "still.gif": (encoded(rgb.quantize(8), "GIF"), pixels),
        "one pixel.png": (encoded(rgb.crop((0, 0, 1, 1)), "PNG"), pixels[:1, :1]),
        "tall.png": (encoded(Image.fromarray(tall), "PNG"), tall),
        "wide.png": (encoded(Image.fromarray(wide), "PNG"), wide),
        "ünï cödé 名前.png": (encoded(rgb, "PNG"), pixels),
        "UPPER.JPG": (encoded(rgb, "JPEG", quality=95), pixels),
        "picture.jpg.png": (encoded(rgb, "PNG"), pixels),
        "wrong suffix.png": (encoded(rgb, "JPEG", quality=95), pixels),
        "'quoted' & [bracket] $x.png": (encoded(rgb, "PNG"), pixels),
        "ycbcr.jpg": (encoded(rgb.convert("YCbCr"), "JPEG", quality=95), pixels),
        "lab.tif": (encoded(rgb.convert("HSV").convert("RGB"), "TIFF"), pixels),
    }
    turns = {2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 6: lambda a: np.rot90(a, 3)}
    for number, turn in turns.items():
        # Stored pixels, which a viewer turns.
        files[f"exif {number}.png"] = (encoded(rgb, "PNG", exif=exif(number)), turn(pixels))
    files["exif 8.jpg"] = (encoded(rgb, "JPEG", quality=95, exif=exif(8)), np.rot90(pixels))
    return files


def bad_files() -> dict[str, bytes]:
    rgb = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 56, 3), np.uint8))
    png, jpeg = encoded(rgb, "PNG"), encoded(rgb, "JPEG")
    return {
        "empty.jpg": b"",
        "text.jpg": b"This is no picture.\n" * 50,
        "page.png": b"<html><body>404 Not Found</body></html>",
        "half.jpg": jpeg[: len(jpeg) // 2],
        "half.png": png[: len(png) // 2],
        "head.png": png[:20],
        "damaged.png": png[:60] + bytes(40) + png[100:],
        "zeros.bmp": bytes(500),
        "half.tif": encoded(rgb, "TIFF")[:700],
        "half.gif": encoded(rgb.quantize(), "GIF")[:300],
        "video.mp4": b"no video",
        "long.png": encoded(Image.new("RGB", (20000, 20)), "PNG"),  # at most 160 pixels are allowed
        "thin.png": encoded(Image.new("RGB", (20000, 3)), "PNG"),
    }


@pytest.fixture
def demo(tmp_path, predictors):
    def run(inputs, kind="instance", *, save=("overlay",), titles=("one",), **options):
        found, problems = find_inputs([str(x) for x in inputs])
        writer = OutputWriter(tmp_path / "out", save)
        models = {title: predictors(kind) for title in titles}
        options = DemoOptions(models, writer, progress=False, **options)
        return run_demo(found, options), problems, tmp_path / "out"

    return run


def test_odd_files_that_are_pictures(tmp_path, demo, caplog):
    files = good_files()
    for name, (data, _) in files.items():
        (tmp_path / name).write_bytes(data)
    report, problems, out = demo([tmp_path], classes=[])  # nothing is drawn
    assert report.failures == problems == []
    assert report.num_images == len(files) > 38
    for name, (data, expected) in files.items():
        stem = Path(name).stem
        exact = [out / f"{stem}{s}" for s in (".png", Path(name).suffix)]
        same_stem = sum(Path(other).stem == stem for other in files)
        if same_stem > 1:
            got = read_image_rgb(tmp_path / name)
        else:
            got = read_image_rgb(next(path for path in exact if path.is_file()))
        assert got.shape == expected.shape, name
        lossy = data[:2] == b"\xff\xd8" or "cmyk" in name
        # The edges between plain colours suffer from the compression of colour.
        limit = 14 if lossy else 1
        assert np.median(np.abs(got.astype(int) - expected)) <= limit, name
        assert np.abs(got[::8, ::8].astype(int) - expected[::8, ::8]).mean() <= limit, name
    said = [record.getMessage() for record in caplog.records]
    assert any("animated.gif holds 2 pictures" in text for text in said)
    assert any("two pages.tif holds 2 pictures" in text for text in said)
    assert sum("holds 2 pictures" in text for text in said) == 2


def test_broken_files_are_named_and_the_rest_goes_on(tmp_path, demo, caplog):
    for name, data in bad_files().items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "folder.jpg").mkdir()
    write_image(tmp_path / "good.png", base_picture())
    with caplog.at_level(logging.ERROR):
        report, problems, out = demo([tmp_path, tmp_path / "folder.jpg", tmp_path / "none.png"])
    assert report.num_images == 1
    assert (out / "good.png").is_file()
    assert len(problems) == 2
    assert len(report.failures) == len(bad_files())
    for name in bad_files():
        (message,) = [m for m in report.failures if name in m]
        assert "Traceback" not in message
        assert len(message) > len(str(tmp_path / name)) + 10
    assert len([r for r in caplog.records if "FAILED" in r.getMessage()]) == len(bad_files())


def test_a_long_picture_where_the_model_takes_it(predictors):
    predictor = predictors("instance", "INPUT.MAX_SIZE_TEST", 2000)
    prediction = predictor(np.full((20, 20000, 3), 90, np.uint8))
    assert prediction.draw().shape == (20, 20000, 3)


def test_a_batch_with_a_bad_picture_is_taken_apart(tmp_path, demo, predictors, monkeypatch):
    for name in ("a.png", "c.png"):
        write_image(tmp_path / name, base_picture())
    (tmp_path / "b.png").write_bytes(bad_files()["thin.png"])
    monkeypatch.setattr(predictors("instance"), "batch_size", 3)
    report, _, out = demo([tmp_path])
    assert report.num_images == 2
    assert len(report.failures) == 1
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "c.png"]


@pytest.mark.parametrize("kind", ["instance", "semantic", "panoptic"])
def test_everything_is_written_for_every_kind(tmp_path, demo, make_picture, kind):
    write_image(tmp_path / "a.png", make_picture())
    kinds = ("overlay", "json", "masks", "cutouts")
    report, _, out = demo([tmp_path / "a.png"], kind, save=kinds)
    assert report.failures == []
    names = {path.relative_to(out).as_posix() for path in out.rglob("*.png")}
    assert "a.png" in names
    assert ("masks/a_labels.png" in names) == (kind != "instance")
    assert ("masks/a_panoptic.png" in names) == (kind == "panoptic")
    assert any(n.startswith("cutouts/a_00_") for n in names) == (kind != "semantic")
    first = (out / "a.png").read_bytes()
    demo([tmp_path / "a.png"], kind, save=kinds)
    assert (out / "a.png").read_bytes() == first


def test_two_models_side_by_side(tmp_path, demo, make_picture):
    write_image(tmp_path / "a.png", make_picture())
    _, _, out = demo([tmp_path / "a.png"], titles=("one", "two"))
    page = read_image_rgb(out / "a.png")
    height = page.shape[0] - 120
    assert page.shape[1] == 2 * 170 + 6
    np.testing.assert_array_equal(page[height:, :170], page[height:, 176:])


def test_video_goes_through(tmp_path, demo, predictors, make_picture):
    write_video(tmp_path / "v.mp4", 5, (make_picture(seed=seed) for seed in range(4)))
    report, _, out = demo([tmp_path / "v.mp4"], max_frames=3)
    assert (report.num_frames, report.failures) == (3, [])
    read = open_video(out / "v.mp4")
    assert read.fps == pytest.approx(5)
    assert read.num_frames == 3
    frames, sources = list(read.frames), list(open_video(tmp_path / "v.mp4").frames)
    assert len(frames) == 3
    colors = ObjectColors()
    for frame, source in zip(frames, sources, strict=False):  # the overlay of this very frame
        prediction = predictors("instance")(source)
        expected = prediction.draw(colors=colors(prediction))
        assert frame.shape == (120, 170, 3)
        assert np.abs(frame.astype(int) - expected).mean() < 8
        assert np.abs(frame.astype(int) - source).mean() > 12


def test_unknown_class_stops_before_the_first_image(tmp_path, demo):
    write_image(tmp_path / "a.png", base_picture())
    with pytest.raises(ValueError, match="no class"):
        demo([tmp_path / "a.png"], classes=["dog"])


@pytest.fixture
def command(load_tool, predictors, monkeypatch, tmp_path):
    """The command with models that are there already; what it asked for is kept."""
    tool = load_tool("demo")
    asked = []

    def from_config(config, weights, **options):
        asked.append((config, weights, options["opts"], options["confidence"]))
        return predictors("instance")

    monkeypatch.setattr(tool.Predictor, "from_config", from_config)

    def run(*words):
        output = ("--output", str(tmp_path / "out"))
        words = ("--config-file", "c.yaml", "--weights", "w.pth", *output, *words)
        monkeypatch.setattr(sys, "argv", ["demo.py", *words])
        return tool.main()

    run.asked = asked
    return run


def test_the_command(tmp_path, command, make_picture, capsys):
    write_image(tmp_path / "a.png", make_picture())
    (tmp_path / "b.png").write_text("no picture")
    words = [
        *("--input", str(tmp_path / "*.png"), "--compare", "d.yaml", "--confidence", "0.2"),
        *("--opts", "INPUT.MIN_SIZE_TEST", "64"),
    ]
    assert command(*words) == 1
    options = ["INPUT.MIN_SIZE_TEST", "64"]
    assert command.asked == [("c.yaml", "w.pth", options, 0.2), ("d.yaml", None, options, 0.2)]
    printed = capsys.readouterr()
    assert printed.out.startswith("1 images and 0 frames in")
    assert "b.png" in printed.err
    (tmp_path / "b.png").unlink()
    assert command(*words) == 0
    assert command() == 2
    assert "Nothing to do" in capsys.readouterr().err


def test_the_command_never_shows_a_traceback(tmp_path, command, capfd):
    bad, folder = bad_files(), tmp_path / "odd files, überall"
    (folder / "folder.jpg").mkdir(parents=True)
    for name, data in bad.items():
        (folder / name).write_bytes(data)
    (folder / "dangling.png").symlink_to("nowhere.png")
    write_image(folder / "good.png", base_picture())
    inputs = [folder, folder / "folder.jpg", folder / "dangling.png", folder / "none.png"]
    assert command("--input", *map(str, inputs)) == 1
    printed = capfd.readouterr()
    assert printed.out.startswith("1 images and 0 frames in")
    assert "Traceback" not in printed.err
    assert f"{len(bad) + 3} failed:" in printed.err
    for name in (*bad, "folder.jpg", "dangling.png", "none.png"):
        assert name in printed.err.split("failed:")[1]
    assert (tmp_path / "out" / "good.png").is_file()
