"""Instances in the formats of annotation tools: functions of outlined objects to text and dicts.

Coordinates are pixels of the image with the origin at its upper left corner, or shares of it; the
centre of a pixel is at half-integers.
"""

import base64
from collections.abc import Iterable, Sequence
from typing import Any
from xml.etree import ElementTree

import numpy as np

from pointrend_ext.inference.exports.outlines import Outlined, joined_ring
from pointrend_ext.inference.rle import runs_of
from pointrend_ext.visualization import encode_png

Size = tuple[int, int]
"""Height and width of an image."""


def yolo_lines(objects: Iterable[Outlined], size_hw: Size) -> str:
    """Return Ultralytics' segmentation labels: a line per object, class and corners in shares.

    The format has one ring per object: several parts, and holes, are joined by bridges without
    area.
    """
    lines = []
    for found in objects:
        ring = joined_ring([ring for part in found.parts for ring in part])
        shares = ring / np.array(size_hw[::-1])
        lines.append(" ".join([str(found.class_id), *(f"{v:.6f}" for v in shares.ravel())]))
    return "".join(f"{line}\n" for line in lines)


def labelme_file(objects: Iterable[Outlined], size_hw: Size, image: str) -> dict[str, Any]:
    """Return the content of labelme's file of an image.

    Several parts are a group; an object with a hole is a mask, which keeps every pixel.
    """
    shapes: list[dict[str, Any]] = []
    for number, found in enumerate(objects, start=1):
        common: dict[str, Any] = {
            "label": found.name,
            "group_id": number if len(found.parts) > 1 and not found.has_holes else None,
            "description": f"score {found.score:.3f}",
            "flags": {},
        }
        if found.has_holes:
            mask, top, left = found.crop
            height, width = mask.shape
            text = base64.b64encode(encode_png(mask.astype(np.uint8) * 255)).decode("ascii")
            box = [[left, top], [left + width - 1, top + height - 1]]
            shapes.append({**common, "points": box, "shape_type": "mask", "mask": text})
            continue
        for part in found.parts:
            points = part[0].astype(float).tolist()
            shapes.append({**common, "points": points, "shape_type": "polygon", "mask": None})
    return {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": image,
        "imageData": None,
        "imageHeight": size_hw[0],
        "imageWidth": size_hw[1],
    }


def geojson(objects: Iterable[Outlined]) -> dict[str, Any]:
    """Return a FeatureCollection (RFC 7946, but in pixels): holes and several parts are kept.

    Programs for pictures, such as QuPath, read it with y downwards.
    """
    features = []
    for found in objects:
        polygons = [[[*ring.tolist(), ring[0].tolist()] for ring in part] for part in found.parts]
        is_one = len(polygons) == 1
        geometry = {
            "type": "Polygon" if is_one else "MultiPolygon",
            "coordinates": polygons[0] if is_one else polygons,
        }
        properties = {
            "objectType": "annotation",
            "classification": {"name": found.name},
            "score": round(found.score, 6),
        }
        features.append({"type": "Feature", "geometry": geometry, "properties": properties})
    return {"type": "FeatureCollection", "features": features}


def cvat_image(
    objects: Iterable[Outlined], size_hw: Size, image: str, number: int
) -> ElementTree.Element:
    """Return the element of an image in CVAT's XML for images, version 1.1.

    Several parts are a group; an object with a hole is a mask, which keeps every pixel.
    """
    sides = {"width": str(size_hw[1]), "height": str(size_hw[0])}
    element = ElementTree.Element("image", {"id": str(number), "name": image, **sides})
    for group, found in enumerate(objects, start=1):
        common = {"label": found.name, "source": "auto", "occluded": "0", "z_order": "0"}
        if found.has_holes:
            mask, top, left = found.crop
            place = {"left": left, "top": top, "width": mask.shape[1], "height": mask.shape[0]}
            runs = ", ".join(map(str, runs_of(mask.ravel(), 0, mask.size)))  # along the rows
            attributes = {key: str(value) for key, value in place.items()}
            ElementTree.SubElement(element, "mask", {**common, "rle": runs, **attributes})
            continue
        grouped = {"group_id": str(group)} if len(found.parts) > 1 else {}
        for part in found.parts:
            points = ";".join(f"{x},{y}" for x, y in part[0].tolist())
            ElementTree.SubElement(element, "polygon", {**common, "points": points, **grouped})
    return element


def label_studio_task(
    objects: Sequence[Outlined], size_hw: Size, image: str, model: str
) -> dict[str, Any]:
    """Return a task of Label Studio with a prediction.

    Its project has ``<PolygonLabels name="label" toName="image">``. A region is one ring: several
    parts are several regions, a hole is joined to its part by a bridge without area.
    """
    results: list[dict[str, Any]] = []
    for found in objects:
        for part in found.parts:
            shares = 100 * joined_ring(part) / np.array(size_hw[::-1])
            results.append(
                {
                    "id": f"region{len(results) + 1}",
                    "type": "polygonlabels",
                    "from_name": "label",
                    "to_name": "image",
                    "original_width": size_hw[1],
                    "original_height": size_hw[0],
                    "image_rotation": 0,
                    "score": round(found.score, 6),
                    "value": {
                        "points": shares.round(5).tolist(),
                        "closed": True,
                        "polygonlabels": [found.name],
                    },
                }
            )
    score = sum(found.score for found in objects) / max(len(objects), 1)
    prediction = {"model_version": model, "score": round(score, 6), "result": results}
    return {"data": {"image": image}, "predictions": [prediction]}
