"""What the page draws of a result, in the size of a screen: arrays, and what a browser takes."""

import base64
import io
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from pointrend_ext.inference.prediction import Panoptic, Prediction
from pointrend_ext.serving.session import Seen
from pointrend_ext.visualization import colors_of, draw_points, encode_png
from pointrend_ext.visualization.points import uncertainty_colors

SHOWN_PX = (1000, 1600)  # least and largest side, the longer one, of what is sent


@dataclass(frozen=True)
class View:
    """A drawn stage.

    Attributes:
        title: of the stage, and what is shown.
        picture: (h, w, 3) uint8, RGB.
        numbers: (h, w) uint16: which label belongs to a pixel, from 1; 0 where none does. Of
            objects that overlap, the smaller one.
        labels: names, and scores of objects.
    """

    title: str
    picture: np.ndarray
    numbers: np.ndarray
    labels: list[str]

    def to_browser(self) -> dict[str, Any]:
        """Return JSON with addresses that hold the pictures; low and high bytes are red, green."""
        low, high = self.numbers & 255, self.numbers >> 8
        numbers = np.stack([low, high, 0 * low], axis=2).astype(np.uint8)
        jpeg = io.BytesIO()
        Image.fromarray(self.picture).save(jpeg, "jpeg", quality=92, subsampling=0)
        return {
            "title": self.title,
            "picture": _address("jpeg", jpeg.getvalue()),
            "numbers": _address("png", encode_png(numbers)),
            "labels": self.labels,
        }


def view_of(seen: Seen, step: int, *, min_score: float = 0.0, points: bool = False) -> View:
    """Draw what is known after a step.

    Args:
        seen: what there is.
        step: 0 is the coarse prediction; larger ones than there are mean the last.
        min_score: objects of a lower score are left out, and so are their points.
        points: whether the cells that the step corrects are drawn, the most uncertain yellow.
    """
    stage = seen.stages[min(max(int(step), 0), len(seen.stages) - 1)]
    whole = _for_screen(stage.prediction)
    kept = np.flatnonzero(whole.objects.scores >= min_score)
    prediction = whole.filter(min_score=min_score)
    picture = prediction.draw(colors=colors_of(kept), show_boxes=seen.has_given)
    if points:
        shown = np.flatnonzero((stage.owners < 0) | np.isin(stage.owners, kept))
        shown = shown[np.argsort(stage.scores[shown], kind="stable")]
        colors = uncertainty_colors(stage.scores[shown])
        picture = draw_points(picture, stage.points[shown], colors, radius_px=1.5, rim_px=0.5)
    numbers, labels = _numbered(prediction)
    title = f"{stage.title} - {_what(prediction, len(whole.objects.scores))}"
    return View(title, picture, numbers, labels)


def _for_screen(prediction: Prediction) -> Prediction:
    """Return the prediction for the picture in the size in which it is shown.

    Masks are pasted anew, so that outlines and names are crisp in small pictures as well.
    """
    height, width = prediction.size_hw
    longer = max(height, width)
    scale = min(max(longer, SHOWN_PX[0]), SHOWN_PX[1]) / longer
    if scale == 1:
        return prediction
    size_hw = max(round(height * scale), 1), max(round(width * scale), 1)
    changes: dict[str, Any] = {}
    if prediction.boxes is not None and prediction.masks is not None:
        factors = np.tile(np.divide(size_hw, prediction.size_hw)[::-1], 2)
        changes["boxes"] = (prediction.boxes * factors).astype(np.float32)
        changes["masks"] = prediction.masks.resized(size_hw)
    if prediction.label_map is not None:
        changes["label_map"] = _nearest(prediction.label_map, size_hw)
    if prediction.panoptic is not None:
        ids = _nearest(prediction.panoptic.ids, size_hw)
        changes["panoptic"] = Panoptic(ids, prediction.panoptic.segments)
    image = Image.fromarray(prediction.image).resize(size_hw[::-1], Image.Resampling.LANCZOS)
    return replace(prediction, image=np.array(image), **changes)


def _nearest(ids: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    places = [
        ((2 * np.arange(new) + 1) * old // (2 * new))
        for new, old in zip(size_hw, ids.shape, strict=True)
    ]
    return ids[np.ix_(*places)]


def _numbered(prediction: Prediction) -> tuple[np.ndarray, list[str]]:
    """Return which label belongs to each pixel, and the labels."""
    numbers = np.zeros(prediction.size_hw, np.uint16)
    info = prediction.class_info
    if prediction.panoptic is not None:
        labels = []
        for number, x in enumerate(prediction.panoptic.segments, 1):
            numbers[prediction.panoptic.ids == x["id"]] = number
            name = info.thing if x["isthing"] else info.stuff_name
            labels.append(_label(name(x["category_id"]), x.get("score")))
        return numbers, labels
    if prediction.label_map is not None:
        present = [c for c in np.unique(prediction.label_map) if c != prediction.void_label]
        for number, c in enumerate(present, 1):
            numbers[prediction.label_map == c] = number
        return numbers, [info.stuff_name(int(c)) for c in present]
    found = prediction.objects
    crops = [found.masks.crop(n) for n in range(len(found.masks))]
    for n in np.argsort([-int(x.values.sum()) for x in crops], kind="stable").tolist():
        values, top, left = crops[n]
        window = numbers[top : top + values.shape[0], left : left + values.shape[1]]
        window[values.astype(bool)] = n + 1
    pairs = zip(prediction.class_names, found.scores.tolist(), strict=True)
    return numbers, [_label(*pair) for pair in pairs]


def _label(name: str, score: float | None) -> str:
    return name if score is None else f"{name}, score {score:.2f}"


def _what(prediction: Prediction, number_of_all: int) -> str:
    if prediction.panoptic is not None:
        return f"{len(prediction.panoptic.segments)} segments"
    if prediction.label_map is not None:
        return "one class for each pixel"
    number = len(prediction.objects.scores)
    of = f" of {number_of_all}" * (number < number_of_all)  # of all but low scores
    return f"{number}{of} object{'s' * (number_of_all != 1)}"


def _address(kind: str, data: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
