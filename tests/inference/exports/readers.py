"""Files of predictions read back to masks, by our readers where there is one, else by hand."""

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pycocotools.mask as mask_util
from PIL import Image

from pointrend_ext.data.formats import recognise
from pointrend_ext.inference.exports import cvat_image, label_studio_task
from tests.inference.exports.test_outlines import drawn


def of_polygons(polygons, size_hw):
    rles = mask_util.frPyObjects([np.ravel(p).astype(float).tolist() for p in polygons], *size_hw)
    return mask_util.decode(mask_util.merge(rles)).astype(bool)


def export(folder, size_hw):
    """A folder with a picture as YOLO lays it out."""
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    Image.new("RGB", size_hw[::-1]).save(folder / "images/street.jpg")
    return folder


def objects_of(export):
    """Class and mask of every object of an export of one picture."""
    (picture,) = recognise(export).read().pictures
    found = []
    for entry in picture.objects:
        mask = entry.segmentation
        if isinstance(mask, list):
            mask = mask_util.merge(mask_util.frPyObjects(mask, *picture.size_hw))
        found.append((entry.name, mask_util.decode(mask).astype(bool)))
    return found


def yolo(prediction, asked, folder):
    text = prediction.to_yolo(asked)
    assert all(0 <= float(v) <= 1 for line in text.splitlines() for v in line.split()[1:])
    place = export(folder, prediction.size_hw)
    (place / "labels/street.txt").write_text(text)
    names = prediction.class_info.things
    (place / "classes.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    return objects_of(place)


def labelme(prediction, asked, folder):
    content = prediction.to_labelme(asked)
    content["imagePath"] = "street.jpg"
    place = export(folder, prediction.size_hw) / "images"
    (place / "street.json").write_text(json.dumps(content))
    return objects_of(place)


def geojson(prediction, asked, folder):
    content = json.loads(json.dumps(prediction.to_geojson(asked)))
    found = []
    for feature in content["features"]:
        geometry = feature["geometry"]
        polygons = geometry["coordinates"]
        polygons = [polygons] if geometry["type"] == "Polygon" else polygons
        assert all(ring[0] == ring[-1] and len(ring) > 3 for part in polygons for ring in part)
        parts = [[np.array(ring[:-1], np.int32) for ring in part] for part in polygons]
        name = feature["properties"]["classification"]["name"]
        found.append((name, drawn(parts, prediction.size_hw)))
    return found


def cvat(prediction, asked, folder):
    size_hw, found = prediction.size_hw, {}
    element = cvat_image(prediction.outlines(asked), size_hw, "street.jpg", 3)
    for number, shape in enumerate(ElementTree.fromstring(ElementTree.tostring(element))):
        key = shape.get("group_id") or number
        _, mask = found.get(key, ("", np.zeros(size_hw, bool)))
        if shape.tag == "mask":
            left, top, width, height = (
                int(shape.get(k)) for k in ("left", "top", "width", "height")
            )
            runs = [int(v) for v in shape.get("rle").split(",")]
            flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
            mask[top : top + height, left : left + width] = flat.reshape(height, width)
        else:
            points = [[float(v) for v in p.split(",")] for p in shape.get("points").split(";")]
            mask = mask | of_polygons([points], size_hw)
        found[key] = shape.get("label"), mask
    return list(found.values())


def label_studio(prediction, asked, folder):
    """Regions in the order of their objects; which belong together is known by their number."""
    outlines, size_hw = prediction.outlines(asked), prediction.size_hw
    task = json.loads(json.dumps(label_studio_task(outlines, size_hw, "street.jpg", "model")))
    regions = iter(task["predictions"][0]["result"])
    sides, found = np.array(size_hw[::-1]), []
    for outline in outlines:
        values = [next(regions)["value"] for _ in outline.parts]
        rings = [(np.array(value["points"]) * sides / 100).round(2) for value in values]
        (name,) = {label for value in values for label in value["polygonlabels"]}
        found.append((name, of_polygons(rings, size_hw)))
    assert next(regions, None) is None
    return found


def coco(prediction, asked, folder):
    names = dict(enumerate(prediction.class_info.things, start=1))
    numbered = replace(prediction.class_info, thing_ids=tuple(names))
    results = json.loads(json.dumps(replace(prediction, class_info=numbered).to_coco(1)))
    found = [(names[r["category_id"]], mask_util.decode(r["segmentation"])) for r in results]
    return [(name, mask.astype(bool)) for name, mask in found if mask.any()]


READERS = {f.__name__: f for f in (yolo, labelme, geojson, cvat, label_studio, coco)}


def read_back(kind: str, prediction, asked: float, folder: Path) -> list[tuple[str, np.ndarray]]:
    """Return class and mask (H, W) of every object that has a pixel."""
    return READERS[kind](prediction, asked, folder)
