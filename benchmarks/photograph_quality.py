"""How good masks of given boxes are: mask IoU and boundary IoU of objects, by size.

The true boxes are given, so that each mask belongs to the object of its box, and nothing is
matched. Crowds are left out.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pycocotools.mask as mask_util
import torch
from detectron2.modeling import GeneralizedRCNN
from detectron2.structures import Boxes, BoxMode, Instances
from pycocotools.coco import COCO

from pointrend_ext.evaluation.boundary import boundary_width, rle_boundary
from pointrend_ext.evaluation.offline.bootstrap import draw_images, estimate
from pointrend_ext.evaluation.offline.record import Score

__all__ = ["METRICS", "SIZES", "compare", "means", "object_scores", "predict"]

SIZES = {
    "all": (0, np.inf),
    "small": (0, 32**2),
    "medium": (32**2, 96**2),
    "large": (96**2, np.inf),
}
"""By name, the least area of an object in pixels, and that which it is below."""
METRICS = ("mask IoU", "boundary IoU")
_DRAWS, _SEED = 1000, 1


def predict(
    model: GeneralizedRCNN, loader: Iterable[Sequence[dict[str, Any]]], truth: COCO
) -> list[dict[str, Any]]:
    """Predict the masks in all true boxes; return them in COCO's results format, by annotation.

    Args:
        model: in evaluation mode, of one class.
        loader: batches of Detectron2's inputs.
        truth: the annotations of their images.
    """
    results = []
    for batch in loader:
        objects = [_objects(truth, x["image_id"]) for x in batch]
        given = [_given(o, x) for o, x in zip(objects, batch, strict=True)]
        with torch.no_grad():
            outputs = model.inference(batch, detected_instances=given)
        for own, output in zip(objects, outputs, strict=True):
            masks = output["instances"].pred_masks.numpy()
            for annotation, mask in zip(own, masks, strict=True):
                rle = mask_util.encode(np.asfortranarray(mask, dtype=np.uint8))
                rle["counts"] = rle["counts"].decode()
                kept = {k: annotation[k] for k in ("image_id", "category_id", "bbox")}
                kept["annotation_id"] = annotation["id"]
                results.append({**kept, "segmentation": rle, "score": 1.0})
    return results


def _objects(truth: COCO, image_id: int) -> list[dict[str, Any]]:
    ids = truth.getAnnIds([image_id], iscrowd=False)
    return [a for a in truth.loadAnns(sorted(ids)) if a["area"] > 0]


def _given(objects: Sequence[dict[str, Any]], single: Mapping[str, Any]) -> Instances:
    """Return true boxes in the frame of the network's input."""
    boxes = torch.tensor([o["bbox"] for o in objects], dtype=torch.float32).reshape(-1, 4)
    found = Boxes(BoxMode.convert(boxes, BoxMode.XYWH_ABS, BoxMode.XYXY_ABS))
    size_hw = tuple(single["image"].shape[1:])
    found.scale(size_hw[1] / single["width"], size_hw[0] / single["height"])
    zeros = torch.zeros(len(boxes))
    return Instances(size_hw, pred_boxes=found, pred_classes=zeros.long(), scores=zeros + 1)


def object_scores(truth: COCO, results: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Compare each mask of ``predict`` with its object.

    Returns:
        (N, 4) float64: number of the image from 0, area in pixels, mask IoU, boundary IoU (0..1).
    """
    rows, masks = [], {result["annotation_id"]: result["segmentation"] for result in results}
    for number, image_id in enumerate(sorted(truth.getImgIds())):
        image = truth.imgs[image_id]
        width = boundary_width((image["height"], image["width"]))
        for annotation in _objects(truth, image_id):
            pair = [masks[annotation["id"]], truth.annToRLE(annotation)]
            edges = [rle_boundary(rle, width) for rle in pair]
            ious = [mask_util.iou(x[:1], x[1:], [0]).item() for x in (pair, edges)]
            rows.append([number, annotation["area"], *ious])
    return np.array(rows).reshape(-1, 2 + len(METRICS))


def means(scores: Sequence[np.ndarray], size: str) -> dict[str, tuple[Score, list[float]]]:
    """Average over the objects of a size, in per cent.

    Args:
        scores: of ``object_scores`` of models with several seeds, which saw the same objects.
        size: see ``SIZES``.

    Returns:
        By metric: the mean over objects and seeds with its interval over images, and that of
        each seed.
    """
    return _estimates([s[:, 2:] for s in scores], scores[0], size, (0.0, 100.0))


def compare(
    scores: Sequence[np.ndarray], baseline: Sequence[np.ndarray], size: str
) -> dict[str, tuple[Score, list[float]]]:
    """Average the difference of two models, seed by seed and over images, as in ``means``."""
    values = [s[:, 2:] - b[:, 2:] for s, b in zip(scores, baseline, strict=True)]
    return _estimates(values, scores[0], size, (-100.0, 100.0))


def _estimates(
    values: Sequence[np.ndarray], objects: np.ndarray, size: str, bounds: tuple[float, float]
) -> dict[str, tuple[Score, list[float]]]:
    low, high = SIZES[size]
    chosen = (objects[:, 1] >= low) & (objects[:, 1] < high)
    _, images = np.unique(objects[:, 0], return_inverse=True)
    weights = draw_images(images.max() + 1, _DRAWS, _SEED)[:, images[chosen]]  # (B, objects)
    counts = weights.sum(axis=1)
    found = {}
    for column, metric in enumerate(METRICS):
        by_seed = 100 * np.stack([v[chosen, column] for v in values])  # (seeds, objects)
        average = by_seed.mean(axis=0)
        samples = weights @ average / np.where(counts, counts, np.nan)
        score = estimate(average.mean(), samples, bounds=bounds)
        found[metric] = (score, by_seed.mean(axis=1).tolist())
    return found
