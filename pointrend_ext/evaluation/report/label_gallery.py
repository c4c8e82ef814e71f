"""Pictures of the images in which the label maps of models differ most."""

import os
from collections.abc import Iterator, Mapping

import numpy as np

from pointrend_ext.data.label_maps import read_label_map
from pointrend_ext.data.pixels import ANY_SIZE
from pointrend_ext.data.reading import read_image_rgb
from pointrend_ext.evaluation.offline.data_sets import SemanticData
from pointrend_ext.evaluation.offline.label_files import open_predicted_labels
from pointrend_ext.evaluation.offline.record import Evaluation, ImageExample
from pointrend_ext.evaluation.report.pictures import (
    CELL_PX,
    GAP_PX,
    model_colors_rgb,
    resized,
    window_row,
)
from pointrend_ext.visualization import (
    class_colors,
    draw_label_map,
    mark_window,
    pick_zoom_window,
    stack_rows,
    titled_columns,
)

_ZOOM_SHARE = 0.2  # edge of the zoom in units of the shorter side of the image


def label_pictures(
    evaluation: Evaluation, data: SemanticData, count: int
) -> Iterator[tuple[str, np.ndarray]]:
    """Draw the first examples: label maps over the image, and a piece of an outline.

    Yields:
        A caption, and the picture (H, W, 3) uint8 RGB.
    """
    if not count:
        return
    models = {m.name: open_predicted_labels(m.predictions, data) for m in evaluation.models}
    colors = class_colors(len(data.class_names), data.class_colors)
    for example in evaluation.images[:count]:
        true = read_label_map(example.truth_file, data.encoding)
        ignored = true == data.ignore_label
        maps = {
            name: np.where(ignored, true, model.labels(example.index, true.shape))
            for name, model in models.items()
        }
        label = _differing_label(list(maps.values()), true, data)
        name = os.path.basename(example.image_file)
        caption = f"{name}; the outline is that of {data.class_names[label]}."
        yield caption, _picture(true, maps, label, example, colors)


def _picture(
    true: np.ndarray,
    maps: Mapping[str, np.ndarray],
    label: int,
    example: ImageExample,
    colors: np.ndarray,
) -> np.ndarray:
    image, shown = read_image_rgb(example.image_file, ANY_SIZE), [true, *maps.values()]
    masks = [labels == label for labels in shown]
    edge = max(16, round(_ZOOM_SHARE * min(true.shape)))
    window = pick_zoom_window(masks[1], masks[-1] if len(masks) > 2 else masks[0], masks[0], edge)
    titles = ["ground truth"]
    for name in maps:
        scores = ", ".join(f"{k} {v:.0f}" for k, v in example.models[name].items())
        titles.append(f"{name}: {scores}")
    cells = [
        resized(mark_window(draw_label_map(image, labels, colors), window, width_px=3), CELL_PX)
        for labels in shown
    ]
    top = titled_columns(titles, cells, gap_px=GAP_PX)
    model_colors = model_colors_rgb(len(maps))
    zoom = window_row(image, masks, window, reference=masks[0], colors=model_colors)
    return stack_rows([top, zoom], gap_px=4)


def _differing_label(maps: list[np.ndarray], true: np.ndarray, data: SemanticData) -> int:
    """Return the class whose masks differ in most pixels, between the models or from the truth."""
    pair = (maps[0], maps[-1]) if len(maps) > 1 else (maps[0], true)
    differs = pair[0] != pair[1]
    involved = np.concatenate([labels[differs] for labels in pair])
    if not differs.any():
        involved = true[true != data.ignore_label]
    known = involved[(involved >= 0) & (involved < len(data.class_names))]
    return int(np.bincount(known.astype(np.int64)).argmax()) if known.size else int(true.flat[0])
