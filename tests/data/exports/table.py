"""What is read of the files of other tools, and the table of it in docs/reliability.md.

``python -m tests.data.exports.table --write`` refreshes docs/data/exports.json and the page.
"""

import argparse
import json
import logging
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.data.datasets import register_coco_instances
from PIL import Image
from pycocotools.coco import COCO

from benchmarks.report import markdown_table
from pointrend_ext.data.coco import summarize_coco_file
from pointrend_ext.data.loading import load_dataset_dicts
from pointrend_ext.engine import load_cfg
from tests.data.exports.scene import shapes

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
DATA, PAGE = ROOT / "docs/data/exports.json", ROOT / "docs/reliability.md"
BEGIN, END = "<!-- exports -->\n", "<!-- /exports -->"
MANIFEST = json.loads((HERE / "manifest.json").read_text(encoding="utf-8"))
NOTES = {
    "datumaro_masks": "marks every object that is given as a mask as a crowd",
    "fiftyone_detections": "a hole is one more polygon, and so filled; one pixel: no mask",
    "fiftyone_polylines": "cuts coordinates to whole pixels",
    "globox": "boxes alone",
    "imantics": "outlines go through pixel centres; a hole is one more polygon, and so "
    "filled; one pixel: one point",
    "label_studio_brush": "fills holes, makes an object of each part, loses one pixel and pictures "
    "without objects; outlines go through pixel centres",
    "labelme": "writes a rectangle as two points",
    "labelme2coco": "cuts coordinates to whole pixels",
    "pylabel": "writes the object before a picture without objects twice",
    "sahi": "cuts coordinates to whole pixels",
    "supervision": "marks objects with holes or of several parts as crowds; outlines go through "
    "pixel centres; one pixel: no mask",
}


@dataclass(frozen=True)
class Row:
    """One file.

    Attributes:
        name, package, version: of the tool.
        given, written: number of objects.
        crowds: how many of those written are marked as such.
        trained: objects with a mask that a training gets.
        lowest_iou: of these with the objects given; None without any.
        answer: "read", "read, with a warning" or "refused".
        note: what the tool does.
    """

    name: str
    package: str
    version: str
    given: int
    written: int
    crowds: int
    trained: int
    lowest_iou: float | None
    answer: str
    note: str


class Heard(logging.Handler):
    """Keeps the messages of the package from WARNING on."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


Masks = dict[tuple[str, str], list[np.ndarray]]
"""By stem of the picture and class."""


def content_of(name: str) -> dict[str, Any]:
    return json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))


def given_masks(name: str) -> Masks:
    found: Masks = {}
    for shape in shapes(MANIFEST[name]["form"]):
        found.setdefault((Path(shape.image).stem, shape.name), []).append(shape.mask())
    return found


def plain_masks(name: str) -> Masks:
    """Read a file with pycocotools: its objects with three points or runs, no crowds."""
    coco, found = COCO(HERE / f"{name}.json"), Masks()
    for entry in {str(a): a for a in coco.dataset["annotations"]}.values():
        mask = entry["segmentation"]
        if entry["iscrowd"] or not mask or (isinstance(mask, list) and len(mask[0]) < 6):
            continue
        key = Path(coco.imgs[entry["image_id"]]["file_name"]).stem
        found.setdefault((key, coco.cats[entry["category_id"]]["name"]), []).append(
            coco.annToMask(entry).astype(bool)
        )
    return found


def read_masks(name: str) -> tuple[Masks, str, str]:
    """Read a file as a training does: masks, answer, and what was said."""
    content, found = content_of(name), Masks()
    heard, logger = Heard(), logging.getLogger("pointrend_ext")
    logger.addHandler(heard)
    with tempfile.TemporaryDirectory() as folder:
        for image in content["images"]:
            path = Path(folder, image["file_name"])
            path.parent.mkdir(exist_ok=True)
            Image.new("RGB", (image["width"], image["height"])).save(path)
        register_coco_instances(f"export {name}", {}, str(HERE / f"{name}.json"), folder)
        cfg = load_cfg("Toy/pointrend_rcnn_toy.yaml")
        cfg.MODEL.ROI_HEADS.NUM_CLASSES = len(content["categories"])
        try:
            summarize_coco_file(str(HERE / f"{name}.json")).findings.said.clear()  # by other tests
            records = load_dataset_dicts(cfg, [f"export {name}"], is_train=True)
        except ValueError as error:
            return found, "refused", str(error)
        finally:
            logger.removeHandler(heard)
            classes = MetadataCatalog.get(f"export {name}").get("thing_classes", ())
            DatasetCatalog.remove(f"export {name}")
            MetadataCatalog.remove(f"export {name}")
    for record in records:
        size_hw = record["height"], record["width"]
        for entry in record["annotations"]:
            if entry.get("segmentation") and not entry.get("iscrowd", 0):
                key = Path(record["file_name"]).stem, classes[entry["category_id"]]
                found.setdefault(key, []).append(_decoded(entry["segmentation"], size_hw))
    answer = "read, with a warning" if heard.messages else "read"
    return found, answer, "\n".join(heard.messages)


def _decoded(segmentation: Any, size_hw: tuple[int, int]) -> np.ndarray:
    if isinstance(segmentation, list):
        segmentation = mask_util.merge(mask_util.frPyObjects(segmentation, *size_hw))
    return mask_util.decode(segmentation).astype(bool)


def lowest_iou(found: Masks, given: Masks) -> float | None:
    """Return the lowest IoU of an object with the likest given one of its picture and class."""
    likest = [
        max((mask & other).sum() / (mask | other).sum() for other in given[key])
        for key, masks in found.items()
        for mask in masks
    ]
    return round(float(min(likest)), 3) if likest else None


def row_of(name: str) -> Row:
    content, (found, answer, _) = content_of(name), read_masks(name)
    crowds = Counter(bool(entry.get("iscrowd")) for entry in content["annotations"])[True]
    return Row(
        name,
        MANIFEST[name]["package"],
        MANIFEST[name]["version"],
        len(shapes(MANIFEST[name]["form"])),
        len(content["annotations"]),
        crowds,
        sum(map(len, found.values())),
        lowest_iou(found, given_masks(name)),
        answer,
        NOTES.get(name, ""),
    )


def table(rows: list[dict[str, Any]]) -> str:
    titles = ["file", "written by", "objects given", "written", "of these crowds", "trained on",
              "lowest IoU with those given", "answer", "what the tool does"]  # fmt: skip
    cells = []
    for row in rows:
        iou = "-" if row["lowest_iou"] is None else f"{row['lowest_iou']:.3f}"
        numbers = [str(row[key]) for key in ("given", "written", "crowds", "trained")]
        tool = f"{row['package']} {row['version']}"
        cells.append([row["name"], tool, *numbers, iou, row["answer"], row["note"]])
    return markdown_table(titles, cells)


def replaced(page: str, rows: list[dict[str, Any]]) -> str:
    """Return the text with the table between its markers."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + table(rows) + END + rest.partition(END)[2]


def main() -> None:
    """Print the table, and write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--said", action="store_true", help="print what is said of each file, too")
    arguments = parser.parse_args()
    rows = [asdict(row_of(name)) for name in MANIFEST]
    if arguments.write:
        DATA.parent.mkdir(exist_ok=True)
        DATA.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        PAGE.write_text(replaced(PAGE.read_text(encoding="utf-8"), rows), encoding="utf-8")
    print(table(rows))
    for name in MANIFEST if arguments.said else ():
        print(f"## {name}\n{read_masks(name)[2]}")


if __name__ == "__main__":
    main()
