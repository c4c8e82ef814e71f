"""Mask heads: masks of any number of boxes."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from detectron2.modeling import GeneralizedRCNN
from detectron2.structures import Boxes, Instances

from pointrend_ext.deploy.checks.agreement import Agreement, Figure
from pointrend_ext.deploy.running import Runner

TOLERANCE = 1e-5
_MAX_SHARE_BEYOND = 1e-3
_MAX_SHARE_CHANGED = 1e-5
NUMBERS = (0, 1, 22, 100)
"""Regions of an image that are tried by turns."""


def compare_mask_head(
    run: Runner,
    *,
    model: GeneralizedRCNN,
    images: Iterable[np.ndarray],
    names: Sequence[str],
) -> list[Figure]:
    """Compare an exported mask head with that of its model, on features of pictures.

    Args:
        run: calls it with the maps of these ``names``, boxes and classes.
        model: what it is made of.
        images: (3, H, W) float32.
        names: of the feature maps that it reads.
    """
    agreement = Agreement(TOLERANCE)
    for image, boxes, classes in _with_boxes(model, images):
        maps = _features(model, image)
        (ours,) = run(*(maps[name].numpy() for name in names), boxes, classes)
        add_masks(agreement, ours, masks_of(model, image, boxes, classes))
    return mask_figures(agreement)


def add_masks(agreement: Agreement, ours: np.ndarray, theirs: np.ndarray) -> None:
    """Compare masks (R, 1, S, S)."""
    agreement.add(ours.swapaxes(0, 1), theirs.swapaxes(0, 1))
    agreement.add_decisions(ours >= 0.5, theirs >= 0.5)


def mask_figures(agreement: Agreement, what: str = "") -> list[Figure]:
    """Return what was measured; ``what`` begins each name."""
    beyond = f"share of cells off by more than {TOLERANCE:g} (swapped points)"
    figures = (
        ("largest difference of the other probabilities", agreement.largest, TOLERANCE),
        (beyond, agreement.share_beyond, _MAX_SHARE_BEYOND),
        ("share of cells on the other side of 0.5", agreement.share_changed, _MAX_SHARE_CHANGED),
        ("cells compared", agreement.decisions, None),
    )
    return [Figure(what + name, value, limit) for name, value, limit in figures]


@torch.no_grad()
def masks_of(
    model: GeneralizedRCNN, image: np.ndarray, boxes: np.ndarray, classes: np.ndarray
) -> np.ndarray:
    """Return the model's own masks (R, 1, S, S) of boxes in an image."""
    given = Instances(
        image.shape[1:],
        pred_boxes=Boxes(torch.from_numpy(boxes)),
        pred_classes=torch.from_numpy(classes),
    )
    (found,) = model.roi_heads.forward_with_given_boxes(_features(model, image), [given])
    return found.pred_masks.numpy()


@torch.no_grad()
def _features(model: GeneralizedRCNN, image: np.ndarray) -> dict[str, torch.Tensor]:
    images = model.preprocess_image([{"image": torch.from_numpy(image)}])
    return model.backbone(images.tensor)


def _with_boxes(
    model: GeneralizedRCNN, images: Iterable[np.ndarray]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Add boxes of all sizes, some of which reach beyond the image a little, and classes."""
    rng = np.random.default_rng(0)
    for number, image in enumerate(images):
        count = NUMBERS[number % len(NUMBERS)]
        corners = rng.uniform(-0.05, 1.05, (count, 2, 2)) * image.shape[:0:-1]
        boxes = np.concatenate((corners.min(axis=1), corners.max(axis=1) + 1), axis=1)
        classes = rng.integers(0, model.roi_heads.num_classes, count)
        yield image, boxes.astype(np.float32), classes
