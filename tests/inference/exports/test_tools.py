"""Prediction -> file -> masks again: Boundary IoU at least what was asked for, nothing lost."""

import numpy as np
import pytest

from pointrend_ext.engine.classes import Classes
from pointrend_ext.inference.exports import cvat_image, label_studio_task
from tests.inference.exports.predictions import SIZE_HW, masks, prediction
from tests.inference.exports.readers import READERS, read_back
from tests.inference.exports.test_outlines import boundary_iou

SHOWN = {name: mask for name, mask in masks().items() if name != "empty"}
EXACT = ("labelme", "cvat")  # of objects with a hole, which are masks there


@pytest.mark.parametrize("asked", [0.8, 0.95, 1.0])
@pytest.mark.parametrize("kind", READERS)
def test_what_is_written_is_read_back(kind, asked, tmp_path):
    names, found = zip(*read_back(kind, prediction(), asked, tmp_path / "export"), strict=True)
    # The groups of labelme and CVAT come where their first shape stands.
    assert names == ("disc", "star", "disc", "star", "disc", "star", "star")
    for (name, mask), back in zip(SHOWN.items(), found, strict=True):
        assert boundary_iou(back, mask) >= asked, name
        if asked == 1 or kind == "coco" or (kind in EXACT and name in ("ring", "parts", "holes")):
            np.testing.assert_array_equal(back, mask, err_msg=name)


@pytest.mark.parametrize("kind", READERS)
def test_classes_that_are_not_ascii(kind, tmp_path):
    classes = Classes(things=("диск", "étoile ✓"))
    found = read_back(kind, prediction(("blob", "ring"), class_info=classes), 0.9, tmp_path / "e")
    assert [name for name, _ in found] == [*classes.things]


@pytest.mark.parametrize("kind", READERS)
def test_nothing_is_read_back_of_nothing(kind, tmp_path):
    if kind in ("yolo", "labelme"):  # an export without any object is refused by our readers
        with pytest.raises(ValueError, match="has no object with an outline or a mask"):
            read_back(kind, prediction(()), 0.9, tmp_path / "e")
    else:
        assert read_back(kind, prediction(()), 0.9, tmp_path / "e") == []


def test_what_else_stands_in_the_files():
    assert prediction().to_labelme()["imagePath"] == "street.jpg"
    first = prediction().to_geojson()["features"][0]["properties"]
    assert first["score"] == pytest.approx(0.9)
    element = cvat_image(prediction().outlines(), SIZE_HW, "street.jpg", 3)
    assert dict(element.attrib) == {
        "id": "3", "name": "street.jpg", "width": "230", "height": "160",
    }  # fmt: skip
    task = label_studio_task(prediction().outlines(), SIZE_HW, "street.jpg", "model")
    assert task["data"] == {"image": "street.jpg"}
    assert task["predictions"][0]["model_version"] == "model"


def test_geojson_is_valid_for_shapely():
    shapely = pytest.importorskip("shapely")
    for feature in prediction().to_geojson(1.0)["features"]:
        shape = shapely.geometry.shape(feature["geometry"])
        assert shape.is_valid
    areas = [shapely.geometry.shape(f["geometry"]).area
             for f in prediction().to_geojson(1.0)["features"]]  # fmt: skip
    assert areas == [mask.sum() for mask in SHOWN.values()]


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
