"""Boxes of another detector, from its COCO results, for the pictures of the demo."""

import contextlib
import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pointrend_ext.data.findings import Cause, Findings, Kind, first_of
from pointrend_ext.evaluation.coco_truth import CocoTruth
from pointrend_ext.evaluation.given_boxes import load_detections
from pointrend_ext.inference.demo.coco_ids import CocoIds
from pointrend_ext.inference.demo.inputs import Input
from pointrend_ext.inference.given_boxes import GivenBoxes, check_takes_boxes
from pointrend_ext.inference.predictor import Predictor
from pointrend_ext.inference.tiles import TiledPredictor

_WITHOUT = Cause(Kind.NOTED, "inputs without a detection, which get no masks", of="inputs")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Detections:
    """Detections of pictures.

    Attributes:
        source: the file.
        ids: of the images.
        truth: the same, with sizes of images and names of categories.
        of_image: detections by image id, in the order of the file.
    """

    source: str
    ids: CocoIds
    truth: CocoTruth
    of_image: dict[Any, list[dict[str, Any]]]

    @classmethod
    def read(
        cls, path: Path, ids: CocoIds, inputs: Sequence[Input], min_score: float | None = None
    ) -> "Detections":
        """Read and check a file, and log once what of it is not used.

        Args:
            path: COCO results with ``bbox``; masks are passed over.
            ids: of a file that names the images, with their sizes, and the categories.
            inputs: what masks are wanted for.
            min_score: of the detections that are used; None for all.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not in this format, other ids, no detection for any input, or a video.
        """
        video = next((x for x in inputs if x.is_video), None)
        if video is not None:
            raise ValueError(
                f"--boxes has boxes of pictures, and {video.path} is a video or camera: pass "
                "pictures, such as its frames."
            )
        truth, found = CocoTruth.load_any(ids.source), Findings()
        results = load_detections(str(path), truth, found)
        kept = [x for x in results if min_score is None or x["score"] >= min_score]
        wanted = set()
        for x in inputs:
            with contextlib.suppress(ValueError):  # said when the picture is to be processed
                wanted.add(ids.image_id(x.file_name))
        of_image = defaultdict(list)
        for result in kept:
            of_image[result["image_id"]].append(result)
        other = [key for key in of_image if key not in wanted]
        if len(other) == len(of_image):
            raise ValueError(
                f"{path}: of its {len(results)} detections none is left for the {len(inputs)} "
                f"inputs: {len(results) - len(kept)} have a lower score than --confidence, "
                f"{sum(map(len, of_image.values()))} are of other images ({first_of(other)})."
            )
        if len(kept) < len(results):
            weak = f"detections of a score below {min_score:g} (--confidence)"
            place = next(f"image {x['image_id']!r}" for x in results if x["score"] < min_score)
            found.add(Cause(Kind.LEFT_OUT, weak, True), place, len(results) - len(kept))
        if other:
            text = f"detections of {len(other)} images that are not among the inputs"
            number = sum(len(of_image.pop(key)) for key in other)
            found.add(Cause(Kind.LEFT_OUT, text), f"image {other[0]!r}", number)
        found.others["inputs"] = len(inputs)
        if without := [key for key in wanted if key not in of_image]:
            found.add(_WITHOUT, f"image {without[0]!r}", len(without))
        found.log(logger, f"Boxes of {str(path)!r}")
        return cls(str(path), ids, truth, dict(of_image))

    def check(self, predictor: Predictor | TiledPredictor) -> None:
        """Raise ValueError for a model that takes no boxes, or lacks a class of the detections."""
        check_takes_boxes(predictor.model)
        known = predictor.classes.things
        used = {x["category_id"] for of_one in self.of_image.values() for x in of_one}
        missing = sorted(
            name
            for key, name in self.truth.class_names.items()
            if key in used and name not in known
        )
        if missing:
            names = f"knows {first_of(known, 5)}" if known else "has classes without known names"
            raise ValueError(
                f"{self.source} has detections of {len(missing)} classes that the model lacks "
                f"({first_of(missing)}); it {names}. Leave them out, or use a model of these "
                "classes, and name its data set in DATASETS.TEST."
            )

    def of(self, picture: Input, size_hw: tuple[int, int]) -> GivenBoxes:
        """Return the boxes of a picture that was read, clipped to it.

        Raises:
            ValueError: it has no id, or another size than its annotations say.
        """
        image_id = self.ids.image_id(picture.file_name)
        stated = self.truth.sizes_hw[image_id]
        if stated != size_hw:
            raise ValueError(
                f"{picture.path} has {size_hw[0]} x {size_hw[1]} pixels (height x width), but "
                f"{stated[0]} x {stated[1]} by {self.ids.source}: the boxes would be in another "
                "frame."
            )
        given = GivenBoxes.of_results(self.of_image.get(image_id, []), self.truth.class_names)
        return replace(given, boxes=np.clip(given.boxes, 0, [*size_hw[::-1]] * 2))
