"""What a model predicts for one image, ready to look at and to write down; no torch is needed."""

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from pointrend_ext.inference.pasted_masks import PastedMasks
from pointrend_ext.inference.rle import encode_mask
from pointrend_ext.inference.to_tools import ToTools, check_has_instances
from pointrend_ext.structures.classes import Classes
from pointrend_ext.visualization.drawing_package import needs_opencv
from pointrend_ext.visualization.io import encode_png


@dataclass(frozen=True)
class Panoptic:
    """A panoptic segmentation.

    Attributes:
        ids: (H, W) int32, the segment of each pixel, 0 for none.
        segments: per segment Detectron2's ``id``, ``category_id``, ``isthing``, and more.
    """

    ids: np.ndarray
    segments: list[dict[str, Any]]


class Objects(NamedTuple):
    """Instances; attributes as of ``Prediction``."""

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    masks: PastedMasks


@dataclass(frozen=True, repr=False)
class Prediction(ToTools):
    """The prediction of one image; in a notebook it shows itself.

    An instance model fills ``boxes`` to ``masks``, a semantic model ``label_map``, a panoptic model
    all.

    Attributes:
        image: (H, W, 3) uint8, RGB, upright.
        name: where it comes from, "" for an array.
        class_info: names and colours of the classes.
        boxes: (R, 4) float32, left, top, right, bottom in pixels of the image; None of a semantic
            model.
        scores: (R,) float32 in [0, 1], descending, or None; of boxes that were given in their
            order, and as given.
        classes: (R,) int64 class ids, or None.
        masks: a sequence of R masks, (H, W) bool each, pasted one by one when they are read;
            ``np.asarray(masks)`` is (R, H, W). Or None.
        label_map: (H, W) class ids, uint8 for up to 255 classes and uint16 beyond, or None.
        panoptic: or None.
        label_probabilities: (C, H, W) float32, of every class at every pixel, where the predictor
            was asked for them.
    """

    image: np.ndarray
    name: str
    class_info: Classes
    boxes: np.ndarray | None = None
    scores: np.ndarray | None = None
    classes: np.ndarray | None = None
    masks: PastedMasks | None = None
    label_map: np.ndarray | None = None
    panoptic: Panoptic | None = None
    label_probabilities: np.ndarray | None = None

    @property
    def objects(self) -> Objects:
        """The instances; of a semantic model there are none."""
        if self.boxes is None or self.scores is None or self.classes is None or self.masks is None:
            masks = PastedMasks(np.zeros((0, 1, 1)), np.zeros((0, 4)), self.size_hw)
            return Objects(np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64), masks)
        return Objects(self.boxes, self.scores, self.classes, self.masks)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Rows and columns of the image."""
        height, width = self.image.shape[:2]
        return height, width

    @property
    def class_names(self) -> list[str]:
        """Names of the R instances' classes, "class 3" where they are not known."""
        return [self.class_info.thing(c) for c in self.objects.classes]

    @property
    def void_label(self) -> int:
        """Label of pixels whose class ``filter`` has taken out: the largest of the map's type."""
        return int(np.iinfo(np.uint8 if self.label_map is None else self.label_map.dtype).max)

    def filter(
        self, classes: Collection[str | int] | None = None, min_score: float = 0.0
    ) -> "Prediction":
        """Keep some classes and confident instances alone.

        Args:
            classes: names, or numbers, which are places; None for all. Pixels of other classes get
                ``void_label`` in the label map, and 0 in the panoptic map.
            min_score: the lowest score of an instance, panoptic things included.

        Raises:
            ValueError: a name that the model does not know.
        """
        keep = class_filter(self.class_info, classes)
        changes: dict[str, Any] = {}
        if self.boxes is not None:
            pairs = zip(self.class_names, self.objects.classes, strict=True)
            kept = np.array([keep(*pair) for pair in pairs], bool)
            numbers = np.flatnonzero(kept & (self.objects.scores >= min_score))
            changes = {key: x[numbers] for key, x in self.objects._asdict().items()}
        if self.label_map is not None and classes is not None:
            names = self._stuff_names(self.label_map)
            others = [c for c, name in names.items() if not keep(name, c)]
            void = self.label_map.dtype.type(self.void_label)
            changes["label_map"] = np.where(np.isin(self.label_map, others), void, self.label_map)
        if self.panoptic is not None:
            segments = [
                s
                for s in self.panoptic.segments
                if s.get("score", 1.0) >= min_score and keep(self._name_of(s), s["category_id"])
            ]
            known = np.isin(self.panoptic.ids, [s["id"] for s in segments])
            changes["panoptic"] = Panoptic(np.where(known, self.panoptic.ids, 0), segments)
        return replace(self, **changes)

    def draw(
        self,
        *,
        colors: np.ndarray | None = None,
        color_by_class: bool = False,
        show_boxes: bool = False,
        show_labels: bool = True,
        **drawing: Any,
    ) -> np.ndarray:
        """Draw the prediction over its image: panoptic, else semantic, else instances.

        Args:
            colors: (R, 3) uint8 RGB of the instances; by default all differ.
            color_by_class: one colour per class instead.
            show_boxes: also draw the boxes of instances.
            show_labels: write names, and scores of instances.
            drawing: passed on to ``draw_instances`` or ``draw_segments``: alpha, contour_px,
                text_px.

        Returns:
            (H, W, 3) uint8, RGB.

        Raises:
            ImportError: OpenCV, which draws, is not installed.
        """
        with needs_opencv():
            from pointrend_ext.visualization.colors import colors_of
            from pointrend_ext.visualization.instances import draw_instances
            from pointrend_ext.visualization.segments import draw_segments
        stuff: dict[int, Sequence[int]] = dict(enumerate(self.class_info.stuff_colors))
        if self.panoptic is not None:
            ids, void_id, segments = self.panoptic.ids, 0, self.panoptic.segments
            names = {s["id"]: self._name_of(s) for s in segments}
            classes = {s["id"]: s["category_id"] for s in segments if not s["isthing"]}
            palette = {i: stuff[c] for i, c in classes.items() if c in stuff}
        elif self.label_map is not None:
            ids, void_id, palette = self.label_map, self.void_label, stuff
            names = self._stuff_names(ids)
        else:
            if colors is None and color_by_class:
                colors = colors_of(self.objects.classes)
            return draw_instances(
                self.image,
                masks=self.objects.masks,
                boxes_px=self.objects.boxes if show_boxes else None,
                labels=self.labels() if show_labels else None,
                colors=colors,
                **drawing,
            )
        shown = names if show_labels else None
        return draw_segments(
            self.image, ids, names=shown, colors=palette, void_id=void_id, **drawing
        )

    def labels(self) -> list[str]:
        """Return what is written beside the instances: name and score."""
        pairs = zip(self.class_names, self.objects.scores, strict=True)
        return [f"{name} {100 * score:.0f}%" for name, score in pairs]

    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """Return the instances in COCO's format of results.

        They have the data set's own category ids, and compressed RLE.

        Raises:
            ValueError: those ids are not known, or the model is semantic.
        """
        check_has_instances(self)
        results, category_ids = [], self.class_info.category_ids()
        for number, (box, score, class_id) in enumerate(zip(*self.objects[:3], strict=True)):
            x0, y0, x1, y1 = box.tolist()
            results.append(
                {
                    "image_id": image_id,
                    "category_id": category_ids[int(class_id)],
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "score": float(score),
                    "segmentation": encode_mask(self.objects.masks.crop(number), self.size_hw),
                }
            )
        return results

    def __repr__(self) -> str:
        parts = ["{} x {}".format(*self.size_hw)]
        if self.boxes is not None:
            counts = ", ".join(f"{n} {name}" for name, n in Counter(self.class_names).items())
            parts.append(f"{len(self.boxes)} instances" + (f" ({counts})" if counts else ""))
        if self.label_map is not None:
            parts.append(f"label map of {len(self._stuff_names(self.label_map))} classes")
        if self.panoptic is not None:
            parts.append(f"{len(self.panoptic.segments)} segments")
        return f"Prediction({self.name or 'array'}: {', '.join(parts)})"

    def _repr_png_(self) -> bytes:
        """Show the drawing in a notebook."""
        return encode_png(self.draw())

    def _stuff_names(self, label_map: np.ndarray) -> dict[int, str]:
        """Return the names of the classes that occur in a label map."""
        present = np.flatnonzero(np.bincount(label_map.ravel()))
        return {int(c): self.class_info.stuff_name(int(c)) for c in present if c != self.void_label}

    def _name_of(self, segment: dict[str, Any]) -> str:
        name = self.class_info.thing if segment["isthing"] else self.class_info.stuff_name
        return name(segment["category_id"])


