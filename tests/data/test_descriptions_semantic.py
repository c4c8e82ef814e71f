"""A folder of images and a folder of label maps: matching, records, errors, loading."""

import os
import unicodedata

import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from pointrend_ext.data import build_test_loader, build_train_loader, register_semantic_folder
from pointrend_ext.data.descriptions import load_semantic_folder
from tests.data.builders import semantic

NAME = "own_folder"
LABELS = np.repeat(np.array([[0, 1, 2, 255]], dtype=np.uint8), 15, axis=1).repeat(40, axis=0)


def write_pair(root, stem, *, image=".jpg", label=".png", size=(60, 40), values=None):
    """Write images/STEM and labels/STEM; ``size`` is (width, height)."""
    for folder, ending in (("images", image), ("labels", label)):
        path = root / folder / f"{stem}{ending}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if folder == "images":
            Image.new("RGB", size, (10, 20, 30)).save(path)
        else:
            Image.fromarray(LABELS if values is None else values).resize(size, 0).save(path)


def load(root, **suffixes):
    return load_semantic_folder(str(root / "images"), str(root / "labels"), **suffixes)


def register(root, classes=("a", "b", "c"), **options):
    register_semantic_folder(NAME, root / "images", root / "labels", classes, **options)


def test_records(tmp_path):
    write_pair(tmp_path, "b", image=".png")
    write_pair(tmp_path, "a c.d", image=".JPG", label=".tif", size=(50, 30))
    write_pair(tmp_path, "z/1")
    write_pair(tmp_path, "Straße é")
    images, labels = tmp_path / "images", tmp_path / "labels"
    expected = [
        ("Straße é", "Straße é.jpg", "Straße é.png", 40, 60),
        ("a c.d", "a c.d.JPG", "a c.d.tif", 30, 50),
        ("b", "b.png", "b.png", 40, 60),
        ("z/1", "z/1.jpg", "z/1.png", 40, 60),
    ]
    assert load(tmp_path) == [
        {
            "file_name": str(images / image),
            "sem_seg_file_name": str(labels / label),
            "height": height,
            "width": width,
            "image_id": image_id,
        }
        for image_id, image, label, height, width in expected
    ]


def test_order_does_not_depend_on_the_file_system(tmp_path, monkeypatch):
    for stem in ("10", "9", "a/2", "B"):
        write_pair(tmp_path, stem)
    forwards, walk = load(tmp_path), os.walk
    monkeypatch.setattr(os, "walk", lambda *a, **k: [(p, d, f[::-1]) for p, d, f in walk(*a, **k)])
    assert load(tmp_path) == forwards
    assert [r["image_id"] for r in forwards] == ["10", "9", "B", "a/2"]


def test_accents_written_in_two_ways_match(tmp_path):
    write_pair(tmp_path, "é")
    other = unicodedata.normalize("NFD", "é.jpg")
    (tmp_path / "images/é.jpg").rename(tmp_path / "images" / other)
    assert [r["image_id"] for r in load(tmp_path)] == [unicodedata.normalize("NFC", "é")]


def test_files_that_are_left_out(tmp_path):
    write_pair(tmp_path, "a")
    write_pair(tmp_path, ".ipynb_checkpoints/a")
    for file in ("images/._a.jpg", "labels/._a.png", "images/notes.txt", "labels/Thumbs.db"):
        (tmp_path / file).touch()
    assert [r["image_id"] for r in load(tmp_path)] == ["a"]


def test_suffixes_as_in_cityscapes(tmp_path):
    write_pair(tmp_path, "x/1", image="_leftImg8bit.png", label="_gtFine_labelTrainIds.png")
    write_pair(tmp_path, "x/1", image="_depth.png", label="_gtFine_color.png")
    suffixes = {"image_suffix": "_leftImg8bit.png", "label_suffix": "_gtFine_labelTrainIds.png"}
    (record,) = load(tmp_path, **suffixes)
    assert record["image_id"] == "x/1"
    assert record["file_name"].endswith("images/x/1_leftImg8bit.png")
    assert record["sem_seg_file_name"].endswith("labels/x/1_gtFine_labelTrainIds.png")


