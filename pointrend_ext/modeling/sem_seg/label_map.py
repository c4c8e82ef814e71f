"""Label maps: of logits, and of the ground truth at points."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pointrend_ext.layers import map_to_map, point_sample
from pointrend_ext.layers.fast import label_dtype


def label_map(logits: Tensor) -> Tensor:
    """Return the class of the largest logit, the lower class on ties; of one class, its sign.

    Args:
        logits: (N, C, H, W).

    Returns:
        (N, H, W), uint8 up to 256 classes and int64 beyond; for C = 1 it is 1 where the logit is
        positive and 0 elsewhere.
    """
    num_classes = logits.shape[1]
    labels = logits[:, 0] > 0 if num_classes == 1 else logits.argmax(dim=1)
    return labels.to(label_dtype(num_classes))


@torch.no_grad()
def sample_map_labels(
    label_maps: Tensor, coords_map: Tensor, extent_px: Sequence[int], ignore_value: int
) -> Tensor:
    """Read the label of the pixel that each point lies in.

    Args:
        label_maps: (N, H, W) class ids.
        coords_map: (N, P, 2), (x, y) in [0, 1] of ``extent_px``.
        extent_px: rows and columns of the frame of the points, in pixels.
        ignore_value: label of points beyond the label map, where the frame covers more.

    Returns:
        (N, P), int64.
    """
    coords_label = map_to_map(coords_map, extent_px, label_maps.shape[-2:])
    # Sampling continues a map by zeros; shifted ids make those the ignored value.
    shifted = (label_maps - ignore_value).unsqueeze(1).to(coords_map.dtype)
    sampled = point_sample(shifted, coords_label, mode="nearest")
    return sampled.squeeze(1).long() + ignore_value


def labelled_extents(
    label_maps: Tensor, extent_px: Sequence[int], ignore_value: int, dtype: torch.dtype
) -> Tensor:
    """Tell how far from the top left corner the labels of each image reach.

    What lies beyond, at the right and at the bottom, is ignored as a whole: the padding of a batch.

    Args:
        label_maps: (N, H, W) class ids.
        extent_px: as for ``sample_map_labels``.
        ignore_value: label of what is not labelled.
        dtype: of the result.

    Returns:
        (N, 2), shares of width and height of ``extent_px``; 1 where no pixel has a label.
    """
    is_labelled = label_maps != ignore_value
    shares = []
    for axis, whole in ((1, extent_px[1]), (2, extent_px[0])):
        along = is_labelled.any(dim=axis)  # (N, W), then (N, H)
        ends = torch.arange(1, along.shape[1] + 1, device=along.device)
        last = (along * ends).amax(dim=1)
        shares.append(torch.where(last > 0, last, whole).to(dtype) / whole)
    return torch.stack(shares, dim=1)
