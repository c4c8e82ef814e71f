"""Evaluation of label maps: areas as Detectron2 scores them, and outlines."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import MetadataCatalog
from detectron2.evaluation import SemSegEvaluator
from detectron2.utils import comm

from pointrend_ext.data.label_maps import read_label_map
from pointrend_ext.evaluation.semantic_metrics import SemanticMetrics
from pointrend_ext.evaluation.semantic_output import named_labels, predicted_labels, result_entries
from pointrend_ext.evaluation.shards import Shards

_LOGGER = logging.getLogger(__name__)


class SemanticEvaluator(SemSegEvaluator):
    """Scores semantic predictions image by image; keeps counts per class, never images.

    Names and values are those of Detectron2's ``SemSegEvaluator``, but for its boundary IoU, which
    erodes the label map and so measures differences of label numbers; ``boundary`` chooses correct
    ones out of ``BOUNDARY_METRICS``. Beside logits (C, H, W) it takes label maps (H, W). A data set
    with one name in ``stuff_classes`` is binary: its label maps hold 0 and 1, scored as the classes
    "background" and that name, and the model puts out logits (1, H, W).
    ``sem_seg_predictions.json`` and ``sem_seg_evaluation.pth`` are written to ``output_dir``, if
    there is one.

    Raises:
        KeyError: a record has no ``sem_seg_file_name``.
        ValueError: the metadata misses ``stuff_classes``, ``ignore_label`` or the id of a label, or
            an unknown metric.
    """

    def __init__(
        self, dataset_name: str, output_dir: str | None = None, *, boundary: Sequence[str] = ()
    ) -> None:
        metadata = MetadataCatalog.get(dataset_name)
        names, label_of_category = named_labels(metadata)
        if "ignore_label" not in metadata.as_dict():
            raise ValueError(
                f"The data set {dataset_name!r} does not say which label its pixels have that do "
                "not count: register it with MetadataCatalog.get(name).set(ignore_label=255)."
            )
        super().__init__(dataset_name, output_dir=output_dir)
        self._category_ids = {label: own for own, label in label_of_category.items()}
        if output_dir and not self._category_ids.keys() >= set(range(len(names))):
            raise ValueError(
                f"stuff_dataset_id_to_contiguous_id of data set {dataset_name!r} names the labels "
                f"{sorted(self._category_ids)}, but stuff_classes has {len(names)} classes. Add "
                "the others."
            )
        self._encoding = MetadataCatalog.get(dataset_name).get("label_encoding", None)
        self.metrics = SemanticMetrics(names, self._ignore_label, boundary)
        self.shards = Shards(output_dir, "sem_seg")

    def reset(self) -> None:
        """Forget all images; needed before the first one as well."""
        self._counts = self.metrics.zero_counts()
        self.shards.reset()

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Count some images.

        Args:
            inputs: one dict per image with its ``file_name``.
            outputs: one dict per image with ``sem_seg``: logits (C, H, W), or (1, H, W) when
                binary, or a label map (H, W) of integers; in the size of the image.

        Raises:
            FileNotFoundError: a label map does not exist.
            ValueError: a prediction or a label map does not fit; the message names the image.
        """
        for single_input, output in zip(inputs, outputs, strict=True):
            file_name = single_input["file_name"]
            if file_name not in self.input_file_to_gt_file:
                raise ValueError(
                    f"Image {file_name!r} is not in the data set {self._dataset_name!r}. Evaluate "
                    "with the loader of this data set."
                )
            truth_file = self.input_file_to_gt_file[file_name]
            truth = read_label_map(truth_file, self._encoding)
            try:
                labels = predicted_labels(output, len(self.metrics.class_names))
                counts = self.metrics.counts(labels, truth)
            except ValueError as error:
                raise ValueError(
                    f"Image {file_name!r} with the label map {truth_file!r}: {error}"
                ) from error
            for name, array in counts.items():
                self._counts[name] += array
            self._keep(file_name, labels)

    def _keep(self, file_name: str, labels: np.ndarray) -> None:
        """Keep the prediction of one image for the results file, outside the memory."""
        if self._output_dir:
            self.shards.write([*result_entries(file_name, labels, self._category_ids)])

    def evaluate(self) -> dict[str, dict[str, float]] | None:
        """Score what all processes have counted.

        Returns:
            ``{"sem_seg": scores}``, see ``SemanticMetrics.scores``; None on other processes than
            the first.
        """
        is_first = self.shards.finish()
        gathered = comm.gather(self._counts)
        if not is_first:
            return None
        counts = {name: np.sum([part[name] for part in gathered], axis=0) for name in self._counts}
        if not counts["area"][:, 2].any():
            _LOGGER.warning(
                "No pixel of %s was evaluated: all scores are NaN. Was process called, and are "
                "there labels other than ignore_label?",
                self._dataset_name,
            )
        for notice in self.metrics.notices(counts):
            _LOGGER.warning("%s: %s", self._dataset_name, notice)
        scores = self.metrics.scores(counts)
        if self._output_dir:
            folder = Path(self._output_dir)
            self.shards.join(folder / "sem_seg_predictions.json")
            torch.save(scores, folder / "sem_seg_evaluation.pth")
        self.shards.remove()
        means = {name: round(value, 2) for name, value in scores.items() if "-" not in name}
        _LOGGER.info("Semantic scores: %s", means)
        return {"sem_seg": scores}
