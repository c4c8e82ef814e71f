"""The demo on odd files: the right picture, or a message; and the rest goes on."""

import io
import json
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pointrend_ext.data.reading import read_image_rgb
from pointrend_ext.inference.demo import (
    DemoOptions,
    Input,
    OutputWriter,
    find_inputs,
    open_video,
    run_demo,
    write_video,
)
from pointrend_ext.inference.demo import run as run_module
from pointrend_ext.inference.demo.same_objects import ObjectColors
from pointrend_ext.inference.demo.video import Video
from pointrend_ext.visualization import write_image

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


def good_files() -> list[tuple[str, Image.Image, np.ndarray, dict]]:
    """Names, what is saved under them and how, and the picture that they show."""
    pixels = base_picture()
    rgb = Image.fromarray(pixels)
    grey, palette, cmyk, rgba = rgb.convert("L"), rgb.quantize(8), rgb.convert("CMYK"), rgb.copy()
    rgba.putalpha(Image.fromarray(np.tile(np.arange(56, dtype=np.uint8) * 4, (40, 1))))
    as_grey = np.repeat(np.array(grey)[:, :, None], 3, axis=2)
    bits = np.array(grey.convert("1")).astype(np.uint8) * 255
    tall, wide = np.zeros((200, 2, 3), np.uint8), np.zeros((20, 2000, 3), np.uint8)
    sixteen = Image.fromarray(np.array(grey).astype(np.uint16) * 257)
    unit = Image.fromarray(np.array(grey).astype(np.float32) / 255)
    two_frames = {"save_all": True, "append_images": [Image.new("P", rgb.size)]}
    two_pages = {"save_all": True, "append_images": [grey]}
    turned = {2: np.fliplr(pixels), 3: np.rot90(pixels, 2), 4: np.flipud(pixels)}
    turned[6] = np.rot90(pixels, 3)
    plain = [f"plain.{kind}" for kind in ("png", "jpg", "bmp", "tif", "ppm")]
    plain += ["UPPER.JPG", "picture.jpg.png", "ünï cödé 名前.png", "'quoted' & [bracket] $x.png"]
    return [
        *((name, rgb, pixels, {}) for name in plain),
        ("progressive.jpg", rgb, pixels, {"progressive": True}),
        ("plain.webp", rgb, pixels, {"lossless": True}),
        ("lzw.tiff", rgb, pixels, {"compression": "tiff_lzw"}),
        ("two pages.tif", rgb, pixels, two_pages),
        ("grey.jpg", grey, as_grey, {}),
        ("grey.png", grey, as_grey, {}),
        ("grey alpha.png", rgba.convert("LA"), as_grey, {}),
        ("rgba.png", rgba, pixels, {}),
        ("rgba.tif", rgba, pixels, {}),
        ("palette.png", palette, pixels, {}),
        ("see-through.png", palette, pixels, {"transparency": 0}),
        ("bits.png", grey.convert("1"), np.dstack([bits] * 3), {}),
        ("sixteen.tif", sixteen, as_grey, {}),
        ("sixteen.png", sixteen, as_grey, {}),
        ("float.tif", unit, as_grey, {}),
        ("cmyk.jpg", cmyk, pixels, {}),
        ("cmyk.tif", cmyk, pixels, {}),
        ("animated.gif", rgb.quantize(), pixels, two_frames),
        ("still.gif", palette, pixels, {}),
        ("one pixel.png", rgb.crop((0, 0, 1, 1)), pixels[:1, :1], {}),
        ("tall.png", Image.fromarray(tall), tall, {}),
        ("wide.png", Image.fromarray(wide), wide, {}),
        ("wrong suffix.png", rgb, pixels, {"format": "JPEG"}),
        ("ycbcr.jpg", rgb.convert("YCbCr"), pixels, {}),
        # Stored pixels, which a viewer turns.
        *((f"exif {n}.png", rgb, seen, {"exif": exif(n)}) for n, seen in turned.items()),
        ("exif 8.jpg", rgb, np.rot90(pixels), {"exif": exif(8)}),
    ]


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
        found = find_inputs([str(x) for x in inputs])
        writer = OutputWriter(tmp_path / "out", save, inputs=found.inputs)
        models = {title: predictors(kind) for title in titles}
        options = DemoOptions(models, writer, progress=False, **options)
        return run_demo(found.inputs, options), found.problems, tmp_path / "out"

    return run


def test_odd_files_that_are_pictures(tmp_path, demo, caplog):
    files = good_files()
    for name, image, _, options in files:
        quality = {} if ".tif" in name else {"quality": 95}
        image.save(tmp_path / name, **quality, **options)
    sixteen = base_picture()[:, :, ::-1].astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "sixteen rgb.png"), sixteen)
    files.append(("sixteen rgb.png", None, base_picture(), {}))
    report, problems, out = demo([tmp_path], classes=[])  # nothing is drawn
    assert report.failures == problems == []
    assert report.num_images == len(files) > 38
    stems = [Path(name).stem for name, *_ in files]
    for name, _, expected, _ in files:
        path = tmp_path / name
        if stems.count(path.stem) == 1:
            path = next(p for p in (out / f"{path.stem}.png", out / name) if p.is_file())
        got = read_image_rgb(path)
        assert got.shape == expected.shape, name
        is_lossy = (tmp_path / name).read_bytes().startswith(b"\xff\xd8") or "cmyk" in name
        difference = np.abs(got.astype(int) - expected)
        # The edges between plain colours suffer from the compression of colour.
        differences = (
            (np.median(difference), difference[::8, ::8].mean()) if is_lossy else difference
        )
        assert np.max(differences) <= (14 if is_lossy else 0), name
    said = [m for m in caplog.messages if "holds 2 pictures" in m]
    assert len(said) == 2
    for name in ("animated.gif", "two pages.tif"):
        assert sum(name in message for message in said) == 1


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
    assert sorted(path.name for path in out.glob("[!.]*")) == ["a.png", "c.png"]


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
    pytest.importorskip("av")
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


