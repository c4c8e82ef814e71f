"""What is written for an image: overlay, COCO results, masks, cut-outs."""

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pointrend_ext.inference.demo.inputs import Input
from pointrend_ext.inference.prediction import Prediction
from pointrend_ext.visualization import MaskCrop, encode_png
from pointrend_ext.visualization.shapes import window_of

__all__ = ["OUTPUT_KINDS", "OutputWriter", "cut_out", "panoptic_picture"]

OUTPUT_KINDS = {
    "overlay": "the prediction drawn over the image",
    "json": "coco_results.json, and coco_images.json with the ids of images and categories",
    "masks": "masks/: a PNG per instance, label map or panoptic map",
    "cutouts": "cutouts/: a PNG per instance with a transparent background",
}
_ALPHA_LOW, _ALPHA_HIGH = 0.25, 0.75
_OVERLAY_SUFFIXES = (".jpg", ".jpeg", ".png")


class OutputWriter:
    """Writes below one folder; COCO's files are complete after ``close``."""

    def __init__(
        self, folder: Path, kinds: Collection[str], image_ids: Mapping[str, int] | None = None
    ) -> None:
        """Choose what to write.

        Args:
            folder: made when something is written.
            kinds: some of ``OUTPUT_KINDS``.
            image_ids: ids by file name, for evaluating the results; by default images are numbered
                from 1.
        """
        self.folder, self.kinds, self._image_ids = folder, set(kinds), image_ids
        self._results: list[dict[str, Any]] = []
        self._images: list[dict[str, Any]] = []
        self._categories: list[dict[str, Any]] = []

    def overlay_path(self, source: Input) -> Path:
        """Return where an overlay goes: MP4 of a video; of a picture its own format, or PNG.

        Raises:
            ValueError: it would overwrite its source.
        """
        suffix = ".mp4" if source.is_video else source.path.suffix
        if not source.is_video and suffix.lower() not in _OVERLAY_SUFFIXES:
            suffix = ".png"
        path = self.folder / source.name.with_name(source.name.name + suffix)
        if source.path.exists() and path.exists() and path.samefile(source.path):
            raise ValueError(f"{source.path} would be overwritten: choose another --output.")
        return path

    def write(self, prediction: Prediction, source: Input) -> None:
        """Write everything but the overlay.

        Raises:
            ValueError: an image without an id.
        """
        if "json" in self.kinds:
            self._add_results(prediction, source.path.name)
        if "masks" in self.kinds:
            self._write_masks(prediction, self.folder / "masks" / source.name)
        if "cutouts" in self.kinds:
            masks = prediction.objects.masks
            for number, class_name in enumerate(prediction.class_names):
                path = _numbered(self.folder / "cutouts" / source.name, number, class_name)
                cut = cut_out(prediction.image, masks.probability_crop(number))
                _write(path, encode_png(cut))

    def close(self) -> None:
        """Write COCO's files."""
        if "json" in self.kinds:
            described = {"images": self._images, "categories": self._categories}
            _write(self.folder / "coco_results.json", json.dumps(self._results).encode())
            _write(self.folder / "coco_images.json", json.dumps(described).encode())

    def _add_results(self, prediction: Prediction, file_name: str) -> None:
        image_id = len(self._images) + 1
        if self._image_ids is not None:
            if file_name not in self._image_ids:
                raise ValueError(f"{file_name} has no id: it is not in the file of image ids.")
            image_id = self._image_ids[file_name]
        height, width = prediction.size_hw
        self._images.append(
            {"id": image_id, "file_name": file_name, "height": height, "width": width}
        )
        info = prediction.class_info
        self._categories = [
            {"id": info.category_id(k), "name": name} for k, name in enumerate(info.things)
        ]
        self._results += prediction.to_coco(image_id)

    def _write_masks(self, prediction: Prediction, base: Path) -> None:
        if prediction.panoptic is not None:
            path = base.with_name(f"{base.name}_panoptic.png")
            _write(path, encode_png(panoptic_picture(prediction.panoptic.ids)))
            segments = json.dumps(prediction.panoptic.segments)
            _write(path.with_suffix(".json"), segments.encode())
        if prediction.label_map is not None:
            path = base.with_name(f"{base.name}_labels.png")
            _write(path, encode_png(prediction.label_map))
        for number, class_name in enumerate(prediction.class_names):
            mask = 255 * prediction.objects.masks[number].astype(np.uint8)
            _write(_numbered(base, number, class_name), encode_png(mask))


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


def panoptic_picture(ids: np.ndarray) -> np.ndarray:
    """Turn ids (H, W) into (H, W, 3) uint8 as in COCO's panoptic PNGs: R + 256 G + 65536 B."""
    return np.stack([(ids >> shift & 255).astype(np.uint8) for shift in (0, 8, 16)], axis=2)


def _numbered(base: Path, number: int, class_name: str) -> Path:
    plain = re.sub(r"[^\w-]+", "-", class_name)
    return base.with_name(f"{base.name}_{number:02d}_{plain}.png")


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
