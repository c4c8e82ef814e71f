"""Image files at the start: what is missing, broken or of another size is said before training."""

import json
import logging
import os
import time
from dataclasses import replace

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from pointrend_ext.data import build_mapper, build_train_loader, check_images, image_files, threads
from pointrend_ext.data.coco_dataset import listed_images
from pointrend_ext.data.image_files import ImageEntry, check_image_files
from pointrend_ext.data.pixels import ImageRules
from tests.data.builders import HEIGHT, WIDTH, write_image

RULES = ImageRules()
SIZE = (HEIGHT, WIDTH)


@pytest.fixture
def entries(tmp_path):
    """Five good files; a test spoils one."""
    found = [ImageEntry(str(tmp_path / f"{number}.png"), SIZE) for number in range(5)]
    for number, entry in enumerate(found):
        write_image(entry.file_name, seed=number)
    return found


def check(entries, rules=RULES):
    check_image_files(entries, "mine", rules)


def lying(path, orientation, size_wh=(WIDTH, HEIGHT)):
    exif = Image.Exif()
    exif[274] = orientation
    Image.new("RGB", size_wh).save(path, exif=exif)


def test_good_files_are_looked_at_once(entries, monkeypatch, caplog):
    opened = []
    read = image_files.read_header
    monkeypatch.setattr(image_files, "read_header", lambda f, **_: opened.append(f) or read(f))
    with caplog.at_level(logging.INFO):
        check(entries)
        assert sorted(opened) == sorted(entry.file_name for entry in entries)
        check(entries)
        assert len(opened) == 5  # the second start asks the file system alone
        check([entry._replace(size_hw=None) for entry in entries])
        assert len(opened) == 10  # another question
        write_image(entries[3].file_name, seed=9)
        os.utime(entries[3].file_name, ns=(1, 1))
        check(entries)
        assert len(opened) == 15  # a file has changed
    assert caplog.text == ""
    check([])


def test_missing_files_are_counted(entries):
    for number in (1, 2, 3, 4):
        os.remove(entries[number].file_name)
    message = (
        r"'mine': 4 of 5 image files are not there: '\S+/1\.png', '\S+/2\.png', '\S+/3\.png', "
    )
    with pytest.raises(FileNotFoundError, match=message + r"\.\.\.\. Copy"):
        check(entries)
    with pytest.raises(FileNotFoundError, match=r"1 of 1 image files is not there: '\S+/0\.png/x'"):
        check([ImageEntry(entries[0].file_name + "/x")])
    with pytest.raises(FileNotFoundError, match="1 of 1 image files"):
        check([ImageEntry("no\0name")])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"2\.png' is truncated or corrupt or no image \(0 bytes\)"),
        (b"<html>not found</html>", r"2\.png' is .* no image \(22 bytes\): cannot identify"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 40, r"2\.png' is truncated or corrupt"),
    ],
)
def test_what_is_no_image_is_named_and_not_remembered(entries, content, message):
    with open(entries[2].file_name, "wb") as file:
        file.write(content)
    for _ in range(2):
        with pytest.raises(
            ValueError, match=rf"'mine': 1 of 5 image files is not fit\. .*{message}"
        ):
            check(entries)
    write_image(entries[2].file_name)
    check(entries)


def test_a_folder_is_no_image(entries, tmp_path):
    with pytest.raises(ValueError, match="1 of 1 image files is not fit"):
        check([ImageEntry(str(tmp_path))])


def test_another_size_is_named_with_both(entries):
    for number in (1, 4):
        Image.new("L", (30, 20)).save(entries[number].file_name)
    with pytest.raises(ValueError, match=r"has 20 x 30 .* states 40 x 60") as caught:
        check(entries)
    assert "2 of 5 image files are not fit" in str(caught.value)
    assert f"Then: {entries[4].file_name!r}." in str(caught.value)
    assert "EXIF" not in str(caught.value)


