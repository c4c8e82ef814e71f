"""What libraries that read and write data sets are told to write."""

import json
from pathlib import Path

import numpy as np
from registry import Content, coco_content, of, tool
from scene import CLASSES, IMAGES, SIZES_HW, Shape, bounds, flat


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
    from imantics import Category, Dataset, Mask
    from imantics import Image as OwnImage

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
