"""Prediction -> file -> masks again: Boundary IoU at least what was asked for, nothing lost."""

import json
from xml.etree import ElementTree

import numpy as np
import pycocotools.mask as mask_util
import pytest
from PIL import Image

from pointrend_ext.data.formats import recognise
from pointrend_ext.inference.exports import cvat_image, label_studio_task
from tests.inference.exports.predictions import SIZE_HW, masks, prediction
from tests.inference.exports.test_outlines import boundary_iou, drawn

SHOWN = {name: mask for name, mask in masks().items() if name != "empty"}
ASKED = pytest.mark.parametrize("asked", [0.8, 0.95, 1.0])


def of_polygons(polygons):
    rles = mask_util.frPyObjects([np.ravel(p).astype(float).tolist() for p in polygons], *SIZE_HW)
    return mask_util.decode(mask_util.merge(rles)).astype(bool)


def check(found, asked, exact=()):
    """Masks in the order of ``SHOWN``; those called ``exact`` are equal to the last pixel."""
    assert len(found) == len(SHOWN)
    for (name, mask), back in zip(SHOWN.items(), found, strict=True):
        assert boundary_iou(back, mask) >= asked, name
        if asked == 1 or name in exact:
            np.testing.assert_array_equal(back, mask, err_msg=name)


@pytest.fixture
def export(tmp_path):
    """A folder with the picture as YOLO lays it out, and as labelme does."""
    folder = tmp_path / "export"
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    Image.new("RGB", SIZE_HW[::-1]).save(folder / "images/street.jpg")
    return folder


def masks_of(picture):
    found = []
    for entry in picture.objects:
        mask = entry.segmentation
        if isinstance(mask, list):
            mask = mask_util.merge(mask_util.frPyObjects(mask, *SIZE_HW))
        found.append((entry.name, mask_util.decode(mask).astype(bool)))
    return found


@ASKED
def test_yolo_is_read_back(asked, export):
    text = prediction().to_yolo(asked)
    assert all(0 <= float(v) <= 1 for line in text.splitlines() for v in line.split()[1:])
    (export / "labels/street.txt").write_text(text)
    (export / "classes.txt").write_text("disc\nstar\n")
    (picture,) = recognise(export).read().pictures
    names, found = zip(*masks_of(picture), strict=True)
    assert names == ("disc", "star", "disc", "star", "disc", "star", "star")
    check(found, asked)


@ASKED
def test_labelme_is_read_back(asked, export):
    content = prediction().to_labelme(asked)
    assert content["imagePath"] == "street.jpg"
    (export / "images/street.json").write_text(json.dumps(content))
    (picture,) = recognise(export / "images").read().pictures
    found = dict(zip(SHOWN, range(len(SHOWN)), strict=True))
    back = masks_of(picture)
    # The groups come where their first shape stands.
    assert [name for name, _ in back] == ["disc", "star", "disc", "star", "disc", "star", "star"]
    check([mask for _, mask in back], asked, exact=("ring", "parts", "holes"))
    assert found.keys() == SHOWN.keys()


@ASKED
def test_geojson_keeps_holes_and_parts(asked):
    content = json.loads(json.dumps(prediction().to_geojson(asked)))
    found = []
    for feature in content["features"]:
        geometry = feature["geometry"]
        polygons = geometry["coordinates"]
        polygons = [polygons] if geometry["type"] == "Polygon" else polygons
        assert all(ring[0] == ring[-1] and len(ring) > 3 for part in polygons for ring in part)
        parts = [[np.array(ring[:-1], np.int32) for ring in part] for part in polygons]
        found.append(drawn(parts, SIZE_HW))
    check(found, asked)
    first = content["features"][0]["properties"]
    assert first["classification"] == {"name": "disc"}
    assert first["score"] == pytest.approx(0.9)


def test_geojson_is_valid_for_shapely():
    shapely = pytest.importorskip("shapely")
    for feature in prediction().to_geojson(1.0)["features"]:
        shape = shapely.geometry.shape(feature["geometry"])
        assert shape.is_valid
    areas = [shapely.geometry.shape(f["geometry"]).area
             for f in prediction().to_geojson(1.0)["features"]]  # fmt: skip
    assert areas == [mask.sum() for mask in SHOWN.values()]


@ASKED
def test_cvat(asked):
    element = cvat_image(prediction().outlines(asked), SIZE_HW, "street.jpg", 3)
    text = ElementTree.tostring(element)
    image = ElementTree.fromstring(text)
    assert dict(image.attrib) == {
        "id": "3", "name": "street.jpg", "width": "230", "height": "160",
    }  # fmt: skip
    found = {}
    for number, shape in enumerate(image):
        if shape.tag == "mask":
            left, top, width, height = (
                int(shape.get(k)) for k in ("left", "top", "width", "height")
            )
            runs = [int(v) for v in shape.get("rle").split(",")]
            flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
            mask = np.zeros(SIZE_HW, bool)
            mask[top : top + height, left : left + width] = flat.reshape(height, width)
            found[number] = mask
        else:
            points = [[float(v) for v in p.split(",")] for p in shape.get("points").split(";")]
            key = shape.get("group_id") or number
            found[key] = found.get(key, False) | of_polygons([points])
    check(list(found.values()), asked, exact=("ring", "parts", "holes"))


@ASKED
def test_label_studio(asked):
    task = json.loads(
        json.dumps(label_studio_task(prediction().outlines(asked), SIZE_HW, "street.jpg", "model"))
    )
    (answer,) = task["predictions"]
    assert task["data"] == {"image": "street.jpg"}
    assert answer["model_version"] == "model"
    sides = np.array(SIZE_HW[::-1])
    rings = [np.array(r["value"]["points"]) * sides / 100 for r in answer["result"]]
    labels = [r["value"]["polygonlabels"] for r in answer["result"]]
    # Three objects have two parts, each of which is a region of its own.
    assert labels == [["disc"], ["star"], ["disc"], ["disc"], ["star"], ["star"], ["disc"],
                      ["star"], ["star"], ["star"]]  # fmt: skip
    found = [[0], [1], [2, 3], [4, 5], [6], [7], [8, 9]]
    check([of_polygons([rings[i].round(3) for i in numbers]) for numbers in found], asked)


def test_supervision_holds_no_whole_mask():
    sv = pytest.importorskip("supervision")
    found = prediction().to_supervision()
    assert isinstance(found, sv.Detections)
    assert type(found.mask).__name__ == "CompactMask"
    np.testing.assert_array_equal(np.asarray(found.mask), np.array(list(masks().values())))
    np.testing.assert_array_equal(found.xyxy, prediction().boxes)
    assert found.data["class_name"].tolist() == prediction().class_names
    assert found.confidence[0] == pytest.approx(0.9)
    assert len(prediction(()).to_supervision()) == 0
    assert len(found[found.confidence > 0.6]) == 5


def test_supervision_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "supervision", None)
    with pytest.raises(ImportError, match="pip install -U supervision"):
        prediction().to_supervision()


def test_nothing_found():
    empty = prediction(())
    assert empty.to_yolo() == ""
    assert empty.to_labelme()["shapes"] == []
    assert empty.to_geojson() == {"type": "FeatureCollection", "features": []}
    assert label_studio_task([], SIZE_HW, "a.jpg", "m")["predictions"][0]["score"] == 0