def test_a_video_gives_what_was_asked_for_and_nothing_else(tmp_path, demo, make_picture):
    pytest.importorskip("av")
    write_video(tmp_path / "v.mp4", 5, (make_picture(seed=seed) for seed in range(3)))
    report, _, out = demo([tmp_path / "v.mp4"], save=["json", "masks"])
    assert (report.num_frames, report.failures) == (3, [])
    described = json.loads((out / "coco_images.json").read_text())
    assert [(x["id"], x["file_name"]) for x in described["images"]] == [
        (1, "v/000000"), (2, "v/000001"), (3, "v/000002"),
    ]  # fmt: skip
    results = json.loads((out / "coco_results.json").read_text())
    masks = sorted(p.relative_to(out).as_posix() for p in out.rglob("*.png"))
    assert len(masks) == len(results) > 3
    assert masks[0].startswith("masks/v/000000_00_")
    assert {r["image_id"] for r in results} == {1, 2, 3}
    assert not list(out.rglob("*.mp4"))


def test_camera_goes_on_until_it_is_interrupted(tmp_path, predictors, make_picture, monkeypatch):
    pytest.importorskip("av")

    def frames():
        yield from (make_picture(seed=seed) for seed in range(2))
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "open_camera", lambda number: Video(5.0, None, frames()))
    writer = OutputWriter(tmp_path / "out", ["overlay"])
    options = DemoOptions({"one": predictors("instance")}, writer, progress=False)
    report = run_demo([Input.of_camera(0)], options)
    assert (report.num_frames, report.failures) == (2, [])
    assert len(list(open_video(tmp_path / "out" / "camera_0.mp4").frames)) == 2


def test_unknown_class_stops_before_the_first_image(tmp_path, demo):
    write_image(tmp_path / "a.png", base_picture())
    with pytest.raises(ValueError, match="no class"):
        demo([tmp_path / "a.png"], classes=["dog"])


@pytest.fixture
def command(call_tool, tmp_path):
    given = ("--config-file", "c.yaml", "--weights", "w.pth", "--output", tmp_path / "out")
    return partial(call_tool, "demo", *given)


def test_the_command(tmp_path, command, make_picture, ready_models, predictors, capsys):
    asked = ready_models({name: predictors("instance") for name in ("c.yaml", "d.yaml")})
    write_image(tmp_path / "a.png", make_picture())
    (tmp_path / "b.png").write_text("no picture")
    words = [
        *("--input", str(tmp_path / "*.png"), "--compare", "d.yaml", "--confidence", "0.2"),
        *("--opts", "INPUT.MIN_SIZE_TEST", "64"),
    ]
    assert command(*words) == 1
    options = ["INPUT.MIN_SIZE_TEST", "64"]
    assert [(*ask[:2], ask[2]["opts"], ask[2]["confidence"]) for ask in asked] == [
        ("c.yaml", "w.pth", options, 0.2),
        ("d.yaml", None, options, 0.2),
    ]
    printed = capsys.readouterr()
    assert printed.out.startswith("1 images and 0 frames in")
    assert "b.png" in printed.err
    (tmp_path / "b.png").unlink()
    assert command(*words) == 0
    assert command() == 2
    assert "Nothing to do" in capsys.readouterr().err


def test_broken_files_are_named_and_the_rest_goes_on(
    tmp_path, command, ready_models, predictors, capfd, caplog
):
    ready_models({"c.yaml": predictors("instance")})
    bad, folder = bad_files(), tmp_path / "odd files, überall"
    (folder / "folder.jpg").mkdir(parents=True)
    for name, data in bad.items():
        (folder / name).write_bytes(data)
    (folder / "dangling.png").symlink_to("nowhere.png")
    write_image(folder / "good.png", base_picture())
    absent = [folder / name for name in ("folder.jpg", "dangling.png", "none.png")]
    assert command("--input", folder, *absent) == 1
    printed = capfd.readouterr()
    assert printed.out.startswith("1 images and 0 frames in")
    assert "Traceback" not in printed.err
    assert sum("FAILED" in message for message in caplog.messages) == len(bad) + 1  # the link
    messages = printed.err.split(f"{len(bad) + 3} failed:")[1].splitlines()
    for path in (*(folder / name for name in bad), *absent):
        (message,) = [m for m in messages if path.name in m]
        assert len(message) > len(str(path)) + 10  # the reason, too
    assert (tmp_path / "out" / "good.png").is_file()
