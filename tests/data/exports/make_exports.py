"""Let real libraries write the scene of ``scene.py`` in COCO's format.

    python3.11 -m venv ENV && ENV/bin/pip install supervision opencv-python-headless
    ENV/bin/python tests/data/exports/make_exports.py supervision

writes ``supervision.json`` beside this file, and a line of ``manifest.json``. One environment per
library; the packages of each are in ``PACKAGES``. Dates, colours drawn at random and folders are
taken out of what was written (``scrubbed``); nothing else is changed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scene import CLASSES, IMAGES, SIZES_HW, Shape, shapes

HERE = Path(__file__).resolve().parent
Content = dict[str, Any]
TOOLS: dict[str, tuple[str, str, Callable[[Path], Content | Path]]] = {}


def tool(package: str, form: str) -> Callable[[Callable[[Path], Any]], Callable[[Path], Any]]:
    """Enter a function that lets a package write objects of a form; see ``scene.shapes``.

    It is given a folder with the pictures, and returns the content or the file that was written.
    """

    def enter(function: Callable[[Path], Any]) -> Callable[[Path], Any]:
        TOOLS[function.__name__] = package, form, function
        return function

    return enter


def of(image: str, form: str) -> list[Shape]:
    """Return the objects of one picture."""
    return [shape for shape in shapes(form) if shape.image == image]


def bounds(shape: Shape) -> tuple[int, int, int, int]:
    """Return x0, y0, x1, y1 of its pixels; x1 and y1 lie behind the last ones."""
    ys, xs = np.nonzero(shape.mask())
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1


def flat(shape: Shape) -> list[list[float]]:
    """Return its outlines as lists x, y, x, y, ..."""
    return [[float(v) for corner in ring.corners for v in corner] for ring in shape.rings]


def shares(shape: Shape, whole: float = 1.0) -> list[list[float]]:
    """Return the corners of its first outline in shares of the picture."""
    height, width = SIZES_HW[shape.image]
    return [[whole * x / width, whole * y / height] for x, y in shape.rings[0].corners]


def coco_content(form: str, segmentation: Callable[[Shape], Any]) -> Content:
    """Return the scene in COCO's format, as one writes it by hand."""
    annotations: list[Content] = []
    for shape in shapes(form):
        x0, y0, x1, y1 = bounds(shape)
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": IMAGES.index(shape.image) + 1,
                "category_id": CLASSES.index(shape.name) + 1,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": float(shape.mask().sum()),
                "iscrowd": 0,
                "segmentation": segmentation(shape),
            }
        )
    images = [
        {"id": i, "file_name": name, "height": SIZES_HW[name][0], "width": SIZES_HW[name][1]}
        for i, name in enumerate(IMAGES, start=1)
    ]
    categories = [{"id": i, "name": name} for i, name in enumerate(CLASSES, start=1)]
    return {"images": images, "categories": categories, "annotations": annotations}


@tool("pycocotools", "masks")
def pycocotools(folder: Path) -> Content:
    """Write run lengths as its documentation encodes them."""
    import pycocotools.mask as mask_util

    def encoded(shape: Shape) -> Content:
        rle = mask_util.encode(np.asfortranarray(shape.mask(), dtype=np.uint8))
        return {"size": rle["size"], "counts": rle["counts"].decode("ascii")}

    return coco_content("masks", encoded)


@tool("supervision", "masks")
def supervision(folder: Path) -> Path:
    """Write with ``DetectionDataset.as_coco``."""
    import supervision as sv

    detections = {}
    for image in IMAGES:
        found = of(image, "masks")
        detections[str(folder / image)] = (
            sv.Detections(
                xyxy=np.array([bounds(shape) for shape in found], dtype=float),
                mask=np.array([shape.mask() for shape in found]),
                class_id=np.array([CLASSES.index(shape.name) for shape in found]),
            )
            if found
            else sv.Detections.empty()
        )
    names = list(CLASSES)
    data = sv.DetectionDataset(classes=names, images=list(detections), annotations=detections)
    data.as_coco(annotations_path=str(folder / "written.json"))
    return folder / "written.json"


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
    Dataset.from_iterable(items, categories=categories).export(str(folder / "out"), "coco_instances")
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


