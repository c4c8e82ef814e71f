"""What a model predicts for one image, ready to look at and to write down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pycocotools.mask as mask_util

from pointrend_ext.engine.classes import Classes
from pointrend_ext.inference.pasted_masks import PastedMasks
from pointrend_ext.visualization import colors_of, draw_instances, draw_segments, encode_png

__all__ = ["Panoptic", "Prediction"]

VOID_LABEL = 255
"""Label of pixels whose class a filter has taken out; class ids beyond it move the map to 16
bits, and it to 65535."""


@dataclass(frozen=True)
class Panoptic:
    """A panoptic segmentation.

    Attributes:
        ids: (H, W) int32, the segment of each pixel, 0 for none.
        segments: per segment Detectron2's ``id``, ``category_id``, ``isthing``, and more.
    """

    ids: np.ndarray
    segments: list[dict[str, Any]]


@dataclass(frozen=True, repr=False)
class Prediction:
    """The prediction of one image; in a notebook it shows itself.

    An instance model fills ``boxes`` to ``masks``, a semantic model ``label_map``, a panoptic model
    all.

    Attributes:
        image: (H, W, 3) uint8, RGB, upright.
        name: where it comes from, "" for an array.
        class_info: names and colours of the classes.
        boxes: (R, 4) float32, left, top, right, bottom in pixels of the image; None of a semantic
            model.
        scores: (R,) float32 in [0, 1], descending, or None.
        classes: (R,) int64 class ids, or None.
        masks: a sequence of R masks, (H, W) bool each, pasted one by one when they are read;
            ``np.asarray(masks)`` is (R, H, W). Or None.
        label_map: (H, W) class ids, uint8 for up to 255 classes and uint16 beyond, or None.
        panoptic: or None.
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

    @property
    def class_names(self) -> list[str]:
        """Names of the R instances' classes, "class 3" where they are not known."""
        return [] if self.classes is None else [self.class_info.thing(c) for c in self.classes]

    @property
    def void_label(self) -> int:
        """Label of pixels whose class ``filter`` has taken out."""
        return VOID_LABEL if self.label_map is None else np.iinfo(self.label_map.dtype).max

    def filter(
        self, classes: Collection[str | int] | None = None, min_score: float = 0.0
    ) -> Prediction:
        """Keep some classes and confident instances alone.

        Args:
            classes: names or ids; None for all. Pixels of other classes get ``void_label`` in the
                label map, and 0 in the panoptic map.
            min_score: the lowest score of an instance, panoptic things included.

        Raises:
            ValueError: a name that the model does not know.
        """
        wanted = self._wanted(classes)
        changes: dict[str, Any] = {}
        if self.boxes is not None:
            keep = self.scores >= min_score
            if wanted is not None:
                keep &= np.array([wanted(self.class_info.thing(c), c) for c in self.classes], bool)
            numbers = np.flatnonzero(keep)
            changes = {
                key: getattr(self, key)[numbers] for key in ("boxes", "scores", "classes", "masks")
            }
        if self.label_map is not None and wanted is not None:
            present = np.flatnonzero(np.bincount(self.label_map.ravel()))
            others = [c for c in present if not wanted(self.class_info.stuff_name(c), c)]
            changes["label_map"] = np.where(
                np.isin(self.label_map, others),
                self.label_map.dtype.type(self.void_label),
                self.label_map,
            )
        if self.panoptic is not None:
            changes["panoptic"] = self._filter_panoptic(wanted, min_score)
        return replace(self, **changes)

    def draw(
        self,
        *,
        colors: np.ndarray | None = None,
        color_by_class: bool = False,
        show_boxes: bool = False,
        show_labels: bool = True,
        **drawing: float | int,
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
        """
        if self.panoptic is not None:
            names, palette = self._segment_names_and_colors()
            names = names if show_labels else None
            return draw_segments(
                self.image, self.panoptic.ids, names=names, colors=palette, void_id=0, **drawing
            )
        if self.label_map is not None:
            present = np.flatnonzero(np.bincount(self.label_map.ravel()))
            names = {int(c): self.class_info.stuff_name(c) for c in present if c != self.void_label}
            return draw_segments(
                self.image,
                self.label_map,
                names=names if show_labels else None,
                colors=dict(enumerate(self.class_info.stuff_colors)),
                void_id=self.void_label,
                **drawing,
            )
        if colors is None and color_by_class:
            colors = colors_of(self.classes)
        return draw_instances(
            self.image,
            masks=self.masks,
            boxes_px=self.boxes if show_boxes else None,
            labels=self.labels() if show_labels else None,
            colors=colors,
            **drawing,
        )

    def labels(self) -> list[str]:
        """Return what is written beside the instances: name and score."""
        return [f"{n} {100 * s:.0f}%" for n, s in zip(self.class_names, self.scores, strict=True)]

    def to_coco(self, image_id: int) -> list[dict[str, Any]]:
        """Return the instances in COCO's format of results.

        Args:
            image_id: of the image.

        Returns:
            One dict per instance: ``image_id``, ``category_id`` (the data set's own, where it is
            known), ``bbox`` [x, y, width, height], ``score``, ``segmentation`` (compressed RLE).
        """
        results = []
        for number in range(0 if self.boxes is None else len(self.boxes)):
            rle = mask_util.encode(np.asfortranarray(self.masks[number], dtype=np.uint8))
            x0, y0, x1, y1 = self.boxes[number].tolist()
            results.append(
                {
                    "image_id": image_id,
                    "category_id": self.class_info.category_id(int(self.classes[number])),
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "score": float(self.scores[number]),
                    "segmentation": {"size": rle["size"], "counts": rle["counts"].decode("ascii")},
                }
            )
        return results

    def __repr__(self) -> str:
        height, width = self.image.shape[:2]
        parts = [f"{height} x {width}"]
        if self.boxes is not None:
            counts = ", ".join(f"{n} {name}" for name, n in Counter(self.class_names).items())
            parts.append(f"{len(self.boxes)} instances" + (f" ({counts})" if counts else ""))
        if self.label_map is not None:
            parts.append(f"label map of {len(np.unique(self.label_map))} classes")
        if self.panoptic is not None:
            parts.append(f"{len(self.panoptic.segments)} segments")
        return f"Prediction({self.name or 'array'}: {', '.join(parts)})"

    def _repr_png_(self) -> bytes:
        """Show the drawing in a notebook."""
        return encode_png(self.draw())

    def _wanted(self, classes: Collection[str | int] | None) -> Any:
        if classes is None:
            return None
        known = [*self.class_info.things, *self.class_info.stuff]
        words = {str(c) for c in classes}
        unknown = [w for w in words if w not in known and not w.isdecimal()]
        if unknown:
            listed = ", ".join(dict.fromkeys(known)) or "none by name; use ids"
            raise ValueError(f"The model knows no class {sorted(unknown)}. It knows: {listed}.")
        return lambda name, number: name in words or str(number) in words

    def _filter_panoptic(self, wanted: Any, min_score: float) -> Panoptic:
        kept = [
            s
            for s in self.panoptic.segments
            if s.get("score", 1.0) >= min_score
            and (wanted is None or wanted(self._segment_name(s), s["category_id"]))
        ]
        ids = self.panoptic.ids
        return Panoptic(np.where(np.isin(ids, [s["id"] for s in kept]), ids, 0), kept)

    def _segment_name(self, segment: dict[str, Any]) -> str:
        name = self.class_info.thing if segment["isthing"] else self.class_info.stuff_name
        return name(segment["category_id"])

    def _segment_names_and_colors(self) -> tuple[dict[int, str], dict[int, Sequence[int]]]:
        names, colors = {}, {}
        for segment in self.panoptic.segments:
            names[segment["id"]] = self._segment_name(segment)
            class_id = segment["category_id"]
            if not segment["isthing"] and class_id < len(self.class_info.stuff_colors):
                colors[segment["id"]] = self.class_info.stuff_colors[class_id]
        return names, colors
