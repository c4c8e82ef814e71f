"""What tools for annotating pictures are told to write."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from registry import Content, of, tool
from scene import CLASSES, IMAGES, SIZES_HW, Shape, bounds, flat, shares


def _fiftyone(folder: Path, form: str, label_of: Callable[[list[Shape]], Any]) -> Path:
    """Write with ``COCODetectionDatasetExporter``, which needs no database."""
    import fiftyone.utils.coco as fouc

    target = folder / "written.json"
    exporter = fouc.COCODetectionDatasetExporter(
        labels_path=str(target), export_media=False, classes=list(CLASSES)
    )
    with exporter:
        for image in IMAGES:
            exporter.export_sample(str(folder / image), label_of(of(image, form)))
    return target


@tool("fiftyone", "masks")
def fiftyone_detections(folder: Path) -> Path:
    """Write detections with instance masks."""
    import fiftyone as fo

    def detection(shape: Shape) -> Any:
        x0, y0, x1, y1 = bounds(shape)
        height, width = SIZES_HW[shape.image]
        box = [x0 / width, y0 / height, (x1 - x0) / width, (y1 - y0) / height]
        mask = shape.mask()[y0:y1, x0:x1]
        return fo.Detection(label=shape.name, bounding_box=box, mask=mask)

    def label_of(found: list[Shape]) -> Any:
        return fo.Detections(detections=[detection(shape) for shape in found])

    return _fiftyone(folder, "masks", label_of)


@tool("fiftyone", "rings")
def fiftyone_polylines(folder: Path) -> Path:
    """Write closed and filled polylines."""
    import fiftyone as fo

    def label_of(found: list[Shape]) -> Any:
        lines = [
            fo.Polyline(label=s.name, points=[shares(s)], closed=True, filled=True) for s in found
        ]
        return fo.Polylines(polylines=lines)

    return _fiftyone(folder, "rings", label_of)


def _label_studio(folder: Path, form: str, kind: str, value_of: Callable[[Shape], Any]) -> Path:
    """Write tasks as the tool exports them, and convert these."""
    from label_studio_sdk.converter import Converter

    labels = "".join(f'<Label value="{name}"/>' for name in CLASSES)
    config = f'<View><Image name="image" value="$image"/><{kind} name="label" toName="image">'
    tasks = []
    for number, image in enumerate(IMAGES, start=1):
        height, width = SIZES_HW[image]
        results = [
            {
                "from_name": "label",
                "to_name": "image",
                "type": kind.lower(),
                "original_width": width,
                "original_height": height,
                "value": {**value_of(shape), kind.lower(): [shape.name]},
            }
            for shape in of(image, form)
        ]
        data = {"image": str(folder / image)}
        tasks.append({"id": number, "data": data, "annotations": [{"id": 1, "result": results}]})
    (folder / "tasks.json").write_text(json.dumps(tasks))
    converter = Converter(f"{config}{labels}</{kind}></View>", str(folder))
    name = "BRUSH_TO_COCO" if kind == "BrushLabels" else "COCO"
    converter.convert(str(folder / "tasks.json"), str(folder / "out"), name, is_dir=False)
    return next((folder / "out").glob("*.json"))


@tool("label-studio-sdk", "rings")
def label_studio_polygons(folder: Path) -> Path:
    """Convert polygons in per cent of the picture."""
    return _label_studio(folder, "rings", "PolygonLabels", lambda s: {"points": shares(s, 100)})


@tool("label-studio-sdk", "masks")
def label_studio_brush(folder: Path) -> Path:
    """Convert brush strokes."""
    from label_studio_sdk.converter.brush import mask2rle

    def value_of(shape: Shape) -> Content:
        return {"format": "rle", "rle": mask2rle(shape.mask().astype(np.uint8) * 255)}

    return _label_studio(folder, "masks", "BrushLabels", value_of)


def _labelme_files(folder: Path) -> Path:
    """Write one file per picture; rectangles are its rectangles, parts of one object a group."""
    from labelme import LabelFile

    target = folder / "labelme"
    target.mkdir()
    for image in IMAGES:
        entries = []
        for group, shape in enumerate(of(image, "polygons")):
            for ring in shape.rings:
                is_box = len(ring.corners) == 4 and len(shape.rings) == 1
                entries.append(
                    {
                        "label": shape.name,
                        "points": [ring.corners[0], ring.corners[2]] if is_box else ring.corners,
                        "group_id": group if len(shape.rings) > 1 else None,
                        "shape_type": "rectangle" if is_box else "polygon",
                        "flags": {},
                        "description": "",
                        "mask": None,
                    }
                )
        height, width = SIZES_HW[image]
        LabelFile().save(
            filename=str(target / f"{Path(image).stem}.json"),
            shapes=entries,
            image_path=f"../{image}",
            image_height=height,
            image_width=width,
            image_data=(folder / image).read_bytes(),
        )
    return target


@tool("labelme", "polygons")
def labelme(folder: Path) -> Path:
    """Convert with the script of its examples, which the package lacks: put it into the folder."""
    names = folder / "labels.txt"
    names.write_text("\n".join(["__ignore__", *CLASSES]))
    script, target = str(Path("labelme2coco.py").resolve()), folder / "out"
    words = [sys.executable, script, _labelme_files(folder), target, "--labels", names, "--noviz"]
    subprocess.run(list(map(str, words)), check=True)
    return target / "annotations.json"


@tool("labelme2coco", "rings")
def labelme2coco(folder: Path) -> Path:
    """Convert labelme's files of single polygons; the package converts by SAHI's classes."""
    from labelme2coco import convert

    (folder / "labelme").mkdir()
    for image in IMAGES:
        height, width = SIZES_HW[image]
        entries = [
            {"label": s.name, "points": s.rings[0].corners, "shape_type": "polygon"}
            for s in of(image, "rings")
        ]
        content = {"shapes": entries, "imagePath": image, "imageHeight": height}
        file = folder / "labelme" / f"{Path(image).stem}.json"
        file.write_text(json.dumps({**content, "imageWidth": width}))
        (folder / image).rename(folder / "labelme" / image)
    convert(str(folder / "labelme"), str(folder / "out"))
    return folder / "out" / "dataset.json"


def _datumaro(folder: Path, form: str, parts_of: Callable[[Shape, Content], list[Any]]) -> Path:
    from datumaro.components.annotation import AnnotationType, LabelCategories
    from datumaro.components.dataset import Dataset
    from datumaro.components.dataset_base import DatasetItem
    from datumaro.components.media import Image as Media

    items = []
    for number, image in enumerate(IMAGES, start=1):
        parts = []
        for group, shape in enumerate(of(image, form), start=1):
            parts += parts_of(shape, {"label": CLASSES.index(shape.name), "group": group})
        media = Media.from_file(str(folder / image))
        items.append(DatasetItem(Path(image).stem, media=media, annotations=parts, subset="s"))
        items[-1].attributes["id"] = number
    categories = {AnnotationType.label: LabelCategories.from_iterable(CLASSES)}
    Dataset.from_iterable(items, categories=categories).export(
        str(folder / "out"), "coco_instances"
    )
    return next((folder / "out").rglob("*.json"))


@tool("datumaro", "polygons")
def datumaro_polygons(folder: Path) -> Path:
    """Write polygons, those of one object as a group."""
    from datumaro.components.annotation import Polygon

    return _datumaro(folder, "polygons", lambda s, common: [Polygon(p, **common) for p in flat(s)])


@tool("datumaro", "masks")
def datumaro_masks(folder: Path) -> Path:
    """Write masks."""
    from datumaro.components.annotation import Mask

    return _datumaro(folder, "masks", lambda s, common: [Mask(s.mask(), **common)])