def test_images_and_label_maps_in_one_folder(tmp_path):
    write_pair(tmp_path, "a")
    write_pair(tmp_path, "b")
    for file in (tmp_path / "labels").iterdir():
        file.rename(tmp_path / "images" / file.name)
    folder = str(tmp_path / "images")
    with pytest.raises(ValueError, match=r"'a.*' and 'a.*', which differ .* State the image_suff"):
        load_semantic_folder(folder, folder)
    records = load_semantic_folder(folder, folder, ".jpg", ".png")
    assert [r["image_id"] for r in records] == ["a", "b"]


def test_problems_of_matching(tmp_path):
    for stem in "abcdef":
        write_pair(tmp_path, stem)
    for stem in "abcd":
        (tmp_path / f"labels/{stem}.png").unlink()
    message = (
        r"^4 of 6 images in '.*images' have no label map: 'a\.jpg', 'b\.jpg', 'c\.jpg', \.\.\.\. "
        r"A label map must .* label_suffix"
    )
    with pytest.raises(ValueError, match=message):
        load(tmp_path)
    for stem in "abcdf":
        (tmp_path / f"images/{stem}.jpg").unlink()
    with pytest.raises(ValueError, match=r"^1 of 2 label maps in .* have no image: 'f\.png'\. A"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("no image", r"images' holds no image: .* ends in '_x\.png'.*image_suf"),
        ("remove", r"No such file or directory: '.*labels'"),
        ("jpeg", r"label map folder .* holds no label map: .* \.png or .* label_suffix"),
        ("size", r"a\.png' has \(height, width\) \(4, 3\), .*a\.jpg' has \(40, 60\)"),
        ("text", r"a\.png' .*no image"),
    ],
)
def test_problems_of_a_folder(tmp_path, change, message):
    write_pair(tmp_path, "a", label=".jpg" if change == "jpeg" else ".png")
    label = tmp_path / "labels/a.png"
    if change == "remove":
        (tmp_path / "labels").rename(tmp_path / "other")
    elif change == "size":
        Image.new("L", (3, 4)).save(label)
    elif change == "text":
        label.write_text("text")
    with pytest.raises(FileNotFoundError if change == "remove" else ValueError, match=message):
        load(tmp_path, image_suffix="_x.png" if change == "no image" else None)


