"""Pictures of the images in which the label maps of models differ most."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

import numpy as np

from pointrend_ext.data.reading import read_label_map
from pointrend_ext.evaluation.offline.data_sets import SemanticData
from pointrend_ext.evaluation.offline.label_files import open_predicted_labels
from pointrend_ext.evaluation.offline.record import Evaluation, ImageExample
from pointrend_ext.evaluation.report.pictures import model_colors_rgb, resized
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
    evaluation: Evaluation, data: SemanticData, count: int
) -> Iterator[tuple[str, np.ndarray]]:
    """Draw the first examples: label maps over the image, and a piece of an outline.

    Args:
        evaluation: what is shown; the files that it names are read.
        data: the data set.
        count: how many examples.

    Yields:
        A caption, and the picture (H, W, 3) uint8 RGB.

    Raises:
        FileNotFoundError: A file of the evaluation is not there.
    """
    if not count:
        return
    models = {m.name: open_predicted_labels(m.predictions, data) for m in evaluation.models}
    colors = class_colors(len(data.class_names), data.class_colors)
    for example in evaluation.images[:count]:
        true = read_label_map(example.truth_file)
        maps = {name: m.labels(example.index, true.shape) for name, m in models.items()}
        ignored = true == data.ignore_label
        maps = {name: np.where(ignored, true, labels) for name, labels in maps.items()}
        label = _differing_label(list(maps.values()), true, data)
        picture = _picture(true, maps, label, example, colors)
        name = os.path.basename(example.image_file)
        yield f"{name}; the outline is that of {data.class_names[label]}.", picture


def _picture(
    true: np.ndarray,
    maps: Mapping[str, np.ndarray],
    label: int,
    example: ImageExample,
    colors: np.ndarray,
) -> np.ndarray:
    image = read_image_rgb(example.image_file)
    masks = [true == label, *(labels == label for labels in maps.values())]
    edge = max(16, round(_ZOOM_SHARE * min(true.shape)))
    window = pick_zoom_window(masks[1], masks[-1] if len(masks) > 2 else masks[0], masks[0], edge)
    titles = ["ground truth"]
    for name in maps:
        scores = ", ".join(f"{k} {v:.0f}" for k, v in example.models[name].items())
        titles.append(f"{name}: {scores}")
    tinted = [draw_label_map(image, labels, colors) for labels in (true, *maps.values())]
    cells = [_in_column(mark_window(drawn, window, width_px=3)) for drawn in tinted]
    zoom = zoom_panel(
        image,
        [("", mask) for mask in masks],
        window,
        max(1, round(_CELL_PX / edge)),
        reference=masks[0],
        colors=model_colors_rgb(len(maps)),
        title_px=0,
    )
    top = titled_columns(titles, cells, bar_px=None, gap_px=_GAP_PX)
    return stack_rows([top, _in_column(zoom, top.shape[1])], gap_px=4)


def _differing_label(maps: list[np.ndarray], true: np.ndarray, data: SemanticData) -> int:
    """Return the class whose masks differ in most pixels, between the models or from the truth."""
    pair = (maps[0], maps[-1]) if len(maps) > 1 else (maps[0], true)
    differs = pair[0] != pair[1]
    involved = np.concatenate([labels[differs] for labels in pair])
    if not differs.any():
        involved = true[true != data.ignore_label]
    known = involved[(involved >= 0) & (involved < len(data.class_names))]
    return int(np.bincount(known.astype(np.int64)).argmax()) if known.size else int(true.flat[0])


def _in_column(picture: np.ndarray, width_px: int = _CELL_PX) -> np.ndarray:
    return resized(picture, width_px, round(picture.shape[0] * width_px / picture.shape[1]))
