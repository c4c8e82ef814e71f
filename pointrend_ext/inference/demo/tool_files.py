"""Files of annotation tools that the demo writes, with outlines of few corners."""

import json
import logging
import os
import re
from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from pointrend_ext.inference.demo.inputs import Input
from pointrend_ext.inference.demo.output_folder import OutputFolder
from pointrend_ext.inference.prediction import Prediction
from pointrend_ext.inference.to_tools import check_boundary_iou

TOOL_KINDS = {
    "yolo": "yolo/: segmentation labels, and classes.txt",
    "labelme": "labelme/: a file per image",
    "geojson": "geojson/: a file per image, in pixels",
    "cvat": "cvat.xml: CVAT for images 1.1",
    "label_studio": "label_studio.json: tasks with predictions",
}
# Names of files may hold them: control characters, and bytes that are not of UTF-8.
_NOT_IN_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

logger = logging.getLogger(__name__)


class ToolFiles:
    """Writes the files of some tools; those for all images are complete after ``close``.

    Args:
        folder: where they are written.
        kinds: some of ``TOOL_KINDS``; others are passed over.
        boundary_iou: of each outline with its mask, at least.
    """

    def __init__(self, folder: OutputFolder, kinds: Collection[str], boundary_iou: float) -> None:
        check_boundary_iou(boundary_iou)
        self._folder, self._boundary_iou = folder, boundary_iou
        self.kinds = [kind for kind in TOOL_KINDS if kind in kinds]
        self._cvat = ElementTree.Element("annotations")
        ElementTree.SubElement(self._cvat, "version").text = "1.1"
        self._tasks: list[dict[str, Any]] = []
        self._num_empty = self._num_images = 0

    def write(self, prediction: Prediction, source: Input) -> None:
        """Write, or keep, the instances of an image."""
        if not self.kinds:
            return
        exports = import_module("pointrend_ext.inference.exports")  # needs pycocotools
        found, size_hw = prediction.outlines(self._boundary_iou), prediction.size_hw
        self._num_empty += len(prediction.objects.scores) - len(found)
        if "yolo" in self.kinds:
            if not self._num_images and (names := prediction.class_info.things):
                lines = (f"{' '.join(name.split())}\n" for name in names)  # one of each
                self._write("yolo/classes.txt", "".join(lines))
            self._write(f"yolo/{source.name}.txt", exports.yolo_lines(found, size_hw))
        if "labelme" in self.kinds:
            place = Path("labelme") / f"{source.name}.json"
            image = self._relative(source, place)
            self._write(place, json.dumps(exports.labelme_file(found, size_hw, image), indent=1))
        if "geojson" in self.kinds:
            self._write(f"geojson/{source.name}.geojson", json.dumps(exports.geojson(found)))
        if "cvat" in self.kinds:
            image = exports.cvat_image(found, size_hw, source.file_name, self._num_images)
            self._cvat.append(image)
        if "label_studio" in self.kinds:
            task = exports.label_studio_task(found, size_hw, source.file_name, "pointrend_ext")
            self._tasks.append(task)
        self._num_images += 1

    def close(self) -> None:
        """Write the files for all images, and say what was left out."""
        if "cvat" in self.kinds:
            text = _NOT_IN_XML.sub("\ufffd", ElementTree.tostring(self._cvat, encoding="unicode"))
            self._write("cvat.xml", f'<?xml version="1.0" encoding="utf-8"?>\n{text}')
        if "label_studio" in self.kinds:
            self._write("label_studio.json", json.dumps(self._tasks))
        if self._num_empty:
            text = "%d instances have no pixel and are left out of %s."
            logger.warning(text, self._num_empty, ", ".join(self.kinds))

    def _write(self, below: str | Path, text: str) -> None:
        self._folder.write(Path(below), text.encode(errors="replace"))

    def _relative(self, source: Input, place: Path) -> str:
        """Return the path of a picture from a file; of a frame, what results call it."""
        if source.is_video:
            return source.file_name
        folder = os.path.realpath(self._folder.folder / place.parent)
        try:
            return Path(os.path.relpath(source.path, folder)).as_posix()
        except ValueError:  # another drive of Windows
            return source.path.as_posix()
