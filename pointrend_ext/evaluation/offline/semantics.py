"""Saved label maps scored, several models on the same draws of images."""

from collections.abc import Mapping

import numpy as np

from pointrend_ext.data.label_maps import read_label_map
from pointrend_ext.evaluation.offline.bootstrap import metric_samples
from pointrend_ext.evaluation.offline.data_sets import SemanticData
from pointrend_ext.evaluation.offline.examples import compare_images
from pointrend_ext.evaluation.offline.label_files import open_predicted_labels
from pointrend_ext.evaluation.offline.options import EvaluationOptions
from pointrend_ext.evaluation.offline.record import ImageExample
from pointrend_ext.evaluation.offline.scores import ModelScores
from pointrend_ext.evaluation.semantic_metrics import BOUNDARY_METRICS, SemanticMetrics

_MUCH_WITHOUT_CLASS = 0.05


def score_label_files(
    data: SemanticData,
    files: Mapping[str, str],
    options: EvaluationOptions,
    weights: np.ndarray,
) -> tuple[list[ModelScores], tuple[ImageExample, ...], list[str]]:
    """Score folders of label maps or results files; see ``score_instance_files``.

    ``options.metrics`` are of ``BOUNDARY_METRICS``, beside the scores of areas; None for all.
    """
    options.refuse_of_instances(data.name, "label maps")
    chosen = BOUNDARY_METRICS if options.metrics is None else options.metrics
    counter = SemanticMetrics(data.class_names, data.ignore_label, chosen)
    every_image_once = np.ones((1, weights.shape[1]), weights.dtype)
    models, counts = [], {}
    for name, file in files.items():
        counts[name] = _counts(counter, data, file)
        scores = metric_samples(counter, counts[name], np.concatenate([every_image_once, weights]))
        models.append(ModelScores(name, file, len(data.image_files), {"sem_seg": scores}))
    notices = [*data.notices]
    for name, arrays in counts.items():
        total = {key: array.sum(axis=0) for key, array in arrays.items()}
        # What is true is the same for all models, what is predicted is not.
        notices += [n for n in counter.notices(total) if n not in notices]
        notices += _no_class(counter, name, total["area"])
    metric = "mBoundaryIoU" if "boundary_iou" in counter.boundary else "mIoU"
    images = [*zip(data.image_files, data.truth_files, strict=True)]
    return models, compare_images(counter, images, counts, ("mIoU", metric)), notices


def _no_class(counter: SemanticMetrics, name: str, counts: np.ndarray) -> list[str]:
    """Say that a model leaves many pixels without a class; ``counts`` (C, 3) of all images."""
    _, predicted, true = counts.sum(axis=0).tolist()
    if true - predicted < _MUCH_WITHOUT_CLASS * true or true == 0:
        return []
    return [
        f"{name}: {(true - predicted) / true:.1%} of the pixels that count are predicted as no "
        f"class (the ignored value), which is wrong everywhere."
    ]


def _counts(counter: SemanticMetrics, data: SemanticData, file: str) -> dict[str, np.ndarray]:
    """Return the counts of all images, stacked."""
    counts: list[dict[str, np.ndarray]] = []
    predictions = open_predicted_labels(file, data)
    for index, truth_file in enumerate(data.truth_files):
        truth = read_label_map(truth_file, data.encoding)
        try:
            counts.append(counter.counts(predictions.labels(index, truth.shape), truth))
        except ValueError as error:
            image = data.image_files[index]
            raise ValueError(f"{predictions.source(index)}, image {image!r}: {error}") from error
    return {name: np.stack([c[name] for c in counts]) for name in counter.zero_counts()}
