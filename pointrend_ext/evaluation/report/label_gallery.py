"""Pictures of the images in which the label maps of models differ most."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

import cv2
import numpy as np

from pointrend_ext.data.reading import read_label_map
from pointrend_ext.evaluation.offline.data_sets import SemanticData
from pointrend_ext.evaluation.offline.label_files import open_predicted_labels
from pointrend_ext.evaluation.report.html import model_colors_rgb
from pointrend_ext.visualization import (
    class_colors,
    draw_label_map,
    mark_window,
    pick_zoom_window,
    read_image_rgb,
    stack_rows,
    titled_columns,
    zoom_panel,
)

__all__ = ["label_pictures"]

_CELL_PX, _GAP_PX = 330, 6
_ZOOM_SHARE = 0.2  # edge of the zoom in units of the shorter side of the image


def label_pictures(
    evaluation: Mapping[str, Any], data: SemanticData, count: int
) -> Iterator[tuple[str, np.ndarray]]:
    """Draw the first examples: label maps over the image, and a piece of an outline.

    Args:
        evaluation: content of ``evaluation.json``; the files that it names are read.
        data: the data set.
        count: how many examples.

    Yields:
        A caption, and the picture (H, W, 3) uint8 RGB.

    Raises:
        FileNotFoundError: A file of the evaluation is not there.
    """
    models = {
        model["name"]: open_predicted_labels(model["predictions"], data)
        for model in evaluation["models"]
    }
    colors = class_colors(len(data.class_names), data.class_colors)
    for example in evaluation["examples"][:count]:
        true = read_label_map(example["truth_file"])
        index = example["index"]
        maps = {name: found.labels(index, true.shape) for name, found in models.items()}
        ignored = true == data.ignore_label
        maps = {name: np.where(ignored, true, labels) for name, labels in maps.items()}
        label = _differing_label(list(maps.values()), true, data)
        image = read_image_rgb(example["image_file"])
        picture = _picture(image, true, maps, label, example, colors)
        name = os.path.basename(example["image_file"])
        yield f"{name}; the outline is that of {data.class_names[label]}.", picture


def _picture(
    image: np.ndarray,
    true: np.ndarray,
    maps: Mapping[str, np.ndarray],
    label: int,
    example: Mapping[str, Any],
    colors: np.ndarray,
) -> np.ndarray:
    masks = [true == label, *(labels == label for labels in maps.values())]
    edge = max(16, round(_ZOOM_SHARE * min(true.shape)))
    window = pick_zoom_window(masks[1], masks[-1] if len(masks) > 2 else masks[0], masks[0], edge)
    titles = ["ground truth"]
    for name in maps:
        scores = ", ".join(f"{k} {v:.0f}" for k, v in example["models"][name].items())
        titles.append(f"{name}: {scores}")
    tinted = [draw_label_map(image, labels, colors) for labels in (true, *maps.values())]
    cells = [_to_width(mark_window(drawn, window, width_px=3)) for drawn in tinted]
    columns = [("", mask) for mask in masks]
    zoom = zoom_panel(
        image,
        columns,
        window,
        max(1, round(_CELL_PX / edge)),
        reference=masks[0],
        colors=model_colors_rgb(len(maps)),
        title_px=0,
    )
    top = titled_columns(titles, cells, bar_px=None, gap_px=_GAP_PX)
    below = _to_width(zoom, top.shape[1])
    return stack_rows([top, below], gap_px=4)


def _differing_label(maps: list[np.ndarray], true: np.ndarray, data: SemanticData) -> int:
    """Return the class whose masks differ in most pixels, between the models or from the truth."""
    pair = (maps[0], maps[-1]) if len(maps) > 1 else (maps[0], true)
    differs = pair[0] != pair[1]
    involved = np.concatenate([labels[differs] for labels in pair])
    if not differs.any():
        involved = true[true != data.ignore_label]
    known = involved[(involved >= 0) & (involved < len(data.class_names))]
    return int(np.bincount(known.astype(np.int64)).argmax()) if known.size else int(true.flat[0])


def _to_width(picture: np.ndarray, width: int = _CELL_PX) -> np.ndarray:
    height = max(1, round(picture.shape[0] * width / picture.shape[1]))
    how = cv2.INTER_AREA if picture.shape[1] > width else cv2.INTER_CUBIC
    return cv2.resize(picture, (width, height), interpolation=how)