def class_filter(
    info: Classes, classes: Collection[str | int] | None
) -> Callable[[str, int], bool]:
    """Return a function of a class' name and id that tells whether it is wanted.

    Args:
        info: the known names.
        classes: the wanted names, or places in the order of the model's classes, from 0, which
            need not be the ids of a data set; None for all.

    Raises:
        ValueError: a name or a place that the model does not have.
    """
    if classes is None:
        return lambda name, number: True
    wanted = {*known_classes(info, [classes] if isinstance(classes, str) else [*classes])}
    return lambda name, number: name in wanted or number in wanted


def known_classes(info: Classes, classes: Collection[str | int]) -> list[str | int]:
    """Return classes by their names, or by their places; errors are those of ``class_filter``.

    A text is a name wherever there is one, also where classes are called "1", "2", "3"; a number
    is a place.
    """
    names, places = [*info.things, *info.stuff], max(len(info.things), len(info.stuff))

    def place(c: str | int) -> int | None:
        number = int(c) if re.fullmatch(r"\d{1,9}", str(c)) else math.inf  # "03" is 3
        return int(number) if number < (places or math.inf) else None

    found: list[Any] = [c if isinstance(c, str) and c in names else place(c) for c in classes]
    unknown = sorted({str(c) for c, known in zip(classes, found, strict=True) if known is None})
    if unknown:
        range_of = f", by name or by place, from 0 to {places - 1}" if places else ""
        listed = ", ".join(dict.fromkeys(names)) or "none by name; use places from 0"
        raise ValueError(f"The model knows no class {unknown}. It knows{range_of}: {listed}.")
    return found
