"""Copy-paste: objects of one training image, pasted onto another."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetFromList
from detectron2.structures import Boxes, Instances
from torch import Tensor

from pointrend_ext.data.checks import ROI_ARCHITECTURES
from pointrend_ext.data.coco import causes
from pointrend_ext.data.drops import DropCounter
from pointrend_ext.data.mapper import PointRendDatasetMapper
from pointrend_ext.structures import CroppedMasks, crop_mask

_SHARE = 0.5  # probability of each object to be pasted


def check_copy_paste(
    cfg: CfgNode, mapper: Callable[[dict[str, Any]], Any], *, is_ordered: bool
) -> None:
    """Refuse ``INPUT.COPY_PASTE`` where it cannot be applied.

    Args:
        cfg: the configuration.
        mapper: of single records.
        is_ordered: whether the records are a list that a second image can be drawn from.

    Raises:
        ValueError: what stands in the way.
    """
    if not cfg.INPUT.COPY_PASTE:
        return
    if cfg.MODEL.META_ARCHITECTURE not in ROI_ARCHITECTURES or not cfg.MODEL.MASK_ON:
        reason = "this model learns none. Leave it out"
    elif cfg.MODEL.KEYPOINT_ON or cfg.MODEL.LOAD_PROPOSALS:
        reason = "no keypoints or proposals. Set MODEL.KEYPOINT_ON and LOAD_PROPOSALS False"
    elif not isinstance(mapper, PointRendDatasetMapper) or not is_ordered:
        reason = "this mapper, or data set without a list of records, is not served. Leave it out"
    elif mapper.use_points:
        reason = "this training is on points. Set INPUT.POINT_SUP False, or COPY_PASTE 0"
    elif mapper.instance_mask_format != "bitmask":
        reason = "they are polygons here. Set INPUT.MASK_FORMAT bitmask"
    else:
        return
    raise ValueError(f"INPUT.COPY_PASTE is {cfg.INPUT.COPY_PASTE}; it pastes masks, but {reason}.")


class CopyPasteMapper:
    """Maps a record, and with some probability pastes objects of another one onto it.

    Ghiasi et al., "Simple Copy-Paste is a Strong Data Augmentation Method", CVPR 2021: both images
    are augmented by themselves; each object of the other is pasted with probability 1/2, where it
    is and without blending.

    Attributes:
        mapper: of single records.
        drops: what it counts; also objects that are wholly covered.
    """

    def __init__(
        self,
        mapper: Any,
        records: DatasetFromList,
        probability: float,
    ) -> None:
        """Wrap a mapper.

        Args:
            mapper: a ``PointRendDatasetMapper`` that makes ``CroppedMasks``.
            records: that the other image is drawn from, uniformly.
            probability: of an image to be pasted onto.
        """
        self.mapper, self.records, self.probability = mapper, records, probability
        self.drops: DropCounter = mapper.drops

    def __call__(self, record: dict[str, Any]) -> dict[str, Any]:
        """Map a record; random numbers are NumPy's global ones, as in Detectron2's augmentation."""
        target = self.mapper(record)
        if np.random.rand() >= self.probability:  # noqa: NPY002
            return target
        source = self.mapper(self.records[np.random.randint(len(self.records))])  # noqa: NPY002
        chosen = np.random.rand(len(source["instances"])) < _SHARE  # noqa: NPY002
        hidden = paste(target, source, torch.from_numpy(chosen))
        for _ in range(hidden):
            self.drops.add(causes.PASTED_OVER, target["file_name"])
        return target


def paste(target: dict[str, Any], source: dict[str, Any], chosen: Tensor) -> int:
    """Paste objects onto an image, in place, and return how many of its own are covered by them.

    Both images have their top left corners in common. What is pasted ends at the border of the
    target; what it covers is taken out of the masks of the target, and boxes are those of what is
    left. Label maps get the labels of the source where objects are pasted.

    Args:
        target: of a mapper: ``image`` (C, H, W), ``instances`` with ``gt_masks`` and, if there is
            one, ``sem_seg`` (H, W).
        source: the same of another image.
        chosen: (N,) bool, which objects of the source.
    """
    objects, size_hw = target["instances"], target["instances"].image_size

    def clip(pixels: np.ndarray, top: int, left: int) -> np.ndarray:
        return pixels[: max(size_hw[0] - top, 0), : max(size_hw[1] - left, 0)]

    pasted = _changed(source["instances"][chosen], clip, size_hw)
    covered = np.zeros(size_hw, dtype=bool)
    for number in range(len(pasted)):
        pixels, top, left = pasted.gt_masks.crop(number)
        height, width = pixels.shape
        covered[top : top + height, left : left + width] |= pixels

    def cut(pixels: np.ndarray, top: int, left: int) -> np.ndarray:
        height, width = pixels.shape
        return pixels & ~covered[top : top + height, left : left + width]

    own = _changed(objects, cut, size_hw)
    rows, columns = map(torch.from_numpy, covered.nonzero())
    for key in ("image", "sem_seg"):
        if key in target:
            target[key] = target[key].clone()  # its memory may not be its own
            target[key][..., rows, columns] = source[key][..., rows, columns]
    target["instances"] = Instances.cat([own, pasted])
    return len(objects) - len(own)


def _changed(
    instances: Instances,
    change: Callable[[np.ndarray, int, int], np.ndarray],
    size_hw: tuple[int, int],
) -> Instances:
    """Change masks, and with them boxes; leave out objects of which nothing is left.

    Args:
        instances: with ``CroppedMasks``.
        change: takes the pixels (h, w) of a mask in its box, and the top and left edges of that;
            returns pixels at the same place.
        size_hw: of the image that they are put into.
    """
    crops, boxes = [], instances.gt_boxes.tensor.clone()
    for number in range(len(instances)):
        pixels, top, left = instances.gt_masks.crop(number)
        left_over = change(pixels, top, left)
        is_whole = left_over.sum() == pixels.sum()
        left_over, down, right = crop_mask(left_over)
        crops.append((left_over, top + down, left + right))
        if not is_whole:  # the box of a whole one may be the annotated one
            height, width = left_over.shape
            x0, y0 = left + right, top + down
            boxes[number] = torch.tensor([x0, y0, x0 + width, y0 + height])
    changed = Instances(size_hw)
    changed.gt_boxes = Boxes(boxes)
    changed.gt_boxes.clip(size_hw)
    changed.gt_classes = instances.gt_classes
    changed.gt_masks = CroppedMasks.from_crops(crops, size_hw)
    return changed[changed.gt_masks.nonempty()]
