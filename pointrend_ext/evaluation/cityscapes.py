"""Cityscapes' own evaluation, through cityscapesScripts and Detectron2's evaluators."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from detectron2.evaluation import CityscapesInstanceEvaluator, CityscapesSemSegEvaluator
from PIL import Image

from pointrend_ext.evaluation.semantic import SemanticEvaluator
from pointrend_ext.evaluation.semantic_output import predicted_labels

__all__ = ["CityscapesInstances", "CityscapesSemantics"]


class CityscapesInstances(CityscapesInstanceEvaluator):
    """Detectron2's evaluator; the file ``matches.json`` of cityscapesScripts goes to a folder."""

    def __init__(self, dataset_name: str, output_dir: str) -> None:
        """Keep the folder.

        Args:
            dataset_name: a registered data set.
            output_dir: where ``matches.json`` is written, since cityscapesScripts would leave it
                in the working folder of the process.
        """
        super().__init__(dataset_name)
        self._output_dir = Path(output_dir)

    def evaluate(self) -> dict[str, dict[str, float]] | None:
        """Score what ``process`` has collected; None on other processes than the first.

        Raises:
            ValueError: cityscapesScripts gave up, such as when an image has no prediction.
        """
        from cityscapesscripts.evaluation import evalInstanceLevelSemanticLabeling as scripts

        original = scripts.writeDict2JSON

        def write(content: Any, file_name: str) -> None:
            self._output_dir.mkdir(parents=True, exist_ok=True)
            original(content, str(self._output_dir / file_name))  # an absolute name stays

        with (
            mock.patch.object(scripts, "writeDict2JSON", write),
            _errors_instead_of_exit(self._metadata.name),
        ):
            return super().evaluate()


class CityscapesSemantics(CityscapesSemSegEvaluator):
    """Detectron2's evaluator for logits and label maps, with the scores of single classes.

    ``IoU``, ``iIoU``, ``IoU_sup`` and ``iIoU_sup`` are those of cityscapesScripts, the other scores
    those of ``SemanticEvaluator``, which reads the ``labelTrainIds`` maps. ``IoU`` and ``mIoU``
    differ only when a class is predicted that is nowhere in the data set: cityscapesScripts
    gives it 0, Detectron2 leaves it out.
    """

    def __init__(self, dataset_name: str, *, boundary: Sequence[str] = ()) -> None:
        """Look up the label maps and the classes.

        Args:
            dataset_name: a registered data set with the 19 Cityscapes classes.
            boundary: further metrics, out of ``BOUNDARY_METRICS``.
        """
        super().__init__(dataset_name)
        self._by_class = SemanticEvaluator(dataset_name, boundary=boundary)

    def reset(self) -> None:
        """Forget all images."""
        super().reset()
        self._by_class.reset()

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Count some images and write their label maps for cityscapesScripts.

        Args:
            inputs: one dict per image with its ``file_name``.
            outputs: one dict per image with ``sem_seg``: logits (19, H, W) or a label map (H, W)
                of train ids, in the size of the image.

        Raises:
            FileNotFoundError: A label map does not exist.
            ValueError: A prediction or a label map does not fit; the message names the image.
        """
        self._by_class.process(inputs, outputs)  # also checks them
        ids = _ids_by_train_id()
        num_classes = len(self._metadata.stuff_classes)
        for single_input, output in zip(inputs, outputs, strict=True):
            labels = predicted_labels(output, num_classes)
            name = Path(single_input["file_name"]).stem + "_pred.png"
            Image.fromarray(ids[labels]).save(Path(self._temp_dir) / name)

    def evaluate(self) -> dict[str, dict[str, float]] | None:
        """Score what ``process`` has collected; None on other processes than the first.

        Raises:
            ValueError: cityscapesScripts gave up, such as when an image has no prediction.
        """
        by_class = self._by_class.evaluate()
        with _errors_instead_of_exit(self._metadata.name):
            results = super().evaluate()
        if results is None or by_class is None:
            return None
        return {"sem_seg": {**results["sem_seg"], **by_class["sem_seg"]}}


def _ids_by_train_id() -> np.ndarray:
    """Return (256,) uint8, the label id of each train id, 0 ("unlabeled") where there is none."""
    from cityscapesscripts.helpers.labels import trainId2label

    ids = np.zeros(256, dtype=np.uint8)
    for train_id, label in trainId2label.items():
        if not label.ignoreInEval:
            ids[train_id] = label.id
    return ids


@contextlib.contextmanager
def _errors_instead_of_exit(dataset_name: str) -> Iterator[None]:
    """Raise where cityscapesScripts would end the process."""
    try:
        yield
    except SystemExit as error:
        raise ValueError(
            f"cityscapesScripts could not evaluate {dataset_name!r} and has printed why. It needs "
            "one prediction for every label map below gt_dir: evaluate the whole data set."
        ) from error
