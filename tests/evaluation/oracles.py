"""Slow oracles of metrics: python loops and pycocotools, nothing of the package."""

import contextlib
import io

import numpy as np
from pycocotools import mask as mask_util
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def slow_boundary(mask, d):
    """Pixels of a mask from which one outside it, or of no image, is at distance d or less."""
    height, width = mask.shape
    out = np.zeros_like(mask)
    for y, x in np.argwhere(mask):
        rows, cols = range(y - d, y + d + 1), range(x - d, x + d + 1)
        within = rows[0] >= 0 and cols[0] >= 0 and rows[-1] < height and cols[-1] < width
        out[y, x] = not (within and mask[y - d : y + d + 1, x - d : x + d + 1].all())
    return out


def slow_boundary_iou(predicted, true, crowd, d):
    """The IoU of Boundary AP of two masks."""
    both = np.sum(predicted & true)
    if crowd:
        return both / np.sum(predicted)
    mask_iou = both / np.sum(predicted | true)
    outlines = slow_boundary(predicted, d), slow_boundary(true, d)
    return min(mask_iou, np.sum(outlines[0] & outlines[1]) / np.sum(outlines[0] | outlines[1]))


class SlowBoundaryEvaluation(COCOeval):
    def computeIoU(self, imgId, catId):
        """(D, G), predictions by falling score."""
        true = self._gts[imgId, catId]
        found = sorted(self._dts[imgId, catId], key=lambda p: -p["score"])[:100]
        image = self.cocoGt.imgs[imgId]
        d = max(1, round(0.02 * (image["height"] ** 2 + image["width"] ** 2) ** 0.5))
        masks, true_masks = (
            [mask_util.decode(o["segmentation"]) for o in objects] for objects in (found, true)
        )
        pairs = [(mask, t["iscrowd"]) for mask, t in zip(true_masks, true, strict=True)]
        return np.array([[slow_boundary_iou(m, *pair, d) for pair in pairs] for m in masks])


def official_precision(truth, predictions, task, evaluator=COCOeval, max_detections=100):
    """Precision (T, R, K, A) of pycocotools, called by hand."""
    coco = COCO()
    annotations = [{"iscrowd": 0, **a} for a in truth.dataset["annotations"]]
    coco.dataset = {**truth.dataset, "annotations": annotations}
    unused = "bbox" if task == "segm" else "segmentation"
    predictions = [{k: v for k, v in p.items() if k != unused} for p in predictions]
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        evaluation = evaluator(coco, coco.loadRes(predictions), task)
        evaluation.params.maxDets = [1, 10, max_detections]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][..., -1]
