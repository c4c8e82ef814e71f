"""Variants of formats that tools of today write: what they mean, or a sentence."""

import numpy as np
import pycocotools.mask as mask_util
import pytest
from PIL import Image

from pointrend_ext.data.formats import recognise
from pointrend_ext.engine.recipe import Machine, choose_recipe
from tests.data.formats import test_label_folders as maps
from tests.data.formats import writers
from tests.data.formats.conftest import decoded
from tests.data.formats.test_instances import expected
from tests.data.formats.test_odd import edit


def lines_of_arrays(folder):
    """As numpy.savetxt and pandas write labels, with line ends of Windows."""
    for file in writers.yolo(folder).rglob("labels/*.txt"):
        lines = file.read_text().splitlines()
        file.write_bytes("\r\n".join(line.replace(" ", ".0 ", 1) for line in lines).encode())


def beside(folder):
    """Labels lie beside the pictures, in a folder that is called images all the same."""
    for file in [*writers.yolo(folder).rglob("labels/*.txt")]:
        file.rename(file.parents[1] / "images" / file.name)


def of_a_mac(folder):
    (writers.yolo(folder) / "train/images/._first.png").write_bytes(b"resources")


def lists_of_windows(folder):
    for file in writers.yolo_of_cvat(folder).glob("*.txt"):
        file.write_text(file.read_text().replace("/", "\\"))


YOLO = {
    "arrays": lines_of_arrays,
    "beside": beside,
    "mac": of_a_mac,
    "windows": lambda f: writers.yolo(f, stated="..\\{}\\images"),
    "lists": lists_of_windows,
    "numbers as texts": lambda f: writers.yolo(f, names={"0": "disc", "1": "unused", "2": "star"}),
    "other keys": lambda f: writers.yolo(f, val_share=0.2, test_every=3),
    "empty test": lambda f: (writers.yolo(f, test="test"), (f / "test").mkdir()),
}


def masks_of(found):
    """Masks by (stem of the picture, class): bytes, sorted."""
    masks = {}
    for picture in found.pictures:
        for x in picture.objects:
            mask = decoded(x.segmentation, picture.size_hw)
            masks.setdefault((picture.path.stem, x.name), []).append(np.packbits(mask).tobytes())
    return {key: sorted(own) for key, own in masks.items()}


@pytest.mark.parametrize("name", YOLO)
def test_yolo(name, tmp_path):
    YOLO[name](tmp_path / "export")
    found = recognise(tmp_path / "export").read()
    assert masks_of(found) == expected("rings")
    assert [picture.split for picture in found.pictures] == ["train"] * 2 + ["val"] * 2


@pytest.mark.parametrize("name", ["/data/upload/3/my%20{}", "/data/local-files/?d=some/my%20{}"])
def test_addresses_of_label_studio(name, tmp_path, describe_folder, read_masks):
    folder = writers.pictures(tmp_path / "export/images").parent
    content = writers.coco(first_id=0)
    for image in content["images"]:
        path = folder / "images" / image["file_name"]
        path.rename(path.with_name(f"my {path.name}"))
        image["file_name"] = name.format(path.name)
    writers.write_json(folder / "result.json", content)
    masks = read_masks(describe_folder(folder))[0]
    assert masks == {(f"my {stem}", c): own for (stem, c), own in expected("polygons").items()}


def test_the_attribute_called_class_is_before_the_one_called_type(tmp_path):
    def change(content):
        for entry in content["_via_img_metadata"].values():
            for region in entry["regions"]:
                (name,) = region["region_attributes"].values()
                region["region_attributes"] = {"type": "x", "Class": name}

    edit(writers.via(tmp_path) / "via_project.json", change)
    assert masks_of(recognise(tmp_path).read()) == expected("rings")


def test_a_class_may_be_called_zero(tmp_path):
    folder = writers.labelme(tmp_path / "labelme")
    edit(folder / "first.json", lambda c: c["shapes"][0].update(label=0))
    assert recognise(folder).read().classes[0] == "0"


@pytest.mark.parametrize("kind", ["oriented_rectangle", "quadrilateral"])
def test_turned_boxes(kind, tmp_path):
    shape = {"label": "disc", "points": [[1, 1], [9, 3], [8, 9], [0, 7]], "shape_type": kind}
    edit(writers.labelme(tmp_path) / "none.json", lambda content: content.update(shapes=[shape]))
    (picture,) = (p for p in recognise(tmp_path).read().pictures if p.path.stem == "none")
    assert [x.segmentation for x in picture.objects] == [[[1, 1, 9, 3, 8, 9, 0, 7]]]