@tool("sahi", "polygons")
def sahi(folder: Path) -> Content:
    """Write with the classes that slice pictures."""
    from sahi.utils.coco import Coco, CocoAnnotation, CocoCategory, CocoImage

    coco = Coco()
    for number, name in enumerate(CLASSES):
        coco.add_category(CocoCategory(id=number, name=name))
    for image in IMAGES:
        own = CocoImage(file_name=image, height=SIZES_HW[image][0], width=SIZES_HW[image][1])
        for s in of(image, "polygons"):
            own.add_annotation(
                CocoAnnotation.from_coco_segmentation(flat(s), CLASSES.index(s.name), s.name)
            )
        coco.add_image(own)
    return coco.json


@tool("globox", "masks")
def globox(folder: Path) -> Path:
    """Write boxes: it knows no masks."""
    from globox import Annotation, AnnotationSet, BoundingBox

    found = AnnotationSet()
    for image in IMAGES:
        height, width = SIZES_HW[image]
        boxes = [BoundingBox.create(label=s.name, coords=bounds(s)) for s in of(image, "masks")]
        found.add(Annotation(image_id=image, image_size=(width, height), boxes=boxes))
    found.save_coco(folder / "written.json", auto_ids=True)
    return folder / "written.json"


@tool("pylabel", "polygons")
def pylabel(folder: Path) -> Path:
    """Read polygons in COCO's format and write them again."""
    from pylabel import importer

    (folder / "given.json").write_text(json.dumps(coco_content("polygons", flat)))
    data = importer.ImportCoco(str(folder / "given.json"), path_to_images=str(folder))
    return Path(data.export.ExportToCoco(str(folder / "written.json"))[0])


@tool("imantics", "masks")
def imantics(folder: Path) -> Content:
    """Write masks, which it turns into polygons."""
    from imantics import Category, Dataset
    from imantics import Image as OwnImage
    from imantics import Mask

    data = Dataset("scene")
    classes = {name: Category(name, id=i) for i, name in enumerate(CLASSES, start=1)}
    for number, image in enumerate(IMAGES, start=1):
        own = OwnImage.from_path(str(folder / image))
        own.id = number
        for shape in of(image, "masks"):
            own.add(Mask(shape.mask()), category=classes[shape.name])
        data.add(own)
    return data.coco()


@tool("sal-detectron2", "polygons")
def detectron2(folder: Path) -> Path:
    """Write Detectron2's own records as its evaluator does where a data set has no file."""
    from detectron2.data import DatasetCatalog, MetadataCatalog
    from detectron2.data.datasets.coco import convert_to_coco_json
    from detectron2.structures import BoxMode

    def records() -> list[Content]:
        found = []
        for number, image in enumerate(IMAGES, start=1):
            height, width = SIZES_HW[image]
            objects = [
                {
                    "bbox": bounds(s),
                    "bbox_mode": BoxMode.XYXY_ABS,
                    "category_id": CLASSES.index(s.name),
                    "segmentation": flat(s),
                }
                for s in of(image, "polygons")
            ]
            size = {"height": height, "width": width, "annotations": objects}
            found.append({"file_name": str(folder / image), "image_id": number, **size})
        return found

    DatasetCatalog.register("scene", records)
    MetadataCatalog.get("scene").set(thing_classes=list(CLASSES))
    convert_to_coco_json("scene", str(folder / "written.json"))
    return folder / "written.json"


def scrubbed(value: Any, folder: str) -> Any:
    """Return the content without dates, random colours and folders."""
    if isinstance(value, dict):
        gone = {"date_created", "date_captured", "color", "year"}
        return {k: scrubbed(v, folder) for k, v in value.items() if k not in gone}
    if isinstance(value, list):
        return [scrubbed(item, folder) for item in value]
    if isinstance(value, str) and folder in value:
        return Path(value).name
    return value


def main() -> None:
    """Write the file of one tool."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tool", choices=TOOLS)
    name = parser.parse_args().tool
    package, form, function = TOOLS[name]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for image, (height, width) in SIZES_HW.items():
            Image.new("RGB", (width, height), (90, 120, 150)).save(folder / image)
        written = function(folder)
        content = json.loads(written.read_text()) if isinstance(written, Path) else written
        text = json.dumps(scrubbed(json.loads(json.dumps(content)), temporary))
    (HERE / f"{name}.json").write_text(text + "\n")
    manifest = HERE / "manifest.json"
    known = json.loads(manifest.read_text()) if manifest.exists() else {}
    known[name] = {"package": package, "version": version(package), "form": form}
    manifest.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")


if __name__ == "__main__":
    main()
