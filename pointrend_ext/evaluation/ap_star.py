"""AP*: predictions of COCO's classes scored against LVIS's annotations (section 4.1 of the paper).

LVIS outlines objects of COCO's images far more precisely than COCO does, but says for each image
which classes it has annotated there, and which of them completely. Its package ``lvis`` scores only
those; COCO's evaluator would count good predictions as wrong.
"""

import copy
import logging
import os
from collections.abc import MutableMapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pointrend_ext.evaluation.coco_truth import CocoTruth
from pointrend_ext.evaluation.lvis_package import (
    MAX_LVIS_DETECTIONS,
    checked_lvis,
    imported_lvis,
    lvis_evaluation,
    lvis_matches,
)
from pointrend_ext.evaluation.matches import MatchTable
from pointrend_ext.evaluation.precision_table import PrecisionTable

_LOGGER = logging.getLogger(__name__)
_NOT_IN_FILE = -1  # a class id on which lvis ignores predictions
_FREQUENCIES = ("r", "c", "f")
_NEEDED = {
    "images": ("neg_category_ids", "not_exhaustive_category_ids"),
    "categories": ("frequency",),
    "annotations": ("segmentation",),
}


class ApStar:
    """Scores predictions against one annotation file in LVIS's format.

    The images scored are those that both the file and the data set list.

    Args:
        json_file: such as ``lvis_v0.5_val_cocofied.json``, which Detectron2's script
            ``datasets/prepare_cocofied_lvis.py`` makes. Its classes are found among those of the
            data set by id or else by name.
        truth: the data set that predictions are made for.
        max_detections: of each image, as many predictions count as this.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not in LVIS's format; other classes or sizes of images, or no image in common.
    """

    def __init__(
        self,
        json_file: str | os.PathLike[str],
        truth: CocoTruth,
        max_detections: int = MAX_LVIS_DETECTIONS,
    ) -> None:
        self.path = os.fspath(json_file)
        own = CocoTruth.load_any(self.path, keep=True)
        self.findings = own.findings
        with imported_lvis() as lvis:
            self._lvis_truth = checked_lvis(lvis.LVIS, own)
        self._own, self._truth, self._max_detections = own, truth, max_detections
        self._check_format()
        self._file_ids = self._match_classes()
        self.image_ids = self._common_images()
        self.positions = {image_id: i for i, image_id in enumerate(truth.sizes_hw)}

    def of_images(self, truth: CocoTruth) -> "ApStar":
        """Return the same for a part of the images of the data set."""
        return ApStar(self.path, truth, self._max_detections)

    def part(self, image_ids: set[Any]) -> "ApStar":
        """Return the same for some of ``image_ids``, holding no more than it needs."""
        part = copy.copy(self)
        part.image_ids = image_ids
        annotations = [a for a in self._own.dataset["annotations"] if a["image_id"] in image_ids]
        own = replace(self._own.of_images(image_ids), file=None)
        own.dataset["annotations"] = annotations
        with imported_lvis() as lvis:
            part._lvis_truth = checked_lvis(lvis.LVIS, own)
        return part

    def precision(self, results: list[dict[str, Any]], task: str = "segm") -> PrecisionTable:
        """Score predictions, see ``precision_and_matches``."""
        return self._evaluate(results, task)[0]

    def precision_and_matches(
        self, results: list[dict[str, Any]], task: str = "segm"
    ) -> tuple[PrecisionTable, MatchTable]:
        """Score predictions with LVIS's rules.

        Args:
            results: from ``results_file.check_results``, with the ids of the data set; not changed.
            task: "segm", "bbox" for boxes, or "boundary" (Boundary AP).

        Returns:
            Precision for IoU 0.50, 0.55, ..., 0.95, for the classes that are in the file; and
            matches with the positions of the images in the data set.
        """
        table, evaluation = self._evaluate(results, task)
        return table, lvis_matches(evaluation, self.positions, table.class_names)

    def _evaluate(self, results: list[dict[str, Any]], task: str) -> tuple[PrecisionTable, Any]:
        # Without the box of a mask: lvis would take the size of the box for that of the mask.
        shape = "bbox" if task == "bbox" else "segmentation"
        predictions = [
            {
                "image_id": result["image_id"],
                "category_id": self._file_ids.get(result["category_id"], _NOT_IN_FILE),
                "score": result["score"],
                shape: result[shape],
            }
            for result in results
            if result["image_id"] in self.image_ids
        ]
        if not predictions:  # lvis does not accept none
            nothing = {"image_id": min(self.image_ids), "category_id": _NOT_IN_FILE}
            predictions = [{**nothing, "score": 0.0, "bbox": [0, 0, 1, 1]}]
        evaluation = lvis_evaluation(
            self._lvis_truth, predictions, task, [*self.image_ids], self._max_detections
        )
        own_ids = {file_id: own_id for own_id, file_id in self._file_ids.items()}
        names = tuple(self._truth.class_names[own_ids[k]] for k in evaluation.params.cat_ids)
        thresholds = np.asarray(evaluation.params.iou_thrs)
        return PrecisionTable(evaluation.eval["precision"], thresholds, names), evaluation

    def add_frequencies(self, scores: MutableMapping[str, Any], class_names: Sequence[str]) -> None:
        """Add LVIS's APr, APc and APf: means of AP over rare, common and frequent classes.

        ``scores`` are numbers or arrays of one shape, with ``AP-NAME`` of each of ``class_names``
        (AP, where there is one alone); NaN where a class has none.
        """
        categories = sorted(self._lvis_truth.dataset["categories"], key=lambda c: c["id"])
        for group in _FREQUENCIES:
            names = [
                f"AP-{name}" if len(class_names) > 1 else "AP"
                for name, category in zip(class_names, categories, strict=True)
                if category["frequency"] == group
            ]
            if names:
                known = np.ma.masked_invalid(np.stack([scores[name] for name in names]))
                scores[f"AP{group}"] = np.ma.filled(known.mean(axis=0), np.nan)[()]

    def _check_format(self) -> None:
        problems = (
            f"entry {entry['id']} of {what!r} has no {key!r}. COCO's own annotations do not serve; "
            "take those of LVIS"
            for what, keys in _NEEDED.items()
            for entry in self._lvis_truth.dataset.get(what, [])
            for key in keys
            if key not in entry or (what == "annotations" and not entry[key])
        )
        problem = next(problems, None)
        if problem is not None:
            raise ValueError(f"The file for AP* {self.path!r} is not in LVIS's format: {problem}.")

    def _match_classes(self) -> dict[int, int]:
        """Return the class ids of the file by those of the data set."""
        in_file = {c["id"]: _plain(c["name"]) for c in self._lvis_truth.dataset["categories"]}
        own = {class_id: _plain(name) for class_id, name in self._truth.class_names.items()}
        by_name = {name: class_id for class_id, name in own.items()}
        # LVIS calls some of COCO's classes otherwise; the name of another class is a mistake.
        if in_file.keys() <= own.keys() and all(by_name.get(n, i) == i for i, n in in_file.items()):
            return {class_id: class_id for class_id in in_file}
        if set(in_file.values()) <= by_name.keys():
            return {by_name[name]: class_id for class_id, name in in_file.items()}
        unlike = [i for i, name in in_file.items() if own.get(i) != name]
        unlike.sort(key=lambda i: i in own or in_file[i] in by_name)
        examples = ", ".join(f"{i} {in_file[i]!r}" for i in unlike[:5])
        raise ValueError(
            f"The classes of the file for AP* {self.path!r} are not those of "
            f"{self._truth.source!r}, neither by id nor by name, such as {examples} "
            f"({len(in_file)} classes in the file, {len(own)} in the data set). Reduce it to the "
            "data set's classes first, as Detectron2's datasets/prepare_cocofied_lvis.py does for "
            "COCO."
        )

    def _common_images(self) -> set[int]:
        sizes = {i: (d["height"], d["width"]) for i, d in self._lvis_truth.imgs.items()}
        own = self._truth.sizes_hw
        common = sizes.keys() & own.keys()
        wrong = sorted(i for i in common if sizes[i] != own[i])
        if wrong or not common:
            unlike = [f"image {i} is {sizes[i]}, not {own[i]}" for i in wrong[:1]]
            raise ValueError(
                f"The file for AP* {self.path!r} has {len(common)} of the {len(own)} images of "
                f"{self._truth.source!r} (by id){'; '.join(['', *unlike])}."
            )
        if len(common) < len(own):
            _LOGGER.warning(
                "AP* is computed on %d images: %r has %d, the data set %d.",
                len(common), self.path, len(sizes), len(own),
            )  # fmt: skip
        return common


def _plain(name: Any) -> str:
    return str(name).strip().lower().replace("_", " ")