@pytest.mark.parametrize("ending", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_stored_size_of_a_lying_picture_is_explained(tmp_path, ending, orientation):
    path = str(tmp_path / f"a.{ending}")
    lying(path, orientation)
    upright, stored = ((60, 40), (40, 60)) if orientation >= 5 else ((40, 60), (40, 60))
    check([ImageEntry(path, upright)])
    if upright != stored:
        with pytest.raises(
            ValueError, match=rf"60 x 40 .* 40 x 60.*EXIF orientation {orientation}"
        ):
            check([ImageEntry(path, stored)])
    with pytest.raises(ValueError, match="entry states 1 x 2") as caught:
        check([ImageEntry(path, (1, 2))])
    assert "EXIF" not in str(caught.value)


def test_an_orientation_behind_the_pixels_of_png_is_found(tmp_path):
    path = str(tmp_path / "a.png")
    lying(path, 6)
    content = (tmp_path / "a.png").read_bytes()
    start = content.index(b"eXIf") - 4
    length = int.from_bytes(content[start : start + 4], "big") + 12
    chunk, end = content[start : start + length], content[-12:]
    moved = content[:start] + content[start + length : -12] + chunk + end
    (tmp_path / "a.png").write_bytes(moved)
    check([ImageEntry(path, (60, 40))])
    with pytest.raises(ValueError, match="EXIF orientation 6"):
        check([ImageEntry(path, (40, 60))])


def test_the_loader_explains_it_too(tmp_path, cfg):
    path = str(tmp_path / "a.jpg")
    lying(path, 6)
    record = {"file_name": path, "height": 40, "width": 60}
    with pytest.raises(ValueError, match=r"a\.jpg' has 60 x 40 .* 40 x 60.*EXIF orientation 6"):
        build_mapper(cfg, is_train=False)(record)
    mapped = build_mapper(cfg, is_train=False)({"file_name": path})
    assert (mapped["height"], mapped["width"]) == (60, 40)


def test_large_pictures(entries):
    Image.new("1", (2000, 1001)).save(entries[0].file_name)
    large = [entries[0]._replace(size_hw=(1001, 2000))]
    check(large)
    with pytest.raises(
        ValueError, match=r"is large: 1001 x 2000 .*INPUT\.MAX_MEGAPIXELS 3 to read"
    ):
        check(large, replace(RULES, max_megapixels=2))


def test_what_is_only_noted(tmp_path, caplog):
    frames = [Image.new("L", (8, 6), shade) for shade in (1, 200)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    Image.fromarray(np.full((6, 8), 900, np.uint16)).save(tmp_path / "b.png")
    found = [ImageEntry(str(tmp_path / "a.gif"), (6, 8)), ImageEntry(str(tmp_path / "b.png"))]
    for _ in range(2):  # also when the result is known
        caplog.clear()
        with caplog.at_level(logging.INFO):
            check([*found, ImageEntry("s3://bucket/c.png", (6, 8))])
        assert "1 of 3 (33.3%) noted: files of several pictures" in caplog.text
        assert "1 of 3 (33.3%) noted: files on another machine" in caplog.text
        assert "a.gif" in caplog.text
        assert "s3://bucket/c.png" in caplog.text


def test_wide_samples_are_looked_at(tmp_path, caplog):
    Image.fromarray(np.full((6, 8), 900, np.uint16)).save(tmp_path / "b.png")
    check([ImageEntry(str(tmp_path / "b.png"))])
    assert "no grey value above 900" in caplog.text
    with pytest.raises(ValueError, match=r"b\.png' holds grey values from 900 to 900"):
        check([ImageEntry(str(tmp_path / "b.png"))], replace(RULES, white_value=255))


def test_a_bar_appears_where_it_takes_long(entries, monkeypatch, capsys):
    monkeypatch.setattr(threads, "_SECONDS_WITHOUT_BAR", 0.05)
    monkeypatch.setattr(image_files, "in_threads", lambda *args: threads.in_threads(*args, chunk=1))
    read = image_files.read_header
    monkeypatch.setattr(image_files, "read_header", lambda f: time.sleep(0.2) or read(f))
    check(entries)
    assert "mine: opening image files" in capsys.readouterr().err


def test_coco_data_sets(coco, cfg):
    data = coco(num_images=3)
    listed = listed_images(data.name)
    assert listed == [ImageEntry(str(data.images / f"{n}.jpg"), SIZE) for n in (1, 2, 3)]
    check_images(cfg, [data.name, data.name])
    os.remove(data.images / "3.jpg")
    with pytest.raises(FileNotFoundError, match=rf"{data.name}': 1 of 3 image files .*3\.jpg"):
        check_images(cfg, [data.name])
    cfg.DATASETS.TRAIN = (data.name,)
    build_train_loader(cfg)  # a library does not wait for the files
    content = {**data.content}
    content["images"][0]["height"] = 41
    data.json_file.write_text(json.dumps(content))
    assert listed_images(data.name)[0].size_hw == (41, WIDTH)


def test_data_sets_of_a_function(tmp_path, cfg):
    write_image(tmp_path / "a.jpg")
    records = [
        {"file_name": tmp_path / "a.jpg", "height": HEIGHT, "width": WIDTH},
        {"file_name": str(tmp_path / "a.jpg")},
        {"image": None},
    ]
    DatasetCatalog.register("of_function", lambda: records)
    file = str(tmp_path / "a.jpg")
    assert listed_images("of_function") == [ImageEntry(file, SIZE), ImageEntry(file)]
    check_images(cfg, ["of_function"])
    records[0]["width"] = 61
    with pytest.raises(ValueError, match="'of_function': 1 of 2 image files is not fit"):
        check_images(cfg, ["of_function"])
    records.clear()
    check_images(cfg, ["of_function"])


def test_cityscapes_is_listed_without_its_polygons(tmp_path):
    images, truth = tmp_path / "images" / "aa", tmp_path / "truth" / "aa"
    images.mkdir(parents=True)
    truth.mkdir(parents=True)
    write_image(images / "aa_0_0_leftImg8bit.png")
    for part in ("instanceIds.png", "labelIds.png", "polygons.json"):
        (truth / f"aa_0_0_gtFine_{part}").write_bytes(b"not read")
    DatasetCatalog.register("streets", lambda: 1 / 0)
    folders = {"image_dir": str(images.parent), "gt_dir": str(truth.parent)}
    MetadataCatalog.get("streets").set(evaluator_type="cityscapes_instance", **folders)
    assert listed_images("streets") == [ImageEntry(str(images / "aa_0_0_leftImg8bit.png"))]
