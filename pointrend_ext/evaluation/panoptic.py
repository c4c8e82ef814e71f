"""The evaluator of panoptic segmentations, of any data set in COCO's panoptic format."""

import itertools
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.data import Metadata, MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm
from PIL import Image
from tabulate import tabulate

from pointrend_ext.data.coco import picture_paths
from pointrend_ext.data.panoptic import (
    Annotation,
    Category,
    PanopticFile,
    place_segments,
    read_panoptic_file,
    read_segment_ids,
    segment_picture,
)
from pointrend_ext.evaluation.panoptic_quality import PanopticMetrics, SegmentMap
from pointrend_ext.processes import wait_for_all

_LOGGER = logging.getLogger(__name__)

PREDICTIONS = "panoptic_predictions"
"""Name of the file (``.json``) and of the folder of pictures that the evaluator writes."""


class PanopticEvaluator(DatasetEvaluator):
    """Scores panoptic segmentations image by image; keeps counts per class, never images.

    ``PQ``, ``SQ`` and ``RQ`` have the names and values of Detectron2's ``COCOPanopticEvaluator``,
    without its package; see ``PanopticMetrics.scores`` for the others. Predictions are written to
    ``output_dir`` in COCO's format of results, if there is one.

    Args:
        dataset_name: a registered data set with ``panoptic_json``, ``panoptic_root`` and tables of
            contiguous ids.
        output_dir: where predictions are written, or None.
        boundary_pq: whether to compute Boundary PQ.

    Raises:
        ValueError: the annotation file cannot be used.
    """

    def __init__(
        self, dataset_name: str, output_dir: str | None = None, *, boundary_pq: bool = False
    ) -> None:
        self._metadata = MetadataCatalog.get(dataset_name)
        self._file = read_panoptic_file(self._metadata.panoptic_json)
        self._truth = {a.image_id: a for a in self._file.annotations}
        self._category_ids = _category_ids(self._metadata, self._file)
        self._output_dir = Path(output_dir) if output_dir else None
        self.metrics = PanopticMetrics(self._file.categories, with_boundary=boundary_pq)

    def reset(self) -> None:
        """Forget all images; needed before the first one as well."""
        self._counts = self.metrics.zero_counts()
        self._entries: list[dict[str, Any]] = []

    def process(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> None:
        """Match the segments of some images.

        Args:
            inputs: one dict per image with its ``image_id`` and ``file_name``.
            outputs: one dict per image with ``panoptic_seg``: ids (height, width) in the size of
                the image, 0 for none, and for each segment its ``id``, ``isthing`` and contiguous
                ``category_id``. A segment without pixels is none.

        Raises:
            FileNotFoundError: a picture of the truth does not exist.
            ValueError: a prediction or a picture does not fit; the message names the image.
        """
        for x, output in zip(inputs, outputs, strict=True):
            annotation = self._truth.get(x["image_id"])
            if annotation is None:
                raise ValueError(
                    f"Image {x['file_name']!r} is not in the data set {self._metadata.name!r}. "
                    "Evaluate with the loader of this data set."
                )
            truth = read_segments(self._metadata.panoptic_root, annotation, self._file.categories)
            try:
                ids, segments = self._predicted(output)
                predicted = _segment_map(ids, segments, self._file.categories, "the prediction")
                counts = self.metrics.counts(predicted, truth)
            except ValueError as error:
                raise ValueError(f"Image {x['file_name']!r}: {error}") from error
            for name, array in counts.items():
                self._counts[name] += array
            self._keep(annotation, ids, segments)

    def _predicted(self, output: Mapping[str, Any]) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """Return ids (H, W), and the segments that have pixels with the data set's categories."""
        ids, segments = output.get("panoptic_seg", (None, None))
        if ids is None or segments is None:
            raise ValueError(
                f"the model puts out {sorted(output)}; panoptic quality needs 'panoptic_seg', ids "
                "of pixels and a list of segments. Use MODEL.META_ARCHITECTURE "
                "PointRendPanopticFPN or PanopticFPN."
            )
        ids = torch.as_tensor(ids).cpu().numpy()
        present = set(np.unique(ids).tolist())
        kept = []
        for s in segments:
            key = bool(s["isthing"]), s["category_id"]
            if key not in self._category_ids:
                kind = "thing_classes" if key[0] else "stuff_classes"
                raise ValueError(
                    f"segment {s['id']} is of the class {key[1]}, which is none of the {kind} of "
                    f"the data set {self._metadata.name!r}. Use a model of its classes."
                )
            if s["id"] in present:
                kept.append({**s, "category_id": self._category_ids[key]})
        return ids, kept

    def _keep(
        self, annotation: Annotation, ids: np.ndarray, segments: Sequence[dict[str, Any]]
    ) -> None:
        """Write the picture of one image, and keep its entry."""
        if self._output_dir is None:
            return
        name = str(Path(annotation.file_name).with_suffix(".png"))
        [path] = map(Path, picture_paths(str(self._output_dir / PREDICTIONS), [name]))
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(segment_picture(ids)).save(path)
        entry = {"image_id": annotation.image_id, "file_name": name, "segments_info": segments}
        self._entries.append(entry)

    def evaluate(self) -> dict[str, dict[str, float]] | None:
        """Score what all processes have counted.

        Returns:
            ``{"panoptic_seg": scores}``; None on other processes than the first.
        """
        wait_for_all()  # what gathers has a limit
        gathered = comm.gather((self._counts, self._entries))
        if not comm.is_main_process():
            return None
        counts = {name: np.sum([c[name] for c, _ in gathered], axis=0) for name in self._counts}
        if not counts["pq"].any():
            _LOGGER.warning(
                "No segment of %s was evaluated: all scores are NaN. Was process called?",
                self._metadata.name,
            )
        if self._output_dir is not None:
            entries = [*itertools.chain(*(own for _, own in gathered))]
            self._output_dir.mkdir(parents=True, exist_ok=True)
            (self._output_dir / f"{PREDICTIONS}.json").write_text(
                json.dumps({"annotations": entries})
            )
        scores = self.metrics.scores(counts)
        _LOGGER.info("Panoptic scores:\n%s", _table(scores, self.metrics))
        return {"panoptic_seg": scores}


def read_segments(
    folder: str, annotation: Annotation, categories: Sequence[Category]
) -> SegmentMap:
    """Read the picture of an annotation, and check it against its list of segments.

    Raises:
        FileNotFoundError, ValueError: it cannot be used; the message names the picture.
    """
    [path] = picture_paths(folder, [annotation.file_name])
    places = {c.id: place for place, c in enumerate(categories)}
    listed = annotation.segments_info
    return SegmentMap(
        place_segments(read_segment_ids(path), [s.id for s in listed], f"Picture {path!r}"),
        np.array([places[s.category_id] for s in listed], np.int64),
        np.array([s.iscrowd for s in listed], bool),
    )


def _segment_map(
    ids: np.ndarray, segments: Sequence[dict[str, Any]], categories: Sequence[Category], what: str
) -> SegmentMap:
    places = {c.id: place for place, c in enumerate(categories)}
    return SegmentMap(
        place_segments(ids, [s["id"] for s in segments], what),
        np.array([places[s["category_id"]] for s in segments], np.int64),
        np.zeros(len(segments), bool),
    )


def _category_ids(metadata: Metadata, file: PanopticFile) -> dict[tuple[bool, int], int]:
    """Return the id in the file by whether it is a thing and by contiguous id."""
    ids = {
        (is_thing, own): category
        for is_thing, key in ((True, "thing"), (False, "stuff"))
        for category, own in metadata.get(f"{key}_dataset_id_to_contiguous_id").items()
    }
    known = {c.id: c.isthing for c in file.categories}
    return {key: c for key, c in ids.items() if known.get(c) == key[0]}


def _table(scores: Mapping[str, float], metrics: PanopticMetrics) -> str:
    names = ["PQ", "SQ", "RQ"] + (["BoundaryPQ"] if metrics.with_boundary else [])
    rows = [
        [what, *(scores[f"{name}{suffix}"] for name in names)]
        for what, suffix in (("all", ""), ("things", "_th"), ("stuff", "_st"))
    ]
    return tabulate(rows, headers=["", *names], tablefmt="pipe", floatfmt=".2f")
