"""Label maps in the layouts that tools and data sets have: folders, classes, colours, splits."""

import numpy as np
import pytest
from PIL import Image

from pointrend_ext.data import register_description
from pointrend_ext.data.formats import recognise
from pointrend_ext.data.label_maps import read_label_map
from pointrend_ext.data.loading import load_dataset_dicts
from tests.data.builders import semantic

SIZE_HW = (20, 30)
LABELS = {name: np.full(SIZE_HW, i, np.uint8) for i, name in enumerate("abcdef")}
for index, labels in enumerate(LABELS.values()):
    labels[3 : 8 + index, 5:9] = 1
    labels[0, 0] = 255
    labels[labels > 2] = labels[labels > 2].clip(max=2) if labels.max() < 255 else 2
    labels[0, 0] = 255
COLORS = [[0, 0, 0], [200, 10, 10], [10, 10, 200]]
VOID = [224, 224, 192]


def colored(labels):
    table = np.array([*COLORS, VOID], np.uint8)
    return table[np.where(labels == 255, 3, labels)]


def palette(labels, numbers=(0, 1, 2)):
    """A palette PNG in which label i has the number ``numbers[i]``."""
    table = np.zeros((256, 3), np.uint8) + 77
    table[[*numbers, 255]] = [*COLORS, VOID]
    codes = np.array([*numbers, 255], np.uint8)[np.where(labels == 255, 3, labels)]
    image = Image.fromarray(codes, "P")
    image.putpalette(table.ravel().tolist())
    return image


def write(folder, images, labels, names="abcdef", encode=Image.fromarray, suffix=""):
    for name in names:
        for place in (images, labels):
            (folder / place).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE_HW[::-1], (90, 80, 70)).save(folder / images / f"{name}.jpg")
        encode(LABELS[name]).save(folder / labels / f"{name}{suffix}.png")
    return folder


def read(described, cfg):
    """Label maps by stem, as a training reads them, and the stems of each split."""
    semantic(cfg, len(described.classes))
    found, splits = {}, {}
    for name in register_description(described.file):
        for record in load_dataset_dicts(cfg, [name], is_train=True):
            stem = record["image_id"]
            labels = read_label_map(record["sem_seg_file_name"], record["label_encoding"])
            found[stem.split("/")[-1]] = labels
            splits.setdefault(name.removeprefix("data_"), []).append(stem)
    return found, splits


LAYOUTS = {
    "camvid": lambda f: [write(f, s, f"{s}_labels", n) for s, n in SPLIT.items()],
    "images_masks": lambda f: [write(f, f"images/{s}", f"masks/{s}", n) for s, n in SPLIT.items()],
    "split_first": lambda f: [write(f, f"{s}/images", f"{s}/masks", n) for s, n in SPLIT.items()],
    "suffix": lambda f: [
        write(f, f"{s}/img", f"{s}/gt", n, suffix="_mask") for s, n in SPLIT.items()
    ],
    "one_folder": lambda f: [write(f, s, s, n, suffix="_mask") for s, n in SPLIT.items()],
    "cities": lambda f: [
        write(f, f"leftImg8bit/{s}/{n}", f"gtFine/{s}/{n}", n)
        for s, names in SPLIT.items()
        for n in names
    ],
}
SPLIT = {"train": "abcd", "valid": "ef"}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(name, tmp_path, describe_folder, cfg):
    folder = tmp_path / "export"
    LAYOUTS[name](folder)
    (folder / "classes.txt").write_text("sky\ntree\nroad\n")
    assert recognise(folder).kind == "label maps"
    described = describe_folder(folder)
    assert (described.task, described.classes) == ("semantic", ["sky", "tree", "road"])
    assert described.num_pictures == {"train": 4, "val": 2}
    found, splits = read(described, cfg)
    assert {k: len(v) for k, v in splits.items()} == {"train": 4, "val": 2}
    assert found.keys() == LABELS.keys()
    for stem, labels in found.items():
        np.testing.assert_array_equal(labels, LABELS[stem])


def voc(folder, encode):
    write(folder, "JPEGImages", "SegmentationClass", encode=encode)
    write(folder, "JPEGImages", "SegmentationObject")
    lists = folder / "ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\nc\n")
    (lists / "val.txt").write_text("f\n")
    (lists / "trainval.txt").write_text("a\nc\nf\n")
    return folder


def labelmap(folder, *more):
    names = ["background", "tree", "road"]
    lines = [f"{n}:{','.join(map(str, c))}::" for n, c in zip(names, COLORS, strict=True)]
    (folder / "labelmap.txt").write_text(
        "\n".join(["# label:color_rgb:parts:actions", *lines, *more])
    )


@pytest.mark.parametrize("numbers", [(0, 1, 2), (0, 14, 3)])
def test_palettes_are_read_by_the_colours_of_the_class_list(
    numbers, tmp_path, describe_folder, cfg
):
    """CVAT's export of masks, whose palette need not be in the order of its classes."""
    folder = voc(tmp_path / "export", lambda labels: palette(labels, numbers))
    labelmap(folder)
    described = describe_folder(folder)
    assert described.classes == ["background", "tree", "road"]
    found, splits = read(described, cfg)
    assert splits == {"train": ["a", "c"], "val": ["f"]}
    for stem, labels in found.items():
        np.testing.assert_array_equal(labels, LABELS[stem])


