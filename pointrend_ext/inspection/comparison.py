"""Pictures of several models' saved predictions beside the ground truth."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from pointrend_ext.evaluation.masks import decode_mask, mask_iou
from pointrend_ext.visualization import (
    Column,
    compare_panel,
    mark_window,
    pick_zoom_window,
    read_image_rgb,
    stack_rows,
    write_image,
    zoom_panel,
)

__all__ = ["write_comparisons"]

_ZOOM_PX = 72
_MIN_OBJECT_AREA_PX = 64 * 64
_MIN_IOU = 0.5


@dataclass(frozen=True)
class _Objects:
    """Objects of one image: R masks (R, H, W) bool, R category ids, R labels."""

    masks: np.ndarray
    category_ids: Sequence[int]
    labels: Sequence[str]

    def ious(self, mask: np.ndarray) -> np.ndarray:
        """Return the IoU (R,) of each mask with ``mask`` (H, W)."""
        return np.array([mask_iou(own, mask) for own in self.masks])

    def match(self, mask: np.ndarray) -> np.ndarray:
        """Return the mask that overlaps ``mask`` (H, W) most."""
        return self.masks[self.ious(mask).argmax()]


def write_comparisons(
    predictions: Mapping[str, Path],
    dataset_name: str,
    output_dir: Path,
    *,
    num_pictures: int = 6,
    score_threshold: float = 0.5,
) -> list[Path]:
    """Draw the predictions of two models for images that both understood.

    Each picture has the ground truth and the predictions of both models on the whole image and,
    below, zoomed to the piece of one object's outline where the models differ most. That object is
    the one which both found best: of all objects of at least 64 x 64 pixels the one whose lower IoU
    of the two is highest. Images come in the same order, one per category before any category comes
    twice; the choice never asks which model is ahead.

    Args:
        predictions: two models' names and their files in COCO's results format.
        dataset_name: a registered data set with ``evaluator_type`` "coco".
        output_dir: where the PNG files go; created.
        num_pictures: at most so many.
        score_threshold: weaker predictions are not drawn.

    Returns:
        The files written.
    """
    by_model = {
        title: _read_predictions(path, score_threshold) for title, path in predictions.items()
    }
    names = _category_names(dataset_name)
    found = []
    for record in DatasetCatalog.get(dataset_name):
        truth = _truth(record, names)
        predicted = {
            title: _decode(entries[record["image_id"]], record, names)
            for title, entries in by_model.items()
        }
        index, iou = _found_by_all(truth, list(predicted.values()))
        if iou >= _MIN_IOU:
            found.append((truth.category_ids[index], iou, record, truth.masks[index], predicted))
    written = []
    for _, _, record, target, predicted in _vary(found)[:num_pictures]:
        path = output_dir / f"{Path(record['file_name']).stem}.png"
        truth = _truth(record, names)
        write_image(path, _picture(record["file_name"], truth, target, predicted))
        written.append(path)
    return written


def _picture(
    file_name: str, truth: _Objects, target: np.ndarray, predicted: Mapping[str, _Objects]
) -> np.ndarray:
    image = read_image_rgb(file_name)
    matches = {title: objects.match(target) for title, objects in predicted.items()}
    window = pick_zoom_window(*matches.values(), target, _ZOOM_PX)
    columns = [
        Column(title, objects.masks, None, objects.labels)
        for title, objects in {"Ground truth": truth, **predicted}.items()
    ]
    whole = compare_panel(mark_window(image, window), columns)
    zoomed = zoom_panel(
        image,
        [("Ground truth", target), *matches.items()],
        window,
        max(1, image.shape[1] // (window[2] - window[0])),
        smooth=False,
    )
    return stack_rows([whole, zoomed])


def _found_by_all(truth: _Objects, predicted: Sequence[_Objects]) -> tuple[int, float]:
    """Return the object that the worst of the models found best, and with which IoU."""
    best = (-1, 0.0)
    for index, mask in enumerate(truth.masks):
        if mask.sum() >= _MIN_OBJECT_AREA_PX:
            iou = min(float(p.ious(mask).max(initial=0.0)) for p in predicted)
            best = max(best, (index, iou), key=lambda entry: entry[1])
    return best


def _vary(found: Sequence[tuple]) -> list[tuple]:
    """Order by IoU, taking a category again only after every other one."""
    seen: dict[int, int] = defaultdict(int)
    keyed = []
    for entry in sorted(found, key=lambda e: -e[1]):
        keyed.append((seen[entry[0]], -entry[1], entry))
        seen[entry[0]] += 1
    return [entry for *_, entry in sorted(keyed, key=lambda k: k[:2])]


def _read_predictions(path: Path, score_threshold: float) -> dict[int, list[dict[str, Any]]]:
    by_image = defaultdict(list)
    for entry in json.loads(path.read_text()):
        if entry["score"] >= score_threshold:
            by_image[entry["image_id"]].append(entry)
    return by_image


def _decode(
    entries: Sequence[dict[str, Any]], record: Mapping[str, Any], names: Mapping[int, str]
) -> _Objects:
    size_hw = (record["height"], record["width"])
    masks = [decode_mask(e["segmentation"], size_hw) for e in entries]
    return _Objects(
        np.stack(masks) if masks else np.zeros((0, *size_hw), dtype=bool),
        [e["category_id"] for e in entries],
        [f"{names[e['category_id']]} {e['score']:.2f}" for e in entries],
    )


def _truth(record: Mapping[str, Any], names: Mapping[int, str]) -> _Objects:
    size_hw = (record["height"], record["width"])
    known = list(names)
    masks, category_ids = [np.zeros((0, *size_hw), dtype=bool)], []
    for annotation in record["annotations"]:
        if annotation.get("iscrowd", 0):
            continue
        masks.append(decode_mask(annotation["segmentation"], size_hw)[None])
        category_ids.append(known[annotation["category_id"]])
    return _Objects(np.concatenate(masks), category_ids, [names[i] for i in category_ids])


def _category_names(dataset_name: str) -> dict[int, str]:
    """Names by the data set's own category ids, in the order of the contiguous ones."""
    DatasetCatalog.get(dataset_name)  # fills the metadata
    metadata = MetadataCatalog.get(dataset_name)
    contiguous = metadata.thing_dataset_id_to_contiguous_id
    return {
        dataset_id: metadata.thing_classes[index]
        for dataset_id, index in sorted(contiguous.items(), key=lambda item: item[1])
    }
