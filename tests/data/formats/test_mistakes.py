"""What is no export, two at once, or a broken one ends in one sentence; losses are counted."""

import json
import re

import pytest
from PIL import Image

from pointrend_ext.data.formats import Split, describe, recognise
from tests.data.formats import writers


def edit(path, change):
    """Change the content of a JSON file."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def label_of(folder, text):
    (folder / "train/labels/first.txt").write_text(text)


def remove_pictures(folder):
    for picture in folder.rglob("*.png"):
        picture.unlink()


def boxes_alone(folder):
    for file in folder.rglob("*.txt"):
        file.write_text("0 0.5 0.5 0.1 0.1\n")


def coco_boxes(folder):
    for file in folder.rglob("*.json"):
        edit(file, lambda c: [a.update(segmentation=[]) for a in c["annotations"]])


def other_classes(folder):
    edit(
        folder / "valid/_annotations.coco.json",
        lambda c: c["categories"].append({"id": 9, "name": "gear"}),
    )


def two_attributes(folder):
    def change(content):
        for entry in content["_via_img_metadata"].values():
            for region in entry["regions"]:
                region["region_attributes"]["colour"] = "red"

    edit(folder / "via_project.json", change)


def first_shape(folder, **changes):
    edit(folder / "first.json", lambda c: c["shapes"][0].update(changes))


MISTAKES = {
    "nothing": (lambda f: f.mkdir(), None, "(0 files: none) is no export that is known. Looked"),
    "photographs": (writers.pictures, None, "(4 files: .png) is no export that is known"),
    "two": (lambda f: writers.labelme(writers.yolo(f)), None, "holds YOLO segmentation and label"),
    "two_coco": (
        lambda f: writers.write_json(writers.label_studio(f) / "old.json", writers.coco()), None,
        "2 annotation files in COCO's format whose names tell no split: old.json, result.json.",
    ),
    "no_pictures": (
        writers.cvat, remove_pictures, "its picture 'first.png' is not there; looked below",
    ),
    "boxes": (writers.roboflow, coco_boxes, "no object with a mask, but 4 boxes. Export polygons"),
    "classes": (writers.roboflow, other_classes, "'train' and 'val' have different classes: disc"),
    "yolo_class": (
        writers.yolo, lambda f: label_of(f, "3 0 0 1 0 1 1"), "has class 3, but '.*.yaml' names 3",
    ),
    "yolo_pixels": (
        writers.yolo, lambda f: label_of(f, "1 10 5 7 8 9 9"), "coordinate 10, not a share of the",
    ),
    "yolo_odd": (writers.yolo, lambda f: label_of(f, "1 0 0 1 0 1 1 .5"), "has 7 numbers after"),
    "yolo_text": (
        writers.yolo, lambda f: label_of(f, "\n\ndisc 0 0"), "line 3 of '.*t.txt' is 'disc 0 0'",
    ),
    "yolo_nan": (writers.yolo, lambda f: label_of(f, "1 0 0 1 nan 1 1"), "the coordinate nan"),
    "yolo_boxes": (writers.yolo, boxes_alone, "has no object with an outline .* boxes of YOLO"),
    "yolo_names": (
        lambda f: writers.yolo(f, names={0: "a", 2: "b"}), None, r"numbers of 'names' are \[0, 2\]",
    ),
    "yolo_twice": (
        lambda f: writers.yolo(f, names=["a", "b", "a"]), None, "'names' has 'a' 2 times; each",
    ),
    "yolo_folder": (
        lambda f: writers.yolo(f, stated="images/{}"), None, "names 'images/train', which is not",
    ),
    "labelme_size": (
        writers.labelme,
        lambda f: Image.new("RGB", (64, 47)).save(f / "first.png"),
        r"states \(48, 64\) \(height, width\), but '.*first.png' has \(47, 64\)",
    ),
    "labelme_point": (
        writers.labelme, lambda f: first_shape(f, points=[[1, 2, 3]] * 4), "shape 0 of 'first",
    ),
    "labelme_mask": (
        lambda f: writers.labelme(f, masks=True), lambda f: first_shape(f, mask="no base64"),
        "shape 0 of 'first.json' cannot be read",
    ),
    "labelme_place": (
        lambda f: writers.labelme(f, masks=True),
        lambda f: first_shape(f, points=[[60, 2], [9, 9]]),
        "its mask of .* pixels at 60, 2 leaves the picture",
    ),
    "via": (writers.via, two_attributes, r"attributes \['colour', 'kind of thing'\]. Name the one"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_a_sentence(name, check_refusal):
    make, spoil, message = MISTAKES[name]

    def both(folder):
        make(folder)
        if spoil:
            spoil(folder)

    check_refusal(both, message if ".*" in message or "\\" in message else re.escape(message))


@pytest.mark.parametrize(
    ("file", "content", "hint"),
    [
        ("annotations.xml", "<annotations/>", "XML files are not read: ask CVAT for 'COCO 1.0'"),
        ("tasks.json", '[{"id": 1, "data": {}}]', "Label Studio's own JSON is not read"),
        ("list.json", "[]", r"known\. Looked for"),
        ("broken.json", "{", r"known\. Looked for"),
    ],
)
def test_what_to_ask_a_tool_for(file, content, hint, tmp_path):
    (tmp_path / file).write_text(content)
    with pytest.raises(ValueError, match=hint):
        recognise(tmp_path)


def test_pictures_of_two_splits_are_said(tmp_path, describe_folder):
    folder = writers.yolo(tmp_path / "export", stated="train/images")
    described = describe_folder(folder)
    assert described.num_pictures == {"train": 2, "val": 2}
    assert "2 pictures of 'val' are those of 'train', too, such as" in described.notes[-1]


def test_what_is_left_out_is_counted(tmp_path, describe_folder):
    folder = writers.labelme(tmp_path / "export")
    extra = [
        {"label": "disc", "points": [[1, 2], [3, 4]], "shape_type": "line"},
        {"label": "__ignore__", "points": [[1, 2], [3, 4], [9, 9]], "shape_type": "polygon"},
        {"label": "disc", "points": [[5, 5], [9, 5]], "shape_type": "circle"},
        {"label": " ", "points": [[1, 2], [3, 4], [9, 9]], "shape_type": "polygon"},
    ]
    edit(folder / "first.json", lambda c: c["shapes"].extend(extra))
    (folder / "third.png").unlink()
    (folder / "none.json").unlink()
    described = describe_folder(folder)
    text = "\n".join(described.lines())
    assert "1 of 8 (12.5%) left out: shapes that have no area" in text
    assert "1 of 8 (12.5%) left out: shapes called __ignore__" in text
    assert "1 of 8 (12.5%) left out: shapes without a class" in text
    assert (
        "1 of 4 (25.0%) left out: labelled pictures that are not there; first: third.json" in text
    )
    assert "1 of 4 (25.0%) left out: pictures without a label file" in text
    assert sum(described.num_objects.values()) == 5
    assert f"# {described.notes[0]}" in described.file.read_text()


@pytest.mark.parametrize("names", [("a.json",), ("a.json", "b.json")])
@pytest.mark.parametrize("write", [writers.coco, writers.via])
def test_no_part_of_an_export_is_passed_over(tmp_path, write, names):
    """One file with a key given twice would be left out, and the others described."""
    folder = writers.via(tmp_path / "export")
    [file] = folder.glob("*.json")
    text = file.read_text() if write is writers.via else json.dumps(writers.coco())
    file.unlink()
    (folder / names[-1]).write_text(text)
    (folder / "a.json").write_text('{"categories": [],' + text[1:-1] + ', "categories": []}')
    with pytest.raises(ValueError, match=r"a\.json': the key 'categories' is given twice"):
        recognise(folder)


def test_shapes_of_via(tmp_path, describe_folder, read_masks):
    folder = writers.pictures(tmp_path / "export")
    kinds = [
        {"name": "rect", "x": 4, "y": 5, "width": 10, "height": 6},
        {"name": "circle", "cx": 30, "cy": 20, "r": 9},
        {"name": "ellipse", "cx": 45, "cy": 25, "rx": 9, "ry": 4, "theta": 0},
        {"name": "point", "cx": 45, "cy": 25},
    ]
    regions = [{"shape_attributes": kind, "region_attributes": {}} for kind in kinds]
    entries = {n: {"filename": n, "regions": regions} for n in ("first.png", "second.png")}
    writers.write_json(folder / "export.json", entries)
    described = describe_folder(folder)
    assert described.classes == ["object"]
    entries = json.loads((described.file.parent / "train.json").read_text())["annotations"]
    areas = [entry["area"] for entry in entries]
    assert areas[0] == 60
    assert areas[1] == pytest.approx(254.5, rel=0.02)  # pi 9^2
    assert areas[2] == pytest.approx(113.1, rel=0.03)  # pi 9 4
    assert len(areas) == 3


def test_the_class_of_via_can_be_named(tmp_path):
    folder = writers.via(tmp_path / "export")
    two_attributes(folder)
    named = describe(recognise(folder, class_attribute="kind of thing"), tmp_path / "described")
    assert named.classes == ["disc", "star"]
    with pytest.raises(ValueError, match="have the attributes"):
        describe(recognise(folder, class_attribute="shape"), tmp_path / "other")


def test_where_it_is_written(tmp_path, describe_folder):
    folder = writers.via(tmp_path / "export")
    with pytest.raises(ValueError, match=r"--output '.*export/own' lies in the data"):
        describe(recognise(folder), folder / "own")
    with pytest.raises(ValueError, match="'name' is 'my data', but a text of letters, digits and"):
        describe_folder(folder, name="my data")
    described = describe_folder(folder)
    with pytest.raises(FileExistsError, match="is there already: use it, remove it"):
        describe_folder(folder)
    with pytest.raises(ValueError, match="describes the data set 'data' already"):
        recognise(described.file)
    with pytest.raises(FileNotFoundError, match="there is no such file or folder"):
        recognise(tmp_path / "gone")


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_shares(share):
    with pytest.raises(ValueError, match="not between 0 and 1"):
        Split(share)


def test_one_picture_cannot_be_split(tmp_path, describe_folder):
    folder = writers.pictures(tmp_path / "export", "first.png", "none.png")
    writers.write_json(folder / "a.json", writers.coco(names=["first.png", "none.png"]))
    with pytest.raises(ValueError, match=r"There is one labelled picture \(first.png\)"):
        describe_folder(folder)
