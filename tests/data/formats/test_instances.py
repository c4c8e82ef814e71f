"""Every export of instances gives the masks and the classes of the COCO file it stands for."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pointrend_ext.data.formats import Described, Split, describe, recognise
from tests.data.exports.scene import CLASSES, IMAGES, SIZES_HW
from tests.data.formats import writers
from tests.data.formats.conftest import decoded

USED = ["disc", "star"]  # classes of formats that name no others
EXPORTS = {
    # writer, kind, form of the scene, classes, whether it has a split
    "roboflow": (writers.roboflow, "COCO", "polygons", [*CLASSES], True),
    "cvat": (writers.cvat, "COCO", "masks", [*CLASSES], False),
    "label_studio": (writers.label_studio, "COCO", "polygons", [*CLASSES], False),
    "coco_annotator": (writers.coco_annotator, "COCO", "polygons", [*CLASSES], False),
    "coco_2017": (writers.coco_2017, "COCO", "masks", [*CLASSES], True),
    "yolo": (writers.yolo, "YOLO segmentation", "rings", [*CLASSES], True),
    "yolo_of_cvat": (writers.yolo_of_cvat, "YOLO segmentation", "rings", [*CLASSES], True),
    "yolo_of_label_studio": (
        writers.yolo_of_label_studio, "YOLO segmentation", "rings", [*CLASSES], False,
    ),
    "labelme": (writers.labelme, "labelme", "polygons", USED, False),
    "labelme_masks": (lambda f: writers.labelme(f, masks=True), "labelme", "masks", USED, False),
    "via": (writers.via, "VIA", "rings", USED, False),
    "via_export": (lambda f: writers.via(f, project=False), "VIA", "rings", USED, False),
    "via_1": (lambda f: writers.via(f, as_dict=True), "VIA", "rings", USED, False),
}  # fmt: skip


def expected(form):
    """Masks of the scene's COCO file, drawn by pycocotools."""
    content, found = writers.coco(form), {}
    for entry in content["annotations"]:
        name = IMAGES[entry["image_id"] - 1]
        mask = decoded(entry["segmentation"], SIZES_HW[name])
        key = Path(name).stem, CLASSES[entry["category_id"] - 1]
        found.setdefault(key, []).append(np.packbits(mask).tobytes())
    return {key: sorted(masks) for key, masks in found.items()}


@pytest.mark.parametrize("name", EXPORTS)
def test_masks_and_classes_are_those_of_the_original(name, tmp_path, describe_folder, read_masks):
    write, kind, form, classes, has_split = EXPORTS[name]
    folder = write(tmp_path / "export")
    assert recognise(folder).kind == kind
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    described = describe_folder(folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert (described.task, described.classes) == ("instance", classes)
    masks, stems = read_masks(described)
    assert masks == expected(form)
    assert sum(described.num_objects.values()) == sum(map(len, masks.values()))
    assert sum(described.num_pictures.values()) == len(IMAGES)
    assert set(stems) == set(described.num_pictures) == {"train", "val"}
    assert set.union(*stems.values()) == {Path(image).stem for image in IMAGES}
    text = described.file.read_text()
    assert ("No split was given" in text) != has_split
    if has_split:
        assert stems["train"] == {"first", "second"}
    else:
        assert len(stems["val"]) == 1
        assert "val has 20% of the pictures, by name, with seed 0." in text


def test_the_description_is_moved_with_the_data(tmp_path, read_masks):
    folder = writers.labelme(tmp_path / "one/export")
    describe(recognise(folder), tmp_path / "one/described")
    (tmp_path / "one").rename(tmp_path / "two")
    described = tmp_path / "two/described/data.yaml"
    assert str(tmp_path) not in described.read_text()
    assert read_masks(Described(described, "instance", USED))[0] == expected("polygons")


def test_the_split_is_by_seed_and_share(tmp_path, read_masks):
    folder, chosen = writers.via(tmp_path / "export"), set()
    for seed in range(12):
        drawn = [
            describe(recognise(folder), tmp_path / f"{seed}{n}", split=Split(0.5, seed))
            for n in range(2)
        ]
        texts = [(d.file.parent / "val.json").read_text() for d in drawn]
        assert texts[0] == texts[1]
        assert drawn[0].num_pictures == {"train": 2, "val": 2}
        chosen.add(texts[0])
    assert len(chosen) > 2


def test_classes_numbered_and_of_other_names(tmp_path, describe_folder):
    folder = writers.yolo(tmp_path / "export", names={0: "a", 1: 7, 2: "c: d"})
    assert describe_folder(folder).classes == ["a", "7", "c: d"]


@pytest.mark.parametrize("name", ["cvat", "coco_annotator"])
def test_the_main_file_stands_for_its_export(name, tmp_path, describe_folder, read_masks):
    write, _, form, *_ = EXPORTS[name]
    (file,) = write(tmp_path / "export").rglob("*.json")
    writers.write_json(file.parent / "instances_more.json", writers.coco())  # is not meant
    assert read_masks(describe_folder(file))[0] == expected(form)


def test_labels_lie_beside_the_last_folder_called_images(tmp_path, describe_folder, read_masks):
    folder = writers.yolo(tmp_path / "images/export")
    assert read_masks(describe_folder(folder))[0] == expected("rings")


def test_data_yaml_stands_for_its_export(tmp_path, describe_folder, read_masks):
    file = writers.yolo(tmp_path / "export") / "data.yaml"
    assert read_masks(describe_folder(file))[0] == expected("rings")


def test_names_of_a_server_are_found_by_their_end(tmp_path, describe_folder, read_masks):
    folder = writers.pictures(tmp_path / "export/upload").parent
    writers.write_json(folder / "result.json", writers.coco(prefix="/data/upload/7/"))
    assert read_masks(describe_folder(folder))[0] == expected("polygons")


def test_half_pixels_come_back_from_shares(tmp_path, describe_folder, read_masks):
    """pycocotools rounds 10.5 one way and 10.4999 the other."""
    folder = tmp_path / "export"
    (folder / "images").mkdir(parents=True)
    sizes = [(640, 427), (1333, 800), (4032, 3024)]
    masks = {}
    (folder / "labels").mkdir()
    for number, (width, height) in enumerate(sizes):
        Image.new("RGB", (width, height)).save(folder / f"images/{number}.png")
        corners = [10.5, 20.5, 300.1, 33.3, 211.5, 400.5, 17.9, 350.7]
        shares = [v / (width, height)[i % 2] for i, v in enumerate(corners)]
        line = " ".join(["0", *(f"{v:.6f}" for v in shares)])
        (folder / f"labels/{number}.txt").write_text(line)
        masks[str(number), "thing"] = [np.packbits(decoded([corners], (height, width))).tobytes()]
    (folder / "classes.txt").write_text("thing")
    assert read_masks(describe_folder(folder))[0] == masks
