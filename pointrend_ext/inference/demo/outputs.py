"""What is written for an image: overlay, COCO results, masks, cut-outs."""

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pointrend_ext.data.panoptic.pictures import segment_picture
from pointrend_ext.inference.demo.inputs import Input
from pointrend_ext.inference.demo.output_folder import OutputFolder
from pointrend_ext.inference.demo.tool_files import TOOL_KINDS, ToolFiles
from pointrend_ext.inference.prediction import Prediction
from pointrend_ext.structures.classes import Classes
from pointrend_ext.visualization.io import encode_png
from pointrend_ext.visualization.mask_crop import MaskCrop, window_of

if TYPE_CHECKING:
    from pointrend_ext.inference.demo.coco_ids import CocoIds

OUTPUT_KINDS = {
    "overlay": "the prediction drawn over the image",
    "json": "coco_results.json, and coco_images.json with the ids of images, frames and categories",
    "masks": "masks/: a PNG per instance, label map or panoptic map",
    "cutouts": "cutouts/: a PNG per instance with a transparent background",
    **TOOL_KINDS,
}
_ALPHA_LOW, _ALPHA_HIGH = 0.25, 0.75
_OVERLAY_SUFFIXES = (".jpg", ".jpeg", ".png")


class OutputWriter:
    """Writes below one folder; COCO's files are complete after ``close``."""

    def __init__(
        self,
        folder: Path,
        kinds: Collection[str],
        ids: "CocoIds | None" = None,
        inputs: Sequence[Input] = (),
        *,
        boundary_iou: float = 0.95,
    ) -> None:
        """Choose what to write, and remove what the last run into this folder has written.

        Args:
            folder: made when something is written.
            kinds: some of ``OUTPUT_KINDS``.
            ids: of a data set's images and categories, for evaluating the results; by default
                images are numbered from 1.
            inputs: what must not be overwritten.
            boundary_iou: of outlines for annotation tools with the masks, at least.

        Raises:
            ValueError: ``folder`` is a file, or two inputs would get one id.
        """
        self.kinds, self._ids, self.folder = set(kinds), ids, folder
        if ids is not None:
            ids.check_apart(x.file_name for x in inputs if not x.is_video)
        self._folder = OutputFolder(folder, [x.path for x in inputs])
        self._folder.clear()
        self._tools = ToolFiles(self._folder, self.kinds, boundary_iou)
        self._results: list[dict[str, Any]] = []
        self._images: list[dict[str, Any]] = []
        self._categories: list[dict[str, Any]] = []

    def check_classes(self, classes: Classes) -> None:
        """Raise ValueError where the ids of the classes, which results need, are not known."""
        if "json" in self.kinds:
            self._with_ids(classes).category_ids()

    def check_label_maps(self) -> None:
        """Raise ValueError where files are wanted that a semantic model has nothing for."""
        if self._tools.kinds:
            raise ValueError(
                f"The model is semantic and predicts no instances for {self._tools.kinds}. Take "
                "these out of --save; its label maps are written by masks."
            )

    def overlay_path(self, source: Input) -> Path:
        """Return where an overlay goes: MP4 of a video; of a picture its own format, or PNG.

        Raises:
            ValueError: it would overwrite an input.
        """
        suffix = ".mp4" if source.is_video else source.path.suffix
        if not source.is_video and suffix.lower() not in _OVERLAY_SUFFIXES:
            suffix = ".png"
        return self._folder.path(source.name.with_name(source.name.name + suffix))

    def write(self, prediction: Prediction, source: Input) -> None:
        """Write everything but the overlay.

        Raises:
            ValueError: an image without an id.
        """
        self._tools.write(prediction, source)
        if "json" in self.kinds:
            self._add_results(prediction, source.file_name)
        if "masks" in self.kinds:
            self._write_masks(prediction, "masks" / source.name)
        if "cutouts" in self.kinds:
            masks = prediction.objects.masks
            for number, class_name in enumerate(prediction.class_names):
                path = _numbered("cutouts" / source.name, number, class_name)
                cut = cut_out(prediction.image, masks.probability_crop(number))
                self._folder.write(path, encode_png(cut))

    def close(self) -> None:
        """Write the files for all images."""
        self._tools.close()
        if "json" in self.kinds:
            described = {"images": self._images, "categories": self._categories}
            self._folder.write(Path("coco_results.json"), json.dumps(self._results).encode())
            self._folder.write(Path("coco_images.json"), json.dumps(described).encode())

    def _add_results(self, prediction: Prediction, file_name: str) -> None:
        image_id = len(self._images) + 1 if self._ids is None else self._ids.image_id(file_name)
        height, width = prediction.size_hw
        self._images.append(
            {"id": image_id, "file_name": file_name, "height": height, "width": width}
        )
        if prediction.boxes is None:
            return
        info = self._with_ids(prediction.class_info)
        self._results += replace(prediction, class_info=info).to_coco(image_id)
        self._categories = [
            {"id": number, "name": name}
            for number, name in zip(info.category_ids(), info.things, strict=False)
        ]

    def _with_ids(self, classes: Classes) -> Classes:
        return classes if self._ids is None else self._ids.of_classes(classes)

    def _write_masks(self, prediction: Prediction, base: Path) -> None:
        if prediction.panoptic is not None:
            path = base.with_name(f"{base.name}_panoptic.png")
            self._folder.write(path, encode_png(segment_picture(prediction.panoptic.ids)))
            segments = json.dumps(prediction.panoptic.segments)
            self._folder.write(path.with_suffix(".json"), segments.encode())
        if prediction.label_map is not None:
            path = base.with_name(f"{base.name}_labels.png")
            self._folder.write(path, encode_png(prediction.label_map))
        for number, class_name in enumerate(prediction.class_names):
            mask = 255 * prediction.objects.masks[number].astype(np.uint8)
            self._folder.write(_numbered(base, number, class_name), encode_png(mask))


def cut_out(image_rgb: np.ndarray, probability: MaskCrop) -> np.ndarray:
    """Cut an instance out of its image.

    The opacity rises from nothing to full while the mask's probability rises from 0.25 to 0.75, so
    that edges are as soft as the model is unsure of them, and the inside is opaque.

    Args:
        image_rgb: (H, W, 3) uint8.
        probability: uint8, 255 times the probability of the instance.

    Returns:
        (h, w, 4) uint8, RGB and opacity, as large as what is visible of the object; 1 x 1 and
        transparent of an empty mask.
    """
    values, top, left = probability
    alpha = (values.astype(np.float32) / 255 - _ALPHA_LOW) / (_ALPHA_HIGH - _ALPHA_LOW)
    alpha = np.rint(255 * np.clip(alpha, 0, 1)).astype(np.uint8)
    y0, x0, y1, x1 = window_of(alpha > 0)
    if y1 == 0:
        return np.zeros((1, 1, 4), np.uint8)
    pixels = image_rgb[top + y0 : top + y1, left + x0 : left + x1]
    return np.dstack([pixels, alpha[y0:y1, x0:x1]])


def _numbered(base: Path, number: int, class_name: str) -> Path:
    plain = re.sub(r"[^\w-]+", "-", class_name)
    return base.with_name(f"{base.name}_{number:02d}_{plain}.png")