def test_colours(tmp_path, describe_folder, cfg):
    folder = voc(tmp_path / "export", lambda labels: Image.fromarray(colored(labels)))
    labelmap(folder, f"void:{','.join(map(str, VOID))}::")
    described = describe_folder(folder)
    found, _ = read(described, cfg)
    for stem, labels in found.items():
        np.testing.assert_array_equal(labels, np.where(LABELS[stem] == 255, 3, LABELS[stem]))


def test_colours_that_nothing_names_are_classes(tmp_path, describe_folder, cfg):
    folder = write(tmp_path / "e", "images", "labels", encode=lambda x: Image.fromarray(colored(x)))
    described = describe_folder(folder)
    assert described.classes == ["color 0 0 0", "color 10 10 200", "color 200 10 10",
                                 "color 224 224 192"]  # fmt: skip
    found, splits = read(described, cfg)
    table = np.zeros(256, int)
    table[[0, 1, 2, 255]] = 0, 2, 1, 3
    for stem, labels in found.items():
        np.testing.assert_array_equal(labels, table[LABELS[stem]])
    assert {k: len(v) for k, v in splits.items()} == {"train": 5, "val": 1}


@pytest.mark.parametrize("low_high", [(0, 1), (0, 255)])
@pytest.mark.parametrize("listed", [None, "background\ntree", "tree"])
def test_black_and_white(low_high, listed, tmp_path, describe_folder, cfg):
    table = np.zeros(256, np.uint8)
    table[1] = low_high[1]
    folder = write(tmp_path / "e", "images", "masks", encode=lambda x: Image.fromarray(table[x]))
    if listed:
        (folder / "classes.txt").write_text(listed)
    described = describe_folder(folder)
    assert described.classes == (listed.split("\n") if listed else ["object"])
    found, _ = read(described, cfg)
    for stem, labels in found.items():
        np.testing.assert_array_equal(labels, LABELS[stem] == 1)


def test_numbers_that_nothing_names(tmp_path, describe_folder, cfg):
    described = describe_folder(write(tmp_path / "export", "images", "labels"))
    assert described.classes == ["class 0", "class 1", "class 2"]
    assert "# The classes are the numbers 0 to 2. Pixels of" in described.file.read_text()
    for stem, labels in read(described, cfg)[0].items():
        np.testing.assert_array_equal(labels, LABELS[stem])


@pytest.mark.parametrize("title", ["Pixel Value, Class", "name,r,g,b"])
def test_tables_of_classes(title, tmp_path, describe_folder, cfg):
    """Roboflow's table of its semantic masks; a table of names and colours."""
    is_numbers = title.startswith("Pixel")
    encode = Image.fromarray if is_numbers else lambda x: Image.fromarray(colored(x))
    folder = write(tmp_path / "export", "train", "train", encode=encode, suffix="_mask")
    rows = ["0, sky", "1, tree", "2, road"]
    if not is_numbers:
        colors = zip(["sky", "tree", "road", "void"], [*COLORS, VOID], strict=True)
        rows = [f"{name},{','.join(map(str, color))}" for name, color in colors]
    (folder / "train/_classes.csv").write_text("\n".join([title, *rows]))
    described = describe_folder(folder)
    assert described.classes[:3] == ["sky", "tree", "road"]
    for stem, labels in read(described, cfg)[0].items():
        known = LABELS[stem] != 255
        np.testing.assert_array_equal(labels[known], LABELS[stem][known])


def test_pictures_and_masks_of_one_ending_in_one_folder(tmp_path, describe_folder, cfg):
    folder = write(tmp_path / "export", "all", "all", suffix="_mask")
    for picture in (folder / "all").glob("*.jpg"):
        Image.open(picture).save(picture.with_suffix(".png"))
        picture.unlink()
    found, _ = read(describe_folder(folder), cfg)
    assert found.keys() == LABELS.keys()
    for stem, labels in found.items():
        np.testing.assert_array_equal(labels, LABELS[stem])


def photographs(folder):
    noise = np.random.default_rng(0).integers(0, 255, (*SIZE_HW, 3), np.uint8)
    return write(folder, "images", "labels", encode=lambda x: Image.fromarray(noise))


def four_classes_in_a_list_of_two(folder):
    (write(folder, "images", "labels") / "classes.txt").write_text("a\nb")


def colours_without_names(folder):
    write(folder, "images", "labels", encode=lambda x: Image.fromarray(colored(x)))
    (folder / "classes.txt").write_text("a\nb\nc\nd")


def a_picture_more(folder):
    write(folder, "images", "labels")
    Image.new("RGB", SIZE_HW[::-1]).save(folder / "images/z.jpg")


def two_kinds(folder):
    write(folder, "images", "labels", "abcd")
    write(folder, "images", "labels", "ef", encode=lambda x: Image.fromarray(colored(x)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (photographs, r"hold 600 colours, more than 256: photographs"),
        (four_classes_in_a_list_of_two, r"'classes.txt' names 2 classes, but .* also hold 2 \("),
        (colours_without_names, "'classes.txt' names classes without colours. Add a file"),
        (a_picture_more, r"1 of 7 images in '.*images' have no label map: 'z.jpg'"),
        (two_kinds, r"coloured \('.*e.png'\) and numbers \('.*a.png'\)"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(make, message, tmp_path, describe_folder):
    make(tmp_path / "export")
    with pytest.raises(ValueError, match=message):
        describe_folder(tmp_path / "export")