def test_metadata(tmp_path):
    colors = [(1, 2, 3), (4, 5, 6), (7, 8, 9)]
    register(tmp_path, ignore_value=9, colors=colors)  # no folder is needed yet
    metadata = MetadataCatalog.get(NAME)
    assert metadata.stuff_classes == ["a", "b", "c"]
    assert metadata.stuff_colors == [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert (metadata.ignore_label, metadata.evaluator_type) == (9, "sem_seg")
    assert metadata.image_root == str(tmp_path / "images")
    assert metadata.sem_seg_root == str(tmp_path / "labels")


def test_the_same_again_and_another_under_the_name(tmp_path):
    register(tmp_path)
    register(tmp_path)
    for changes in (
        {"classes": ("a", "b", "d")},
        {"ignore_value": 7},
        {"image_suffix": ".png"},
        {"label_suffix": ".png"},
        {"root": tmp_path / "x"},
    ):
        with pytest.raises(ValueError, match=f"{NAME}' is registered already with .* another name"):
            register(**{"root": tmp_path, **changes})


def test_mistakes_in_python_are_those_of_a_description(tmp_path):
    with pytest.raises(ValueError, match="'ignore_value' is 2"):
        register(tmp_path, ignore_value=2)
    assert NAME not in DatasetCatalog


@pytest.fixture
def semantic_cfg(cfg):
    semantic(cfg, 3)
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = (NAME,)
    return cfg


@pytest.mark.parametrize("architecture", ["SemanticSegmentor", "PointRendSemanticSegmentor"])
def test_training_reads_palette_label_maps(tmp_path, semantic_cfg, architecture):
    write_pair(tmp_path, "a b/ü")
    palette = Image.fromarray(LABELS).convert("P")
    palette.putpalette([(5 * i + 3) % 256 for i in range(768)])
    palette.putdata(LABELS.flatten().tolist())
    palette.save(tmp_path / "labels/a b/ü.png")
    register(tmp_path)
    semantic_cfg.MODEL.META_ARCHITECTURE = architecture
    item = next(iter(build_train_loader(semantic_cfg)))[0]
    torch.testing.assert_close(item["sem_seg"], torch.from_numpy(LABELS).long())
    assert item["image"].shape == (3, 40, 60)
    assert "instances" not in item


def test_a_turned_photo(tmp_path, semantic_cfg):
    write_pair(tmp_path, "a", size=(40, 60))  # the label map is upright, 60 high
    exif = Image.Exif()
    exif[274] = 6
    Image.new("RGB", (60, 40)).save(tmp_path / "images/a.jpg", exif=exif)
    register(tmp_path)
    (record,) = DatasetCatalog.get(NAME)
    assert (record["height"], record["width"]) == (60, 40)
    item = next(iter(build_train_loader(semantic_cfg)))[0]
    assert item["image"].shape[1:] == item["sem_seg"].shape == (60, 40)
    (batch,) = build_test_loader(semantic_cfg, NAME)
    assert (batch[0]["height"], batch[0]["width"]) == (60, 40)


def test_binary_data(tmp_path, semantic_cfg):
    write_pair(tmp_path, "a", values=np.where(LABELS == 2, 1, LABELS))
    register(tmp_path, ["foreground"])
    semantic_cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 1
    item = next(iter(build_train_loader(semantic_cfg)))[0]
    assert item["sem_seg"].unique().tolist() == [0, 1, 255]
    write_pair(tmp_path, "a", values=LABELS)
    with pytest.raises(ValueError, match=r"contains the values 2 \(.* \(0 to 1\)"):
        next(iter(build_train_loader(semantic_cfg)))


def test_links_in_a_circle_repeat_no_image(tmp_path):
    for folder in ("a", "b"):
        write_pair(tmp_path, f"{folder}/1")
    for root in (tmp_path / "images", tmp_path / "labels"):
        (root / "a/self").symlink_to(root / "a")
        (root / "a/up").symlink_to(root)
        (root / "a/over").symlink_to(root / "b")  # no circle by itself
        (root / "b/back").symlink_to(root / "a")  # with this one it is
    found = [record["image_id"] for record in load(tmp_path)]
    assert found == ["a/1", "a/over/1", "b/1", "b/back/1"]


def test_a_list_of_names(tmp_path):
    for stem in ("a", "below/b", "c"):
        write_pair(tmp_path, stem)
    write_pair(tmp_path, "alone")
    (tmp_path / "labels/alone.png").unlink()  # is not on the list
    names = tmp_path / "train.txt"
    names.write_text("below/b\n\n a \n")
    assert [r["image_id"] for r in load(tmp_path, names=str(names))] == ["a", "below/b"]
    register(tmp_path, names=names)
    assert [r["image_id"] for r in DatasetCatalog.get(NAME)] == ["a", "below/b"]
    with pytest.raises(ValueError, match="registered already with image_names"):
        register(tmp_path)
    names.write_text("a\nz\n")
    with pytest.raises(ValueError, match=r"names 1 of 2 pictures that are not in .*images': 'z'\."):
        load(tmp_path, names=str(names))
    names.write_text("\n")
    with pytest.raises(ValueError, match="names no picture"):
        load(tmp_path, names=str(names))
