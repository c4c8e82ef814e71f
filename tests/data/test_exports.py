"""Files that real libraries wrote are read as pycocotools reads them, and what is lost is said."""

import json
import re
from dataclasses import asdict

import numpy as np
import pycocotools.mask as mask_util
import pytest
from pycocotools.coco import COCO

from pointrend_ext.evaluation.offline import (
    EvaluationOptions,
    data_set_of_annotations,
    evaluate_files,
)
from tests.data.exports import table
from tests.data.exports.scene import SHAPES, shapes
from tests.data.exports.table import HERE, MANIFEST, NOTES

REFUSED = {
    "datumaro_masks": "7 of 7 (100.0%) noted: crowd regions",
    "globox": "7 of 7 (100.0%) noted: objects without a mask",
    "pylabel": "annotation id 6 occurs more than once",
}
EVERY_READ = pytest.mark.parametrize("name", [n for n in MANIFEST if n not in REFUSED])


def test_files_are_small_and_name_no_folder():
    files = {file.stem: file for file in HERE.glob("*.json")}
    assert set(files) - {"manifest"} == set(MANIFEST) >= set(NOTES)
    for file in files.values():
        assert file.stat().st_size < 30_000
        assert not re.search(r"tmp|/root|/home|/work|/Users", file.read_text())


def test_the_scene_by_hand():
    ring, triangle, parts, corner, disc, over, pixel = (shape.mask() for shape in SHAPES)
    assert ring.sum() == pytest.approx(np.pi * (16**2 - 7**2), rel=0.03)
    assert not ring[22, 20]  # the hole
    assert triangle.sum() == pytest.approx(348, rel=0.01)  # half of 12 * 23 + 12 * 35
    assert parts.sum() == 14 * 15 + 9 * 22
    assert corner.sum() == 13 * 12
    assert corner[-1, -1]
    assert (disc & over).any()
    assert [tuple(x) for x in np.argwhere(pixel)] == [(3, 33)]
    assert [len(shapes(form)) for form in ("masks", "polygons", "rings")] == [7, 7, 8]


@EVERY_READ
def test_masks_and_classes_are_those_of_pycocotools(name):
    found, _, _ = table.read_masks(name)
    plain = table.plain_masks(name)
    assert found.keys() == plain.keys()
    for key, masks in found.items():
        assert sorted(m.tobytes() for m in masks) == sorted(m.tobytes() for m in plain[key])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "supervision",
            ["3 of 7 (42.9%) noted: crowd regions", "1 of 7 (14.3%) noted: objects without"],
        ),
        ("labelme", ["3 of 7 (42.9%) left out: polygons of fewer than 3 points"]),
        ("fiftyone_detections", ["1 of 7 (14.3%) noted: masks with a polygon inside another one"]),
        ("imantics", ["polygon inside another one", "1 of 7 (14.3%) left out: objects whose box"]),
        ("datumaro_polygons", []),
        ("label_studio_polygons", []),
    ],
)
def test_what_is_lost_is_said(name, said):
    _, answer, message = table.read_masks(name)
    assert answer == ("read, with a warning" if said else "read")
    assert all(part in message for part in said)
    assert bool(message) == bool(said)


@pytest.mark.parametrize(("name", "said"), REFUSED.items())
def test_what_cannot_be_trained_on_is_refused(name, said):
    found, answer, message = table.read_masks(name)
    assert (found, answer) == ({}, "refused")
    assert said in message


@EVERY_READ
def test_an_exact_prediction_of_every_object_scores_100(name, tmp_path):
    coco, predictions = COCO(HERE / f"{name}.json"), []
    for entry in coco.dataset["annotations"]:
        mask = entry["segmentation"]
        if entry["iscrowd"] or not mask or (isinstance(mask, list) and len(mask[0]) < 6):
            continue
        rle = mask_util.encode(np.asfortranarray(coco.annToMask(entry)))
        predictions.append(
            {
                "image_id": entry["image_id"],
                "category_id": entry["category_id"],
                "bbox": entry["bbox"],
                "score": 0.9,
                "segmentation": {**rle, "counts": rle["counts"].decode("ascii")},
            }
        )
    file = tmp_path / "predictions.json"
    file.write_text(json.dumps(predictions))
    truth = data_set_of_annotations(HERE / f"{name}.json")
    options = EvaluationOptions(metrics=("segm",), num_draws=0)
    (model,) = evaluate_files(truth, {"exact": str(file)}, options).models
    assert model.scores["segm"]["AP"].value == pytest.approx(100)


def test_the_page_shows_what_is_read_today():
    rows = [asdict(table.row_of(name)) for name in MANIFEST]
    assert rows == json.loads(table.DATA.read_text())
    page = table.PAGE.read_text()
    assert table.replaced(page, rows) == page
    by_name = {row["name"]: row for row in rows}
    assert by_name["pycocotools"]["lowest_iou"] == 1
    assert by_name["datumaro_polygons"]["lowest_iou"] > 0.98  # pycocotools rasters its own way
    assert by_name["supervision"]["crowds"] == 3