def test_what_lies_outside_of_val_is_trained_on(tmp_path, describe_folder):
    folder = writers.labelme(tmp_path / "export")
    (folder / "validation").mkdir()
    for name in ("third.json", "third.png"):
        (folder / name).rename(folder / "validation" / name)
    described = describe_folder(folder)
    assert described.num_pictures == {"train": 3, "val": 1}
    assert choose_recipe(described, Machine("cpu", 0), name="a").values["SOLVER.MAX_ITER"] == 100


@pytest.mark.parametrize("numbers", [(0, 60, 120), (1, 2, 3), (3, 250, 9)])
def test_numbers_with_gaps_make_no_classes(numbers, tmp_path, describe_folder, cfg):
    table = np.full(256, 255, np.uint8)
    table[:3] = numbers
    folder = maps.write(tmp_path / "export", "images", "masks",
                        encode=lambda labels: Image.fromarray(table[labels]))  # fmt: skip
    described = describe_folder(folder)
    assert described.classes == [f"class {number}" for number in sorted(numbers)]
    for stem, labels in maps.read(described, cfg)[0].items():
        order = np.argsort(np.argsort(numbers))
        own = maps.LABELS[stem]
        np.testing.assert_array_equal(labels, np.where(own < 3, order[own.clip(max=2)], 255))


def test_a_table_of_something_else_is_passed_over(tmp_path, describe_folder):
    folder = maps.write(tmp_path / "export", "images", "masks")
    (folder / "shots.csv").write_bytes(b"caf\xe9;12:30\n")
    assert len(describe_folder(folder).classes) == 3


def names(text):
    def make(folder):
        file = writers.yolo(folder) / "data.yaml"
        file.write_text(f"train: train/images\nval: valid/images\n{text}\n")

    return make


def painted(folder):
    """CVAT calls masks of its brush crowds, with run lengths as lists."""

    def change(content):
        for entry in content["annotations"]:
            mask = mask_util.decode(entry["segmentation"]).ravel(order="F")
            ends = np.flatnonzero(np.diff(mask, prepend=0, append=2))
            counts = np.diff(ends, prepend=0).tolist()
            entry |= {"iscrowd": 1, "segmentation": {**entry["segmentation"], "counts": counts}}

    edit(writers.cvat(folder) / "annotations/instances_default.json", change)


def unlabelled(folder):
    edit(writers.label_studio(folder) / "result.json", lambda c: c.update(annotations=[]))


def of_jpeg(folder):
    for file in (maps.write(folder, "images", "masks") / "masks").iterdir():
        Image.open(file).save(file.with_suffix(".jpg"))
        file.unlink()


def of_via_3(folder):
    keys = ("project", "config", "attribute", "file", "metadata", "view")
    writers.write_json(writers.pictures(folder) / "a.json", {key: {} for key in keys})


def empty(folder):
    for file in (writers.yolo(folder) / "train/images").iterdir():
        file.unlink()


MISTAKES = {
    "words of YAML": (names("names: [yes, no, star]"), "has True, which is no text: YAML reads"),
    "null": (names("names: [a, null]"), "has None, which is no text"),
    "YAML": (names("names: [a, b, c]\nval: x"), "data.yaml': the key 'val' is given twice"),
    "empty train": (empty, "names '../train/images', which holds no picture"),
    "brush": (painted, "CVAT's brush made crowds, set 'iscrowd' to 0. 5 of 5 .* crowd regions"),
    "unlabelled": (unlabelled, "There is no labelled picture, but training and validation"),
    "JPEG": (of_jpeg, "Label maps in JPEG or WebP are not read: these change numbers. Write PNG"),
    "VIA 3": (of_via_3, "Projects of VIA 3 are not read"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_a_sentence(name, check_refusal):
    check_refusal(*MISTAKES[name])


def test_a_class_with_a_fraction_is_none(tmp_path):
    folder = writers.yolo(tmp_path)
    (folder / "train/labels/first.txt").write_text("0.5 0 0 1 0 1 1")
    with pytest.raises(ValueError, match=r"has class 0\.5, but"):
        recognise(folder).read()
