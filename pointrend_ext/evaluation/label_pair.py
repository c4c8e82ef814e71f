"""A predicted and a true label map in one encoding, and pixel counts per class."""

from dataclasses import dataclass

import numpy as np

from pointrend_ext.data.label_encoding import check_label_values


@dataclass(frozen=True, eq=False)
class LabelPair:
    """Two label maps of one image; ``num_classes`` stands for "no class" in both.

    Attributes:
        prediction: (H, W) uint8 or uint16 in 0..C; C where the truth is ignored, and where
            nothing is predicted.
        truth: (H, W), same type, in 0..C; C where it is ignored.
        num_classes: number of classes C.
    """

    prediction: np.ndarray
    truth: np.ndarray
    num_classes: int


def label_pair(
    prediction: np.ndarray, truth: np.ndarray, num_classes: int, ignore_label: int
) -> LabelPair:
    """Check two label maps and bring them into one encoding.

    Args:
        prediction: (H, W) integers, 0..C-1, or ``ignore_label`` where no class is predicted, which
            counts as wrong.
        truth: (H, W) integers, 0..C-1, or ``ignore_label`` where nothing is evaluated.
        num_classes: number of classes C, at most 65534.
        ignore_label: may be one of 0..C-1: that class is then not in the truth.

    Raises:
        ValueError: The sizes differ, a map is not two-dimensional and of integers, or another
            value occurs. The caller adds the name of the file.
    """
    is_map = prediction.ndim == 2 and {prediction.dtype.kind, truth.dtype.kind} <= {"i", "u"}
    if not is_map or prediction.shape != truth.shape:
        raise ValueError(
            f"the prediction has (height, width) {prediction.shape}, the ground truth "
            f"{truth.shape}, of {prediction.dtype} and {truth.dtype}; both must be maps of "
            "integers in the size of the image."
        )
    check_label_values(truth, num_classes, ignore_label, "the ground truth")
    check_label_values(prediction, num_classes, ignore_label, "the prediction")
    dtype = np.uint8 if num_classes < 256 else np.uint16
    ignored = truth == ignore_label
    no_class = ignored | (prediction < 0) | (prediction >= num_classes)
    return LabelPair(
        np.where(no_class, num_classes, prediction).astype(dtype),
        np.where(ignored, num_classes, truth).astype(dtype),
        num_classes,
    )


def class_counts(pair: LabelPair, where: np.ndarray | None = None) -> np.ndarray:
    """Count pixels per class.

    Args:
        pair: the label maps.
        where: (H, W) bool, the pixels to count; all when None. Ignored ones never count.

    Returns:
        (C, 3) int64: pixels of the class in both maps, in the prediction, in the truth.
    """
    prediction, truth = pair.prediction, pair.truth
    if where is not None:
        prediction, truth = prediction[where], truth[where]
    maps = (truth[truth == prediction], prediction, truth)
    return np.stack([label_histogram(labels, pair.num_classes) for labels in maps], axis=1)


def label_histogram(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return how often each of the labels 0..C-1 occurs; (C,) int64."""
    return np.bincount(labels.reshape(-1), minlength=num_classes + 1)[:num_classes]


def class_iou(counts: np.ndarray) -> np.ndarray:
    """Return the IoU of each class, NaN for classes that are not in the truth.

    The rule is Detectron2's: a class that is predicted but nowhere true costs the other classes
    their pixels, and does not enter the mean.

    Args:
        counts: (..., C, 3), see ``class_counts``; sums over images as well.

    Returns:
        (..., C) float64 in 0..1.
    """
    both, predicted, true = np.moveaxis(np.asarray(counts, dtype=np.float64), -1, 0)
    return ratio_or_nan(both, (predicted + true - both) * (true > 0))


def ratio_or_nan(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Divide arrays of one shape, float64; NaN where ``whole`` is not positive."""
    return np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)


def mean_percent(values: np.ndarray) -> float:
    """Return the mean of what is not NaN, in per cent; NaN where there is nothing."""
    known = values[~np.isnan(values)]
    return 100 * float(known.mean()) if known.size else float("nan")
