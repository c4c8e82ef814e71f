"""AP*: predictions of COCO's classes scored against LVIS's annotations (section 4.1 of the paper).

LVIS outlines objects of COCO's images far more precisely than COCO does, but says for each image
which classes it has annotated there, and which of them completely. Its package ``lvis`` scores only
those; COCO's evaluator would count good predictions as wrong.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from typing import Any

import numpy as np
import pycocotools.mask as mask_util

from pointrend_ext.data.coco_audit import audit_coco_file
from pointrend_ext.evaluation.coco_truth import CocoTruth
from pointrend_ext.evaluation.lvis_matches import lvis_matches
from pointrend_ext.evaluation.lvis_package import imported_lvis
from pointrend_ext.evaluation.matches import MatchTable
from pointrend_ext.evaluation.precision_table import PrecisionTable

__all__ = ["ApStar"]

_LOGGER = logging.getLogger(__name__)
_NOT_IN_FILE = -1  # a class id on which lvis ignores predictions
_NEEDED = {
    "images": ("neg_category_ids", "not_exhaustive_category_ids"),
    "categories": ("frequency",),
    "annotations": ("area", "segmentation"),
}


class ApStar:
    """Scores predictions against one annotation file in LVIS's format.

    The images scored are those that both the file and the data set list.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not in LVIS's format; a class that the data set does not have; no image in
            common, or one of another size.
        ImportError: lvis is not installed.
    """

    def __init__(self, json_file: str | os.PathLike[str], truth: CocoTruth) -> None:
        """Read and check the file.

        Args:
            json_file: such as ``lvis_v0.5_val_cocofied.json``, which Detectron2's script
                ``datasets/prepare_cocofied_lvis.py`` makes. Its classes are found among those of
                the data set by id or else by name.
            truth: the data set that predictions are made for.
        """
        self._path = os.fspath(json_file)
        if not os.path.isfile(self._path):
            raise FileNotFoundError(f"There is no annotation file {self._path!r} for AP*.")
        audit_coco_file(self._path)
        with imported_lvis() as lvis:
            self._lvis_truth = lvis.LVIS(self._path)
        self._check_keys()
        self._truth = truth
        self._file_ids = self._match_classes()
        self._image_ids = self._common_images()

    def precision(
        self,
        results: list[dict[str, Any]],
        *,
        max_detections: int = 300,
        image_ids: Iterable[int] | None = None,
    ) -> PrecisionTable:
        """Score mask predictions with LVIS's rules.

        Args:
            results: predictions in COCO's results format with the ids of the data set, checked
                (``results_file.check_results``); not changed.
            max_detections: how many predictions per image count.
            image_ids: restricts the images.

        Returns:
            Precision for IoU 0.50, 0.55, ..., 0.95, for the classes that are in the file.
        """
        return self._precision_of(self._evaluated(results, "segm", max_detections, image_ids))

    def precision_and_matches(
        self, results: list[dict[str, Any]], task: str = "segm", *, max_detections: int = 300
    ) -> tuple[PrecisionTable, MatchTable]:
        """Do what ``precision`` does and give the matches as well.

        Args:
            results: as for ``precision``.
            task: "segm", or "bbox" for boxes.
            max_detections: as for ``precision``.

        Returns:
            Precision, and matches with the positions of the images in the data set.
        """
        evaluation = self._evaluated(results, task, max_detections, None)
        table = self._precision_of(evaluation)
        positions = {image_id: i for i, image_id in enumerate(self._truth.sizes_hw)}
        return table, lvis_matches(evaluation, positions, table.class_names)

    @property
    def frequencies(self) -> list[str]:
        """LVIS's group of every class, in the order of the results: "r", "c" or "f"."""
        categories = self._lvis_truth.dataset["categories"]
        return [c["frequency"] for c in sorted(categories, key=lambda c: c["id"])]

    def _evaluated(
        self,
        results: list[dict[str, Any]],
        task: str,
        max_detections: int,
        image_ids: Iterable[int] | None,
    ) -> Any:
        """Return an ``LVISEval``, evaluated and accumulated."""
        scored = self._image_ids if image_ids is None else self._image_ids & set(image_ids)
        predictions = [self._for_lvis(r, task) for r in results if r["image_id"] in scored]
        if not predictions:  # lvis does not accept none
            predictions = [_prediction_of_nothing(min(self._image_ids), self._truth)]
        with imported_lvis() as lvis:
            found = lvis.LVISResults(self._lvis_truth, predictions, max_dets=max_detections)
            evaluation = lvis.LVISEval(self._lvis_truth, found, task)
            evaluation.params.img_ids = sorted(scored)
            evaluation.evaluate()
            evaluation.accumulate()
        return evaluation

    def _precision_of(self, evaluation: Any) -> PrecisionTable:
        own_ids = {file_id: own_id for own_id, file_id in self._file_ids.items()}
        names = [self._truth.class_names[own_ids[k]] for k in evaluation.params.cat_ids]
        return PrecisionTable(
            evaluation.eval["precision"], np.asarray(evaluation.params.iou_thrs), tuple(names)
        )

    def _for_lvis(self, result: dict[str, Any], task: str) -> dict[str, Any]:
        # Without the box: lvis would take the size of the box for that of the mask.
        shape = "bbox" if task == "bbox" else "segmentation"
        return {
            "image_id": result["image_id"],
            "category_id": self._file_ids.get(result["category_id"], _NOT_IN_FILE),
            "score": result["score"],
            shape: result[shape],
        }

    def _check_keys(self) -> None:
        for what, needed in _NEEDED.items():
            for entry in self._lvis_truth.dataset.get(what, []):
                missing = [key for key in needed if key not in entry]
                if missing:
                    raise ValueError(
                        f"The file for AP* {self._path!r} is not in LVIS's format: entry "
                        f"{entry['id']} of {what!r} has no {missing[0]!r}. COCO's own annotations "
                        "do not serve; take those of LVIS."
                    )
        if 0 in self._lvis_truth.anns:
            raise ValueError(
                f"The file for AP* {self._path!r} has an annotation with the id 0, which lvis "
                "takes for 'not found': number them from 1."
            )

    def _match_classes(self) -> dict[int, int]:
        """Return the class ids of the file by those of the data set."""
        in_file = {c["id"]: _plain(c["name"]) for c in self._lvis_truth.dataset["categories"]}
        own = {class_id: _plain(name) for class_id, name in self._truth.class_names.items()}
        by_name = {name: class_id for class_id, name in own.items()}
        if in_file.keys() <= own.keys():
            # LVIS calls some of COCO's classes otherwise; the name of another class is a mistake.
            wrong = [i for i, name in in_file.items() if by_name.get(name, i) != i]
            if not wrong:
                return {class_id: class_id for class_id in in_file}
        if set(in_file.values()) <= by_name.keys():
            return {by_name[name]: class_id for class_id, name in in_file.items()}
        strange = [f"{i} {n!r}" for i, n in in_file.items() if n not in by_name and i not in own]
        strange = strange or [f"{i} {n!r}" for i, n in in_file.items() if own.get(i) != n]
        raise ValueError(
            f"The classes of the file for AP* {self._path!r} are not those of "
            f"{self._truth.source!r}, neither by id nor by name, such as {', '.join(strange[:5])} "
            f"({len(in_file)} classes in the file, {len(own)} in the data set). Reduce it to the "
            "data set's classes first, as Detectron2's datasets/prepare_cocofied_lvis.py does for "
            "COCO."
        )

    def _common_images(self) -> set[int]:
        sizes = {i: (d["height"], d["width"]) for i, d in self._lvis_truth.imgs.items()}
        common = sizes.keys() & self._truth.sizes_hw.keys()
        if not common:
            raise ValueError(
                f"The file for AP* {self._path!r} has none of the {len(self._truth.sizes_hw)} "
                f"images of {self._truth.source!r} (by id)."
            )
        for image_id in sorted(common):
            if sizes[image_id] != self._truth.sizes_hw[image_id]:
                raise ValueError(
                    f"Image {image_id} has (height, width) {sizes[image_id]} in the file for AP* "
                    f"{self._path!r}, but {self._truth.sizes_hw[image_id]} in "
                    f"{self._truth.source!r}."
                )
        if len(common) < len(self._truth.sizes_hw):
            _LOGGER.warning(
                "AP* is computed on %d images: %r has %d, the data set %d.",
                len(common), self._path, len(sizes), len(self._truth.sizes_hw),
            )  # fmt: skip
        return set(common)


def _plain(name: Any) -> str:
    return str(name).strip().lower().replace("_", " ")


def _prediction_of_nothing(image_id: int, truth: CocoTruth) -> dict[str, Any]:
    height, width = truth.sizes_hw[image_id]
    empty = mask_util.encode(np.zeros((height, width), np.uint8, order="F"))
    return {
        "image_id": image_id,
        "category_id": _NOT_IN_FILE,
        "score": 0.0,
        "segmentation": empty,
    }
