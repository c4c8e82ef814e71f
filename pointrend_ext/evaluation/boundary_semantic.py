"""Boundary metrics of label maps as integer counts per class, which add up over images.

All three look at each class's own mask, never at differences of label numbers, and all distances
between pixels are between their centres. Ignored pixels (Detectron2's ``ignore_label``) count
nowhere, whatever is predicted there. What lies *next to* them is decided per metric:

* Boundary IoU (Cheng et al., CVPR 2021, https://arxiv.org/abs/2103.16562, defined there for one
  binary mask). Ignored pixels are cut out of both maps as if they were outside the image, and what
  is outside the image is not part of any mask. A class therefore has a boundary at an ignored
  region and at the image border, in the prediction and in the truth alike.
* Trimap IoU (Kohli et al., IJCV 2009) and boundary F-score (Csurka et al., BMVC 2013). A boundary
  separates two classes: pixels that are ignored and the image border make none. Nobody knows what
  lies there.

The speed comes from one observation: whether a pixel has another label within a square window is
seen from the window's minimum and maximum, for all classes at once.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from pointrend_ext.evaluation.boundary import (
    DILATION_RATIO,
    boundary_width,
    label_boundary,
    square,
)
from pointrend_ext.evaluation.label_pair import (
    LabelPair,
    class_counts,
    label_histogram,
    ratio_or_nan,
)

BOUNDARY_F_RATIO = 0.0075
"""Tolerance of the boundary F-score as a share of the image diagonal, from Csurka et al."""


def boundary_iou_counts(pair: LabelPair, ratio: float = DILATION_RATIO) -> np.ndarray:
    """Count boundary pixels for Boundary IoU.

    The boundary of a class is those of its pixels from which a pixel that is not of the class, or
    the outside of the image, is at Chebyshev distance d or less; d is ``boundary_width``.

    Args:
        pair: the label maps.
        ratio: d as a share of the image diagonal.

    Returns:
        (C, 3) int64: pixels in both boundaries, in that of the prediction, in that of the truth.
        ``class_iou`` makes Boundary IoU of them, or of their sum over images.
    """
    distance, nothing = boundary_width(pair.truth.shape, ratio), pair.num_classes
    maps = (pair.prediction, pair.truth)
    prediction, truth = (np.where(label_boundary(m, distance), m, nothing) for m in maps)
    return class_counts(LabelPair(prediction, truth, nothing))


def trimap_counts(pair: LabelPair, widths: Sequence[int]) -> np.ndarray:
    """Count pixels near the boundaries of the truth.

    The trimap of width w is all pixels from which a pixel of another true class is at Chebyshev
    distance w or less: w pixels on either side of each boundary.

    Args:
        pair: the label maps.
        widths: the widths w in pixels, W of them.

    Returns:
        (W, C, 3) int64, for each width as in ``class_counts``.
    """
    bands = [_near_other_class(pair.truth, pair.num_classes, width) for width in widths]
    return np.stack([class_counts(pair, band) for band in bands])


def boundary_f_counts(pair: LabelPair, ratio: float = BOUNDARY_F_RATIO) -> np.ndarray:
    """Count contour pixels for the boundary F-score.

    The contour of a class is those of its pixels that touch (also at a corner) a pixel of another
    class. A contour pixel is matched when the other map has one of the same class at Euclidean
    distance t or less; t is ``boundary_width`` for ``ratio``.

    Args:
        pair: the label maps.
        ratio: t as a share of the image diagonal.

    Returns:
        (C, 4) int64: predicted contour pixels that are matched, all of them, true ones that are
        matched, all of them. ``boundary_f_scores`` makes scores of them, or of their sum.
    """
    tolerance = boundary_width(pair.truth.shape, ratio)
    contours = [
        np.where(_near_other_class(labels, pair.num_classes, 1), labels, pair.num_classes)
        for labels in (pair.prediction, pair.truth)
    ]
    counts = []
    for own, other in (contours, contours[::-1]):
        total = label_histogram(own, pair.num_classes)
        counts += [total - _count_far(own, other, pair.num_classes, tolerance), total]
    return np.stack(counts, axis=1)


def boundary_f_scores(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return precision, recall and F of each class.

    Args:
        counts: (..., C, 4), see ``boundary_f_counts``; sums over images as well.

    Returns:
        Three arrays (..., C) float64 in 0..1, all NaN for classes without a contour in the truth;
        precision alone is NaN, and F is 0, when nothing is predicted.
    """
    matched_predicted, predicted, matched_true, true = np.moveaxis(
        np.asarray(counts, dtype=np.float64), -1, 0
    )
    recall = ratio_or_nan(matched_true, true)
    precision = ratio_or_nan(matched_predicted, predicted * (true > 0))
    found = np.nan_to_num(precision)
    f = np.nan_to_num(ratio_or_nan(2 * found * recall, found + recall))
    return precision, recall, np.where(true > 0, f, np.nan)


def _near_other_class(labels: np.ndarray, num_classes: int, distance: int) -> np.ndarray:
    """(H, W) bool: another class at Chebyshev distance ``distance`` or less.

    Has no meaning where ``labels`` is C.
    """
    # C, the highest value, cannot be a minimum beside a class, nor can 0 be a maximum.
    shifted = np.where(labels == num_classes, 0, labels + 1).astype(labels.dtype)
    window = square(distance, labels)
    return (cv2.erode(labels, window) != labels) | (cv2.dilate(shifted, window) != shifted)


def _count_far(
    contours: np.ndarray, others: np.ndarray, num_classes: int, tolerance: int
) -> np.ndarray:
    """Count contour pixels by class that have none of their class in the other map nearby.

    Both maps (H, W) hold 0..C-1 on contours and C elsewhere. Looks from all pixels at once in one
    direction after the other, near ones first; pixels that have found their match drop out. That is
    some ten times faster than distance transforms for each class.
    """
    reach_hw = [min(tolerance, side - 1) for side in contours.shape]
    (top, left), width = reach_hw, contours.shape[1] + 2 * reach_hw[1]
    padded = cv2.copyMakeBorder(
        others, top, top, left, left, cv2.BORDER_CONSTANT, value=(num_classes,)
    ).reshape(-1)
    rows, columns = np.nonzero(contours != num_classes)
    labels = contours[rows, columns]
    places = (rows + top) * width + columns + left
    for step in _disk_steps(reach_hw, tolerance, width):
        far = padded[places + step] != labels
        if not far.all():
            places, labels = places[far], labels[far]
    return label_histogram(labels, num_classes)


def _disk_steps(reach_hw: Sequence[int], radius: int, width: int) -> list[int]:
    """Return the offsets within a radius, nearest first, as steps in a row-major map."""
    dy, dx = np.mgrid[-reach_hw[0] : reach_hw[0] + 1, -reach_hw[1] : reach_hw[1] + 1]
    squares = dy**2 + dx**2
    order = np.argsort(squares, axis=None, kind="stable")
    inside = order[squares.reshape(-1)[order] <= radius**2]
    return (dy * width + dx).reshape(-1)[inside].tolist()
