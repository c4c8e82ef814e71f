"""Pictures of two semantic models' predictions beside the ground truth."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from detectron2.data import DatasetCatalog, MetadataCatalog

from pointrend_ext.data.reading import read_label_map
from pointrend_ext.evaluation.masks import decode_mask
from pointrend_ext.visualization import (
    class_colors,
    draw_label_map,
    mark_window,
    pick_zoom_window,
    read_image_rgb,
    stack_rows,
    titled_columns,
    write_image,
)

__all__ = ["write_semantic_comparisons"]

_ZOOM_PX = 72


def write_semantic_comparisons(
    predictions: Mapping[str, Path],
    dataset_name: str,
    output_dir: Path,
    *,
    num_pictures: int = 3,
) -> list[Path]:
    """Draw the label maps of two models for the images in which they differ most.

    Each picture has the ground truth and both predictions on the whole image and, below, on the
    window along the outline of one class in which the two predictions differ most. The choice never
    asks which model is right.

    Args:
        predictions: two models' names and their ``sem_seg_predictions.json``.
        dataset_name: a registered semantic data set.
        output_dir: where the PNG files go; created.
        num_pictures: at most so many.

    Returns:
        The files written.
    """
    metadata = MetadataCatalog.get(dataset_name)
    ignored = metadata.ignore_label
    colors = class_colors(len(metadata.stuff_classes), metadata.get("stuff_colors"))
    maps = {name: _read_predictions(path) for name, path in predictions.items()}
    records = []
    for record in DatasetCatalog.get(dataset_name):
        truth = read_label_map(record["sem_seg_file_name"])
        first, second = (_paint(m[record["file_name"]], truth.shape) for m in maps.values())
        differing = ((first != second) & (truth != ignored)).mean()
        records.append((differing, record, truth, (first, second)))
    records.sort(key=lambda entry: -entry[0])
    written = []
    for _, record, truth, labels in records[:num_pictures]:
        path = output_dir / f"{Path(record['file_name']).stem}.png"
        columns = {"Ground truth": truth, **dict(zip(predictions, labels, strict=True))}
        write_image(path, _picture(record["file_name"], columns, colors))
        written.append(path)
    return written


def _picture(file_name: str, columns: Mapping[str, np.ndarray], colors: np.ndarray) -> np.ndarray:
    image = read_image_rgb(file_name)
    truth, first, second = columns.values()
    changes = [((first == c) != (second == c)).sum() for c in range(len(colors))]
    focus = int(np.argmax(changes))
    window = pick_zoom_window(first == focus, second == focus, truth == focus, _ZOOM_PX)
    x0, y0, x1, y1 = window
    rows = [_row(mark_window(image, window), columns, colors, 1)]
    crops = {name: labels[y0:y1, x0:x1] for name, labels in columns.items()}
    scale = max(1, image.shape[1] // (x1 - x0))
    rows.append(_row(image[y0:y1, x0:x1], crops, colors, scale))
    return stack_rows(rows)


def _row(
    image: np.ndarray, columns: Mapping[str, np.ndarray], colors: np.ndarray, scale: int
) -> np.ndarray:
    cells = [draw_label_map(image, labels, colors, scale=scale) for labels in columns.values()]
    return titled_columns(list(columns), cells, bar_px=None if scale == 1 else 0, gap_px=6)


def _read_predictions(path: Path) -> dict[str, list[dict]]:
    by_image: dict[str, list[dict]] = {}
    for entry in json.loads(path.read_text()):
        by_image.setdefault(entry["file_name"], []).append(entry)
    return by_image


def _paint(entries: list[dict], size_hw: tuple[int, int]) -> np.ndarray:
    labels = np.full(size_hw, 255, dtype=np.uint8)
    for entry in entries:
        labels[decode_mask(entry["segmentation"], size_hw)] = entry["category_id"]
    return labels
