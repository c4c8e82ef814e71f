"""Cityscapes' own evaluation, through cityscapesScripts and Detectron2's evaluators."""

import contextlib
import itertools
import json
import logging
import os
import tempfile
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pycocotools.mask as mask_util
from detectron2.data import MetadataCatalog
from detectron2.data.datasets.cityscapes import load_cityscapes_instances
from detectron2.evaluation import CityscapesInstanceEvaluator, CityscapesSemSegEvaluator
from detectron2.evaluation.coco_evaluation import instances_to_coco_json
from detectron2.utils import comm
from detectron2.utils.logger import create_small_table
from PIL import Image

from pointrend_ext.data.rle import compress_rle
from pointrend_ext.evaluation.coco_truth import CocoTruth
from pointrend_ext.evaluation.mask_quality import mask_quality, name_objects
from pointrend_ext.evaluation.semantic import SemanticEvaluator
from pointrend_ext.evaluation.shards import Shards
from pointrend_ext.processes import wait_for_all

_LOGGER = logging.getLogger(__name__)


@lru_cache(maxsize=2)
def cityscapes_truth(dataset_name: str) -> CocoTruth:
    """Return the instances of a data set in COCO's format, read once per process.

    Masks are those of ``*_gtFine_instanceIds.png``, which cityscapesScripts scores against, boxes
    are theirs, and classes have Cityscapes' ids. Groups are crowds. An image is named by its file.
    """
    from cityscapesscripts.helpers.labels import name2label

    metadata = MetadataCatalog.get(dataset_name)
    folders = os.fspath(metadata.image_dir), os.fspath(metadata.gt_dir)
    ids = [name2label[name].id for name in metadata.thing_classes]
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for record in load_cityscapes_instances(*folders, from_json=False, to_polygons=False):
        size = {key: record[key] for key in ("height", "width")}
        file = os.path.relpath(record["file_name"], folders[0])
        images.append({"id": record["image_id"], "file_name": file, **size})
        for a in record["annotations"]:
            mask = compress_rle(a["segmentation"], (size["height"], size["width"]))
            mask = {**mask, "counts": mask["counts"].decode()}
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": record["image_id"],
                    "category_id": ids[a["category_id"]],
                    "iscrowd": int(a["iscrowd"]),
                    "bbox": mask_util.toBbox(mask).tolist(),
                    "area": float(mask_util.area(mask)),
                    "segmentation": mask,
                }
            )
    classes = zip(ids, metadata.thing_classes, strict=True)
    categories = [{"id": own, "name": name} for own, name in classes]
    dataset = {"images": images, "categories": categories, "annotations": annotations}
    return CocoTruth(dataset, folders[1])


class CityscapesInstances(CityscapesInstanceEvaluator):
    """Detectron2's evaluator, which writes ``matches.json`` to ``output_dir``.

    cityscapesScripts would leave that file in the working folder of the process.

    With ``true_boxes`` as in ``InstanceEvaluator`` it measures masks by themselves, too, and writes
    predictions and truth in COCO's format, which ``tools/evaluate.py`` reads.
    """

    def __init__(self, dataset_name: str, output_dir: str, *, true_boxes: bool = False) -> None:
        super().__init__(dataset_name)
        self._output_dir, self._true_boxes = Path(output_dir), true_boxes
        self.shards = Shards(output_dir, "cityscapes_instances")

    def reset(self) -> None:
        """Forget all images."""
        with _seen_by_all(self._output_dir):
            super().reset()
        self.shards.reset()

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Collect the predictions for some images."""
        super().process(inputs, outputs)
        if self._true_boxes:
            for x, output in zip(inputs, outputs, strict=True):
                instances = output["instances"].to(self._cpu_device)
                results = instances_to_coco_json(instances, x["image_id"])
                name_objects(results, x)
                self.shards.write(results)

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

        self.shards.finish()
        with (
            mock.patch.object(scripts, "writeDict2JSON", write),
            _errors_instead_of_exit(self._metadata.name),
        ):
            scores = super().evaluate()
        if scores is not None:
            if self._true_boxes:
                results = itertools.chain.from_iterable(self.shards.read())
                scores["mask_quality"] = self._quality([*results])
            self.shards.remove()
        return scores

    def _quality(self, results: list[dict[str, Any]]) -> dict[str, float]:
        truth = cityscapes_truth(self._metadata.name)
        own_ids = [*truth.class_names]
        results = [{**r, "category_id": own_ids[r["category_id"]]} for r in results]
        for name, content in (("results", results), ("truth", truth.dataset)):
            path = self._output_dir / f"cityscapes_instances_{name}.json"
            path.write_text(json.dumps(content))
        quality = mask_quality(truth, results)
        _LOGGER.info("On %s %s.", self._metadata.name, quality.notice())
        metrics = quality.metrics()
        _LOGGER.info("mask_quality:\n%s", create_small_table(metrics))
        return metrics


class CityscapesSemantics(SemanticEvaluator):
    """The scores of ``SemanticEvaluator`` with those of Detectron2's evaluator of Cityscapes.

    ``IoU``, ``iIoU``, ``IoU_sup`` and ``iIoU_sup`` are those of cityscapesScripts, the others are
    counted on the ``labelTrainIds`` maps. ``IoU`` and ``mIoU`` differ only when a class is
    predicted that is nowhere in the data set: cityscapesScripts gives it 0, Detectron2 leaves it
    out.
    """

    def __init__(
        self, dataset_name: str, output_dir: str | None = None, *, boundary: Sequence[str] = ()
    ) -> None:
        super().__init__(dataset_name, boundary=boundary)
        self.shards = Shards(output_dir, "cityscapes_sem_seg")
        self._scripts = CityscapesSemSegEvaluator(dataset_name)

    def reset(self) -> None:
        """Forget all images."""
        super().reset()
        with _seen_by_all(self.shards.folder):
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
def _seen_by_all(folder: Path) -> Iterator[None]:
    """Let Detectron2's evaluators of Cityscapes, made for one machine, share files of several."""
    wait_for_all()  # they wait with a limit, and the first process may score another data set yet
    if comm.get_local_size() == comm.get_world_size():
        yield
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (
        mock.patch.object(tempfile, "tempdir", str(folder)),
        mock.patch.object(comm, "get_local_size", comm.get_world_size),
    ):
        yield


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
