"""Exports that are odd and right, and mistakes that nobody would notice later."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from pointrend_ext.data.formats import recognise
from tests.data.formats import test_label_folders as maps
from tests.data.formats import writers
from tests.data.formats.test_instances import expected


def edit(file, change):
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def first_of_via(content):
    return next(iter(content["_via_img_metadata"].values()))


def test_byte_order_marks_of_windows(tmp_path, describe_folder, read_masks):
    folder = writers.yolo_of_label_studio(tmp_path / "export")
    for file in folder.rglob("*.txt"):
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    described = describe_folder(folder)
    assert described.classes[0] == "disc"
    assert read_masks(described)[0] == expected("rings")


def test_pictures_called_train_are_no_split(tmp_path, describe_folder):
    """Of trains; the folder of a picture alone is its split."""
    folder = writers.labelme(tmp_path / "export")
    for number, stem in enumerate(("first", "second")):
        (folder / f"{stem}.png").rename(folder / f"train_{number}.png")
        edit(folder / f"{stem}.json", lambda c, n=number: c.update(imagePath=f"train_{n}.png"))
        (folder / f"{stem}.json").rename(folder / f"train_{number}.json")
    assert {picture.split for picture in recognise(folder).read().pictures} == {""}
    assert set(describe_folder(folder).num_pictures) == {"train", "val"}


def test_boxes_of_four_corners(tmp_path):
    """As X-AnyLabeling writes them, also turned."""
    folder = writers.labelme(tmp_path / "export")
    corners = [[1, 1], [9, 3], [8, 9], [0, 7]]
    shapes = [
        {"label": "disc", "points": corners, "shape_type": kind}
        for kind in ("rectangle", "rotation")
    ]
    edit(folder / "none.json", lambda content: content.update(shapes=shapes))
    (picture,) = (p for p in recognise(folder).read().pictures if p.path.stem == "none")
    assert [found.segmentation for found in picture.objects] == [[[1, 1, 9, 3, 8, 9, 0, 7]]] * 2


def test_a_test_split_that_data_yaml_names_alone(tmp_path, describe_folder):
    described = describe_folder(writers.yolo(tmp_path / "export", test="../test/images"))
    assert described.num_pictures == {"train": 2, "val": 2}
    assert "1 of 3 (33.3%) noted: test splits that are named and not there" in described.notes[0]


@pytest.mark.parametrize("has_pictures", [True, False])
def test_a_test_split_without_objects_is_left_out(has_pictures, tmp_path, describe_folder):
    folder = writers.roboflow(tmp_path / "export")
    writers.pictures(folder / "test", "none.png")
    content = writers.coco(names=["none.png"] if has_pictures else [], first_id=0)
    writers.write_json(folder / "test/_annotations.coco.json", content)
    described = describe_folder(folder)
    assert described.num_pictures == {"train": 2, "val": 2}
    assert "The split 'test' has no object, and is left out." in described.notes


def test_a_name_with_its_folder_tells_a_picture_of_via(tmp_path):
    folder = writers.via(tmp_path / "export")
    writers.pictures(folder / "more")
    names = [f"more/{name}" for name in ("first.png", "none.png", "second.png", "third.png")]
    entries = [{"filename": name, "regions": []} for name in names]
    polygon = {"name": "polygon", "all_points_x": [1, 9, 5], "all_points_y": [1, 1, 9]}
    entries[0]["regions"] = [{"shape_attributes": polygon, "region_attributes": {}}]
    writers.write_json(folder / "via_project.json", {str(i): e for i, e in enumerate(entries)})
    assert {p.path.parent.name for p in recognise(folder).read().pictures} == {"more"}


def a_depth_beside(folder):
    maps.write(folder, "images", "masks")
    shutil.copytree(folder / "images", folder / "depth")


def numbers_of_16_bits(folder):
    maps.write(folder, "images", "masks", encode=lambda x: Image.fromarray(x.astype("uint16") * 99))


def table(text):
    def make(folder):
        (maps.write(folder, "images", "masks") / "_classes.csv").write_text(text)

    return make


def of_via(**changes):
    def make(folder):
        edit(writers.via(folder) / "via_project.json", lambda c: first_of_via(c).update(changes))

    return make


def copied(write, old, new):
    def make(folder):
        place = write(folder)
        copy = shutil.copytree if (place / old).is_dir() else shutil.copy
        copy(place / old, place / new)

    return make


def twice(write, folder):
    writers.pictures(write(folder) / "a")
    writers.pictures(folder / "b")
    for picture in folder.glob("*.png"):
        picture.unlink()


def without_mask(folder):
    file = writers.labelme(folder, masks=True) / "first.json"
    edit(file, lambda content: content["shapes"][0].pop("mask"))


def latin(folder):
    (writers.yolo_of_label_studio(folder) / "classes.txt").write_bytes(b"caf\xe9\nb\nc\n")


def annotations(folder):
    file = writers.cvat(folder) / "annotations/instances_default.json"
    edit(file, lambda content: content.update(annotations=[5]))


MISTAKES = {
    "encoding": (latin, r"classes.txt' is no text in UTF-8 .*Save it as UTF-8"),
    "key_points": (lambda f: writers.yolo(f, kpt_shape=[17, 3]), "labels are key points"),
    "numbers": (lambda f: writers.yolo(f, names={0: "a", "x": "b"}), r"numbers of 'names' are \["),
    "annotations": (annotations, "is no export that is known"),
    "no_mask": (without_mask, r"shape 0 of 'first.json' cannot be read \(KeyError: 'mask'\)"),
    "labelme_twice": (copied(writers.labelme, "first.json", "x.json"), "labels 1 pictures twice"),
    "via_twice": (copied(writers.via, "via_project.json", "x.json"), "labels 4 pictures twice"),
    "via_folders": (lambda f: twice(writers.via, f), "not clear which of 'a/first.png', 'b/first"),
    "via_region": (of_via(regions=[5]), "regions of 'first.png' are no list of dicts"),
    "via_regions": (of_via(regions=7), "regions of 'first.png' are no list of dicts"),
    "depth": (a_depth_beside, "not clear which of 'depth', 'images' belongs to 'masks'"),
    "16_bits": (numbers_of_16_bits, "numbers up to 25245: depths, instances, or classes times"),
    "cell": (table("Pixel Value, Class\n0\n"), "_classes.csv' has a line that is not 'pixel value"),
    "color": (table("name,r,g,b\nsky,300,0,0\n"), "not 'name,r,g,b' with whole numbers"),
    "zip": (lambda f: (f.mkdir(), (f / "a.zip").touch()), "ZIP files are not read: unpack them"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_a_sentence(name, check_refusal):
    check_refusal(*MISTAKES[name])


def test_numbers_of_a_table_may_be_large(tmp_path, describe_folder):
    folder = tmp_path / "export"
    maps.write(folder, "images", "masks", encode=lambda x: Image.fromarray(x.astype("uint16") * 99))
    rows = [f"{99 * number}, {name}" for number, name in ((0, "sky"), (1, "tree"), (2, "road"))]
    rows += [f"{99 * 255}, void"]
    (folder / "_classes.csv").write_text("\n".join(["Pixel Value, Class", *rows]))
    described = describe_folder(folder)
    assert described.classes == ["sky", "tree", "road", "void"]
    assert np.all(np.array(described.num_pictures["train"]) == 5)
