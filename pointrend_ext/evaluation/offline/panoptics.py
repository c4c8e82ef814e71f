"""Saved panoptic segmentations scored, several models on the same draws of images."""

import os
from collections.abc import Mapping

import numpy as np

from pointrend_ext.data.panoptic import read_predictions
from pointrend_ext.evaluation.offline.bootstrap import metric_samples
from pointrend_ext.evaluation.offline.data_sets import PanopticData
from pointrend_ext.evaluation.offline.examples import compare_images
from pointrend_ext.evaluation.offline.options import EvaluationOptions
from pointrend_ext.evaluation.offline.record import ImageExample
from pointrend_ext.evaluation.offline.scores import ModelScores
from pointrend_ext.evaluation.panoptic import read_segments
from pointrend_ext.evaluation.panoptic_quality import BOUNDARY_PQ, PanopticMetrics, SegmentMap


def score_segment_files(
    data: PanopticData, files: Mapping[str, str], options: EvaluationOptions, weights: np.ndarray
) -> tuple[list[ModelScores], tuple[ImageExample, ...], list[str]]:
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
    every_image_once = np.ones((1, weights.shape[1]), weights.dtype)
    draws = np.concatenate([every_image_once, weights])
    models, counts, number = [], {}, len(data.file.annotations)
    for name, file in files.items():
        counts[name] = _counts(metrics, data, file)
        samples = metric_samples(metrics, counts[name], draws)
        models.append(ModelScores(name, file, number, {"panoptic_seg": samples}))
    shown = ("PQ", "BoundaryPQ") if with_boundary else ("PQ",)
    return models, compare_images(metrics, data.files(), counts, shown), []


def _counts(metrics: PanopticMetrics, data: PanopticData, file: str) -> dict[str, np.ndarray]:
    """Return the counts of all images, stacked."""
    predicted, folder = read_predictions(file, data.file), os.path.splitext(file)[0]
    counts = []
    for annotation in data.file.annotations:
        own = read_segments(folder, predicted[annotation.image_id], data.file.categories)
        truth = read_segments(data.segment_root, annotation, data.file.categories)
        own = SegmentMap(own.places, own.classes, np.zeros_like(own.is_crowd))
        try:
            counts.append(metrics.counts(own, truth))
        except ValueError as error:
            raise ValueError(f"{file!r}, image {annotation.image_id!r}: {error}") from error
    return {name: np.stack([c[name] for c in counts]) for name in metrics.zero_counts()}
