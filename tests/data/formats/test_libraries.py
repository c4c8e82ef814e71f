"""Files that the tools' own libraries write, against their own reading; skipped without them."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from tests.data.exports.scene import CLASSES, IMAGES, SIZES_HW, bounds, shapes
from tests.data.formats import writers
from tests.data.formats.conftest import decoded


def masks_of(described):
    """Masks (H, W) by stem of the picture and class of all annotation files of a description."""
    found = {}
    for file in described.file.parent.glob("*.json"):
        content = json.loads(file.read_text())
        images = {image["id"]: image for image in content["images"]}
        names = {category["id"]: category["name"] for category in content["categories"]}
        for entry in content["annotations"]:
            image = images[entry["image_id"]]
            mask = decoded(entry["segmentation"], (image["height"], image["width"]))
            key = Path(image["file_name"]).stem, names[entry["category_id"]]
            found.setdefault(key, []).append(mask)
    return found


def test_yolo_of_supervision(tmp_path, describe_folder):
    """What it reads of its file has the classes and outlines that we read, to a pixel."""
    sv = pytest.importorskip("supervision")
    folder = writers.pictures(tmp_path / "export/images").parent
    detections = {}
    for image in IMAGES:
        own = [s for s in shapes("polygons") if s.image == image and s.mask().sum() > 1]
        detections[str(folder / "images" / image)] = sv.Detections(
            xyxy=np.array([bounds(s) for s in own], float).reshape(-1, 4),
            mask=np.array([s.mask() for s in own], bool).reshape(-1, *SIZES_HW[image]),
            class_id=np.array([CLASSES.index(s.name) for s in own], int),
        )
    data = sv.DetectionDataset(list(CLASSES), list(detections), detections)
    data.as_yolo(str(folder / "images"), str(folder / "labels"), str(folder / "data.yaml"))
    text = (folder / "data.yaml").read_text()
    (folder / "data.yaml").write_text(f"{text}\ntrain: images\n")
    described = describe_folder(folder)
    assert described.classes == list(CLASSES)
    theirs = sv.DetectionDataset.from_yolo(
        str(folder / "images"), str(folder / "labels"), str(folder / "data.yaml"), force_masks=True
    )
    ours, number = masks_of(described), 0
    for path, _, found in theirs:
        for mask, class_id in zip(found.mask if len(found) else (), found.class_id, strict=True):
            number += 1
            candidates = ours[Path(path).stem, CLASSES[class_id]]
            # It cuts corners to whole pixels and draws those of the outline as inside, too.
            ious = [(m & mask).sum() / (m | mask).sum() for m in candidates]
            assert max(ious) > 0.8  # it cuts corners to whole pixels; the outline is inside
    assert number == sum(map(len, ours.values())) == 7  # an object of two parts becomes two


def test_labelme_as_labelme2coco_reads_it(tmp_path, describe_folder):
    """It cuts coordinates to whole pixels, so those of this test are whole."""
    labelme2coco = pytest.importorskip("labelme2coco")
    folder = writers.pictures(tmp_path / "export", "first.png", "third.png")
    outlines = {
        "first": [("disc", [[3, 4], [30, 6], [22, 40]]), ("star", [[40, 8], [60, 9], [50, 30]])],
        "third": [("star", [[5, 5], [35, 10], [20, 50], [8, 40]])],
    }
    for stem, own in outlines.items():
        height, width = SIZES_HW[f"{stem}.png"]
        entries = [{"label": n, "points": p, "shape_type": "polygon"} for n, p in own]
        content = {"shapes": entries, "imagePath": f"{stem}.png"}
        content |= {"imageHeight": height, "imageWidth": width}
        writers.write_json(folder / f"{stem}.json", content)
    ours = masks_of(describe_folder(folder))
    labelme2coco.convert(str(folder), str(tmp_path / "theirs"))
    content = json.loads((tmp_path / "theirs/dataset.json").read_text())
    names = {category["id"]: category["name"] for category in content["categories"]}
    images = {image["id"]: image for image in content["images"]}
    assert len(content["annotations"]) == sum(map(len, ours.values())) == 3
    for entry in content["annotations"]:
        image = images[entry["image_id"]]
        mask = decoded(entry["segmentation"], (image["height"], image["width"]))
        stem = os.path.splitext(os.path.basename(image["file_name"]))[0]
        (own,) = ours[stem, names[entry["category_id"]]]
        np.testing.assert_array_equal(own, mask)
