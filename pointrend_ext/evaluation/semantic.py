"""Evaluation of label maps: areas as Detectron2 scores them, and outlines."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from pointrend_ext.data.reading import read_label_map
from pointrend_ext.evaluation.semantic_metrics import TRIMAP_WIDTHS, SemanticMetrics
from pointrend_ext.evaluation.semantic_output import ResultsFile, predicted_labels

__all__ = ["SemanticEvaluator"]


class SemanticEvaluator(DatasetEvaluator):
    """Scores semantic predictions image by image; keeps counts per class, never images.

    Names and values are those of Detectron2's ``SemSegEvaluator``, but for its boundary IoU, which
    erodes the label map and so measures differences of label numbers; ``boundary`` chooses correct
    ones (``boundary_semantic``). Beside logits (C, H, W) it takes label maps (H, W). A data set
    with one name in ``stuff_classes`` is binary: its label maps hold 0 and 1, scored as the classes
    "background" and that name, and the model puts out logits (1, H, W).
    """

    def __init__(
        self,
        dataset_name: str,
        output_dir: str | None = None,
        *,
        boundary: Sequence[str] = (),
        trimap_widths: Sequence[int] = TRIMAP_WIDTHS,
        distributed: bool = True,
    ) -> None:
        """Look up the label maps and the classes.

        Args:
            dataset_name: a registered data set with ``sem_seg_file_name`` in its records and
                ``stuff_classes`` and ``ignore_label`` in its metadata.
            output_dir: where ``sem_seg_predictions.json`` and ``sem_seg_evaluation.pth`` are
                written; None writes nothing.
            boundary: further metrics, out of ``BOUNDARY_METRICS``.
            trimap_widths: in pixels, for the metric ``"trimap"``.
            distributed: add up what all processes counted, else score what this one did.

        Raises:
            ValueError: A record without label map, metadata that misses a key, or an unknown
                metric.
        """
        metadata = MetadataCatalog.get(dataset_name)
        known = metadata.as_dict()
        missing = [key for key in ("stuff_classes", "ignore_label") if key not in known]
        if missing:
            raise ValueError(
                f"The metadata of data set {dataset_name!r} has no {' and no '.join(missing)}, "
                f"which its evaluation needs. Set it with MetadataCatalog.get({dataset_name!r})."
                f"{missing[0]} = ..."
            )
        names = list(metadata.stuff_classes)
        self.metrics = SemanticMetrics(
            ["background", *names] if len(names) == 1 else names,
            metadata.ignore_label,
            boundary,
            trimap_widths,
        )
        self._dataset_name = dataset_name
        self._truth_files = _truth_files(dataset_name)
        self._distributed = distributed
        self._output_dir = Path(output_dir) if output_dir else None
        self._results: ResultsFile | None = None
        if self._output_dir is not None:
            category_ids = None if len(names) == 1 else _category_ids(dataset_name, len(names))
            self._results = ResultsFile(self._output_dir, comm.get_rank(), category_ids)
        self._counts = self.metrics.zero_counts()

    def reset(self) -> None:
        """Forget all images."""
        self._counts = self.metrics.zero_counts()
        if self._results is not None:
            self._results.start()

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Count some images.

        Args:
            inputs: one dict per image with its ``file_name``.
            outputs: one dict per image with ``sem_seg``: logits (C, H, W), or (1, H, W) when
                binary, or a label map (H, W) of integers; in the size of the image.

        Raises:
            FileNotFoundError: A label map does not exist.
            ValueError: A prediction or a label map does not fit; the message names the image.
        """
        for single_input, output in zip(inputs, outputs, strict=True):
            file_name = single_input["file_name"]
            if file_name not in self._truth_files:
                raise ValueError(
                    f"Image {file_name!r} is not in the data set {self._dataset_name!r}. Evaluate "
                    "with the loader of this data set."
                )
            truth_file = self._truth_files[file_name]
            truth = read_label_map(truth_file)
            try:
                labels = predicted_labels(output, len(self.metrics.class_names))
                counts = self.metrics.counts(labels, truth)
            except ValueError as error:
                raise ValueError(
                    f"Image {file_name!r} with the label map {truth_file!r}: {error}"
                ) from error
            for name, array in counts.items():
                self._counts[name] += array
            if self._results is not None:
                self._results.add(file_name, labels)

    def evaluate(self) -> dict[str, dict[str, float]] | None:
        """Score what all processes have counted.

        Returns:
            ``{"sem_seg": scores}``, see ``SemanticMetrics.scores``; None on other processes than
            the first.
        """
        counts = self._counts
        num_processes = 1
        if self._distributed:
            comm.synchronize()  # all parts of the results file are complete
            num_processes = comm.get_world_size()
            gathered = comm.gather(counts)
            if not comm.is_main_process():
                return None
            counts = {name: np.sum([part[name] for part in gathered], axis=0) for name in counts}
        logger = logging.getLogger(__name__)
        if not counts["area"][:, 2].any():
            logger.warning(
                "No pixel of %s was evaluated: all scores are NaN. Was process called, and are "
                "there labels other than ignore_label?",
                self._dataset_name,
            )
        scores = self.metrics.scores(counts)
        if self._results is not None:
            self._results.finish(num_processes)
            torch.save(scores, self._output_dir / "sem_seg_evaluation.pth")
        means = {name: value for name, value in scores.items() if "-" not in name}
        logger.info(
            "Semantic scores: %s", ", ".join(f"{name} {value:.2f}" for name, value in means.items())
        )
        return {"sem_seg": scores}


def _truth_files(dataset_name: str) -> dict[str, str]:
    records = DatasetCatalog.get(dataset_name)
    for record in records:
        if "sem_seg_file_name" not in record:
            raise ValueError(
                f"The record of {record.get('file_name')!r} in data set {dataset_name!r} has no "
                "'sem_seg_file_name', so that nothing can be compared with. Add it, or set the "
                "evaluator_type of the data set to another than 'sem_seg'."
            )
    return {record["file_name"]: record["sem_seg_file_name"] for record in records}


def _category_ids(dataset_name: str, num_classes: int) -> dict[int, int] | None:
    """Return label -> id of the results file, as the metadata says, or None when it does not."""
    labels = MetadataCatalog.get(dataset_name).get("stuff_dataset_id_to_contiguous_id", None)
    if labels is None:
        return None
    ids = {label: dataset_id for dataset_id, label in labels.items()}
    missing = sorted(set(range(num_classes)) - ids.keys())
    if missing:
        raise ValueError(
            f"stuff_dataset_id_to_contiguous_id of data set {dataset_name!r} names no id for the "
            f"labels {missing}, but stuff_classes has {num_classes} classes. Add them."
        )
    return ids
