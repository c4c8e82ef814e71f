"""A predictor for images that are larger than what a network sees at once."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from pointrend_ext.data.mapper import PANOPTIC_ARCHITECTURES
from pointrend_ext.data.reading import read_image_rgb
from pointrend_ext.inference.image_input import ImageLike, is_one_image, load_image
from pointrend_ext.inference.prediction import Prediction
from pointrend_ext.inference.predictor import Predictor
from pointrend_ext.inference.tiles.grid import Window, windows_of
from pointrend_ext.inference.tiles.pieces import Piece, joined
from pointrend_ext.inference.tiles.stored_masks import StoredMasks
from pointrend_ext.modeling.checks import check_values
from pointrend_ext.visualization import MaskCrop


class TiledPredictor:
    """Predicts overlapping tiles of an image, one after the other, and puts them together.

    Memory is that of one tile, of the image, and of the boxes of the masks. Of instances, masks of
    one class that agree where two tiles overlap become one; of label maps each tile gives the
    pixels that are nearest to its middle. An image that is not larger than a tile is predicted as a
    whole. Other attributes, such as ``classes``, are those of the predictor.

    Example:
        >>> tiled = TiledPredictor(predictor, tile_px=1024)  # doctest: +SKIP
        >>> prediction = tiled("map.tif")  # doctest: +SKIP
    """

    def __init__(
        self,
        predictor: Predictor,
        *,
        tile_px: int = 1024,
        overlap_px: int | None = None,
        lowest_iou: float = 0.5,
    ) -> None:
        """Choose the tiles.

        Args:
            predictor: of instances or label maps; not of both, whose segments cannot be joined.
            tile_px: side of a tile; the network sees it resized by the configuration's ``INPUT``.
            overlap_px: of neighbours, at least; a quarter of the side by default. Objects up to
                this size are seen as a whole by one of the tiles.
            lowest_iou: of masks in what two tiles have in common, to be one object; or the share
                of a piece, cut by a border, that the other one covers.

        Raises:
            ValueError: a number out of its range, a panoptic model, or ``probabilities``.
        """
        overlap = tile_px // 4 if overlap_px is None else overlap_px
        check_values(
            "TiledPredictor",
            ("tile_px", tile_px, tile_px >= 32, "at least 32"),
            ("overlap_px", overlap, 0 <= overlap <= tile_px // 2, "0 to half of tile_px"),
            ("lowest_iou", lowest_iou, 0 < lowest_iou <= 1, "above 0, at most 1"),
        )
        is_panoptic = predictor.cfg.MODEL.META_ARCHITECTURE in PANOPTIC_ARCHITECTURES
        if is_panoptic or predictor.probabilities:
            what = "panoptic model, whose segments" if is_panoptic else "model whose probabilities"
            raise ValueError(
                f"TiledPredictor was given a {what} are not joined across tiles: use an instance "
                "or a semantic model, without probabilities=True."
            )
        self.predictor, self.lowest_iou = predictor, lowest_iou
        self.tile_px, self.overlap_px = tile_px, overlap

    def __getattr__(self, name: str) -> Any:
        if name == "predictor":  # while it is copied, before it has one
            raise AttributeError(name)
        return getattr(self.predictor, name)

    def __call__(self, images: Any) -> Prediction | list[Prediction]:
        """Predict one image, or a list of them, as ``Predictor`` does; boxes cannot be given."""
        if is_one_image(images, "TiledPredictor"):
            return next(self.stream([images]))
        return list(self.stream(images))

    def stream(
        self, images: Iterable[ImageLike], given: Iterable[Any] | None = None
    ) -> Iterator[Prediction]:
        """Predict images one after the other; none is kept.

        Raises:
            OSError, ValueError: as of ``Predictor``; boxes are given.
        """
        if given is not None:
            raise ValueError(
                "TiledPredictor takes no boxes, whose objects it could not cut into tiles: give "
                "them to a Predictor."
            )
        return map(self._predict, images)

    def _predict(self, image: ImageLike) -> Prediction:
        pixels, name = load_image(image, self.predictor.image_rules, read_image_rgb)
        base = Prediction(pixels, name, self.predictor.classes)
        windows = windows_of(base.size_hw, self.tile_px, self.overlap_px)
        if len(windows) == 1:
            return replace(next(self.predictor.stream([pixels])), name=name)
        tiles = (np.ascontiguousarray(pixels[w.top : w.bottom, w.left : w.right]) for w in windows)
        found = zip(self.predictor.stream(tiles), windows, strict=True)
        if not self.predictor.has_instances:
            return _with_labels(base, found)
        pieces = [_pieces_of(prediction, window) for prediction, window in found]
        objects = joined(pieces, windows, self.lowest_iou)
        return replace(
            base,
            boxes=np.array([piece.box for piece in objects], np.float32).reshape(-1, 4),
            scores=np.array([piece.score for piece in objects], np.float32),
            classes=np.array([piece.class_id for piece in objects], np.int64),
            masks=StoredMasks([piece.crop for piece in objects], base.size_hw),
        )


def _pieces_of(prediction: Prediction, window: Window) -> list[Piece]:
    """Return the instances of a tile that have a pixel, in the frame of the image."""
    objects, pieces = prediction.objects, []
    shift = np.array([window.left, window.top] * 2)
    for number, (box, score, class_id) in enumerate(
        zip(objects.boxes + shift, objects.scores, objects.classes, strict=True)
    ):
        crop = objects.masks.crop(number)
        if crop.values.any():
            x0, y0, x1, y1 = box.tolist()
            mask = crop.values.astype(bool, copy=True)  # not a view of more
            crop = MaskCrop(mask, crop.top + window.top, crop.left + window.left)
            pieces.append(Piece(int(class_id), float(score), (x0, y0, x1, y1), crop))
    return pieces


def _with_labels(base: Prediction, found: Iterable[tuple[Prediction, Window]]) -> Prediction:
    labels: np.ndarray | None = None
    for prediction, window in found:
        own = prediction.label_map
        assert own is not None
        labels = np.zeros(base.size_hw, own.dtype) if labels is None else labels
        top, left, bottom, right = window.core
        rows = slice(top - window.top, bottom - window.top)
        labels[top:bottom, left:right] = own[rows, left - window.left : right - window.left]
    return replace(base, label_map=labels)
