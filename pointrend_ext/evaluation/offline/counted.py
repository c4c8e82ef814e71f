"""Saved label maps and panoptic segments scored by counts of single images, on the same draws."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from pointrend_ext.data.label_maps import read_label_map
from pointrend_ext.data.panoptic import read_predictions
from pointrend_ext.evaluation.offline.bootstrap import (
    CountedMetrics,
    ModelScores,
    metric_samples,
)
from pointrend_ext.evaluation.offline.data_sets import PanopticData, SemanticData
from pointrend_ext.evaluation.offline.label_files import open_predicted_labels
from pointrend_ext.evaluation.offline.options import EvaluationOptions
from pointrend_ext.evaluation.offline.record import ImageExample
from pointrend_ext.evaluation.panoptic import read_segments
from pointrend_ext.evaluation.panoptic_quality import BOUNDARY_PQ, PanopticMetrics, SegmentMap
from pointrend_ext.evaluation.semantic_metrics import BOUNDARY_METRICS, SemanticMetrics

_MUCH_WITHOUT_CLASS = 0.05
_IMAGES = 40  # how many images are listed

_Counts = dict[str, np.ndarray]
_Scored = tuple[list[ModelScores], tuple[ImageExample, ...], list[str]]


def score_label_files(
    data: SemanticData, files: Mapping[str, str], options: EvaluationOptions, weights: np.ndarray
) -> _Scored:
    """Score folders of label maps or results files; see ``score_instance_files``.

    ``options.metrics`` are of ``BOUNDARY_METRICS``, beside the scores of areas; None for all.
    """
    options.refuse_of_instances(data.name, "label maps")
    chosen = BOUNDARY_METRICS if options.metrics is None else options.metrics
    counter = SemanticMetrics(data.class_names, data.ignore_label, chosen)
    counts = {name: _stacked(counter, _of_labels(counter, data, f)) for name, f in files.items()}
    models = _models(counter, files, counts, weights, "sem_seg")
    notices = [*data.notices]
    for name, arrays in counts.items():
        total = {key: array.sum(axis=0) for key, array in arrays.items()}
        # What is true is the same for all models, what is predicted is not.
        notices += [n for n in counter.notices(total) if n not in notices]
        notices += _no_class(name, total["area"])
    metric = "mBoundaryIoU" if "boundary_iou" in counter.boundary else "mIoU"
    images = [*zip(data.image_files, data.truth_files, strict=True)]
    return models, compare_images(counter, images, counts, ("mIoU", metric)), notices


def score_segment_files(
    data: PanopticData, files: Mapping[str, str], options: EvaluationOptions, weights: np.ndarray
) -> _Scored:
    """Score results in COCO's panoptic format; see ``score_instance_files``.

    A file is JSON, and its pictures lie in the folder of its name without the ending.
    ``options.metrics`` may name ``boundary_pq``, beside PQ; None for both.
    """
    options.refuse_of_instances(data.name, "panoptic segments")
    unknown = [name for name in options.metrics or () if name != BOUNDARY_PQ]
    if unknown:
        raise ValueError(f"Unknown metrics {unknown} of panoptic segments; known is {BOUNDARY_PQ}.")
    with_boundary = options.metrics is None or bool(options.metrics)
    metrics = PanopticMetrics(data.file.categories, with_boundary=with_boundary)
    counts = {name: _stacked(metrics, _of_segments(metrics, data, f)) for name, f in files.items()}
    models = _models(metrics, files, counts, weights, "panoptic_seg")
    shown = ("PQ", "BoundaryPQ") if with_boundary else ("PQ",)
    return models, compare_images(metrics, data.files(), counts, shown), []


def compare_images(
    metrics: CountedMetrics,
    files: Sequence[tuple[str, str]],
    counts: Mapping[str, Mapping[str, np.ndarray]],
    shown: Sequence[str],
) -> tuple[ImageExample, ...]:
    """List the images in which the models differ most; with one model those it scores worst.

    Args:
        metrics: what was counted.
        files: of each image its file, and that of its truth.
        counts: by model, the counts of single images stacked.
        shown: names of the scores that are listed; the last one decides.
    """
    ranked = []
    for index, own in enumerate(files):
        models = {}
        for name, arrays in counts.items():
            scores = metrics.scores({key: array[index] for key, array in arrays.items()})
            models[name] = {key: scores[key] for key in dict.fromkeys(shown)}
        values = [scores[shown[-1]] for scores in models.values()]
        if any(map(math.isnan, values)):
            continue  # all of it is ignored
        spread = max(values) - min(values) if len(values) > 1 else 100 - values[0]
        ranked.append((-spread, index, ImageExample(*own, index, models)))
    return tuple(example for *_, example in sorted(ranked, key=lambda r: r[:2])[:_IMAGES])


def _models(
    metrics: CountedMetrics,
    files: Mapping[str, str],
    counts: Mapping[str, _Counts],
    weights: np.ndarray,
    task: str,
) -> list[ModelScores]:
    """Score each model on all images, and on (B, I) draws of them."""
    draws = np.concatenate([np.ones((1, weights.shape[1]), weights.dtype), weights])
    return [
        ModelScores(
            name, file, weights.shape[1], {task: metric_samples(metrics, counts[name], draws)}
        )
        for name, file in files.items()
    ]


def _stacked(metrics: CountedMetrics, of_images: Iterator[_Counts]) -> _Counts:
    rows = [*of_images]
    return {name: np.stack([row[name] for row in rows]) for name in metrics.zero_counts()}


def _of_labels(counter: SemanticMetrics, data: SemanticData, file: str) -> Iterator[_Counts]:
    """Count image by image what one model predicted."""
    predictions = open_predicted_labels(file, data)
    for index, truth_file in enumerate(data.truth_files):
        truth = read_label_map(truth_file, data.encoding)
        try:
            yield counter.counts(predictions.labels(index, truth.shape), truth)
        except ValueError as error:
            image = data.image_files[index]
            raise ValueError(f"{predictions.source(index)}, image {image!r}: {error}") from error


def _of_segments(metrics: PanopticMetrics, data: PanopticData, file: str) -> Iterator[_Counts]:
    predicted, folder = read_predictions(file, data.file), os.path.splitext(file)[0]
    for annotation in data.file.annotations:
        own = read_segments(folder, predicted[annotation.image_id], data.file.categories)
        truth = read_segments(data.segment_root, annotation, data.file.categories)
        own = SegmentMap(own.places, own.classes, np.zeros_like(own.is_crowd))
        try:
            yield metrics.counts(own, truth)
        except ValueError as error:
            raise ValueError(f"{file!r}, image {annotation.image_id!r}: {error}") from error


def _no_class(name: str, counts: np.ndarray) -> list[str]:
    """Say that a model leaves many pixels without a class; ``counts`` (C, 3) of all images."""
    _, predicted, true = counts.sum(axis=0).tolist()
    if true - predicted < _MUCH_WITHOUT_CLASS * true or true == 0:
        return []
    return [
        f"{name}: {(true - predicted) / true:.1%} of the pixels that count are predicted as no "
        f"class (the ignored value), which is wrong everywhere."
    ]
