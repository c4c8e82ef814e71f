"""Cityscapes' own evaluation, through cityscapesScripts and Detectron2's evaluators."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from detectron2.evaluation import CityscapesInstanceEvaluator, CityscapesSemSegEvaluator
from PIL import Image

from pointrend_ext.evaluation.semantic import SemanticEvaluator

__all__ = ["CityscapesInstances", "CityscapesSemantics"]


class CityscapesInstances(CityscapesInstanceEvaluator):
    """Detectron2's evaluator, which writes ``matches.json`` to ``output_dir``.

    cityscapesScripts would leave that file in the working folder of the process.
    """

    def __init__(self, dataset_name: str, output_dir: str) -> None:
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


class CityscapesSemantics(SemanticEvaluator):
    """The scores of ``SemanticEvaluator`` with those of Detectron2's evaluator of Cityscapes.

    ``IoU``, ``iIoU``, ``IoU_sup`` and ``iIoU_sup`` are those of cityscapesScripts, the others are
    counted on the ``labelTrainIds`` maps. ``IoU`` and ``mIoU`` differ only when a class is
    predicted that is nowhere in the data set: cityscapesScripts gives it 0, Detectron2 leaves it
    out.
    """

    def __init__(self, dataset_name: str, *, boundary: Sequence[str] = ()) -> None:
        super().__init__(dataset_name, boundary=boundary)
        self._scripts = CityscapesSemSegEvaluator(dataset_name)

    def reset(self) -> None:
        """Forget all images."""
        super().reset()
        self._scripts.reset()

    def _keep(self, file_name: str, labels: np.ndarray) -> None:
        """Write a label map of Cityscapes' ids, 0 ("unlabeled") where there is no class."""
        from cityscapesscripts.helpers.labels import trainId2label

        ids = np.zeros(256, dtype=np.uint8)
        for train_id, label in trainId2label.items():
            if not label.ignoreInEval:
                ids[train_id] = label.id
        file = Path(self._scripts._temp_dir) / f"{Path(file_name).stem}_pred.png"
        Image.fromarray(ids[labels]).save(file)

    def evaluate(self) -> dict[str, dict[str, float]] | None:
        """Score what ``process`` has collected; None on other processes than the first.

        Raises:
            ValueError: cityscapesScripts gave up, such as when an image has no prediction.
        """
        scores = super().evaluate()
        with _errors_instead_of_exit(self._dataset_name):
            official = self._scripts.evaluate()
        if scores is None or official is None:
            return None
        return {"sem_seg": {**official["sem_seg"], **scores["sem_seg"]}}


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
