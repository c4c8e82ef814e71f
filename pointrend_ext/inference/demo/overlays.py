"""Drawn predictions, those of several models side by side."""

from collections.abc import Sequence

import numpy as np

from pointrend_ext.inference.demo.same_objects import ObjectColors
from pointrend_ext.inference.prediction import Prediction
from pointrend_ext.visualization.panels import titled_columns


class Overlays:
    """Draws the frames of one video, or one picture.

    Args:
        titles: of the models.
        color_by_class: see ``Prediction.draw``.
        show_boxes: see there.
    """

    def __init__(self, titles: Sequence[str], *, color_by_class: bool, show_boxes: bool) -> None:
        self._titles, self._color_by_class = titles, color_by_class
        self._show_boxes, self._object_colors = show_boxes, ObjectColors()

    def __call__(self, of_models: Sequence[Prediction]) -> np.ndarray:
        """Draw the predictions of all models for one image, side by side: (H, W, 3) uint8 RGB."""
        cells = [
            prediction.draw(
                # The same object keeps its colour from one model to the next, too.
                colors=None if self._color_by_class else self._object_colors(prediction),
                color_by_class=self._color_by_class,
                show_boxes=self._show_boxes,
            )
            for prediction in of_models
        ]
        if len(cells) == 1:
            return cells[0]
        return titled_columns(self._titles, cells, bar_px=None, gap_px=6)
