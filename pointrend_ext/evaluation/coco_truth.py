"""The ground truth that predictions of instances are checked and scored against."""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from pointrend_ext.data.coco import (
    CocoFile,
    fill_areas,
    in_order,
    read_coco_file,
    summarize_coco_file,
)
from pointrend_ext.data.findings import Findings


@dataclass(frozen=True)
class CocoTruth:
    """Annotations in COCO's format.

    Attributes:
        dataset: ``images``, ``categories`` and ``annotations`` of a checked file, with its own ids;
            nothing here changes it.
        source: the file, for messages.
        findings: what the check of the file left out, changed or noted.
        file: what all this is from; as long as it is held here, nobody parses it again.
    """

    dataset: dict[str, Any]
    source: str
    findings: Findings = field(default_factory=Findings)
    file: CocoFile | None = None

    @classmethod
    def load(cls, json_file: str | os.PathLike[str]) -> "CocoTruth":
        """Read and check an annotation file in COCO's or LVIS's format on this machine.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not JSON, not in COCO's format, inconsistent, without annotations, or with
                none that is to be found.
        """
        truth = cls.load_any(os.fspath(json_file))
        truth.check_objects()
        return truth

    @classmethod
    def load_any(cls, path: str, *, keep: bool = False) -> "CocoTruth":
        """Read and check a file, which may have no annotations.

        Args:
            path: of the file; errors are those of ``load``.
            keep: also for the next evaluation of this process.
        """
        file = read_coco_file(path, keep=keep)
        fill_areas(file.annotations or [], file.sizes_hw)
        return cls(file.dataset, path, file.summary.findings, file)

    @classmethod
    def classes_of(cls, path: str) -> "CocoTruth":
        """Return the classes of a file alone, without its images and objects."""
        summary = summarize_coco_file(path)
        named = zip(summary.contiguous_ids, summary.class_names, strict=True)
        categories = [{"id": own, "name": name} for own, name in named]
        return cls({"images": [], "categories": categories, "annotations": []}, path)

    def check_objects(self) -> None:
        """Raise ValueError where nothing is to be found."""
        if "annotations" not in self.dataset:
            raise ValueError(
                f"Annotation file {self.source!r} has no 'annotations' (a test set?): nothing can "
                "be scored against it."
            )
        if all(a.get("iscrowd", 0) for a in self.dataset["annotations"]):
            found = "\n  ".join(self.findings.lines()) or "it is empty"
            raise ValueError(
                f"Nothing can be scored against annotation file {self.source!r}: of its "
                f"{self.findings.num_checked} annotations none is an object to be found: {found}"
            )

    def of_images(self, image_ids: Iterable[int]) -> "CocoTruth":
        """Return the part with some of the images."""
        wanted = set(image_ids)
        images = [image for image in self.dataset["images"] if image["id"] in wanted]
        return replace(self, dataset={**self.dataset, "images": images})

    @cached_property
    def sizes_hw(self) -> dict[Any, tuple[int, int]]:
        """(H, W) in pixels of every image, by image id in ascending order.

        That is the order in which pycocotools and lvis rank equal scores of different images.
        """
        images = in_order(self.dataset["images"])
        return {image["id"]: (image["height"], image["width"]) for image in images}

    @cached_property
    def class_names(self) -> dict[int, str]:
        """Name of every category, by category id, in ascending order of the ids."""
        return {
            category["id"]: category["name"] for category in in_order(self.dataset["categories"])
        }

    @cached_property
    def has_masks(self) -> bool:
        """Whether any object has a mask, or there is no object at all."""
        annotations = self.dataset.get("annotations", ())
        return not annotations or any(a.get("segmentation") for a in annotations)

    @cached_property
    def class_numbers(self) -> dict[Any, int]:
        """Number of every category in ``numbered``, by category id: 1, 2, ..."""
        return {class_id: number for number, class_id in enumerate(self.class_names, start=1)}

    @cached_property
    def names_by_number(self) -> dict[int, str]:
        """Name of every category, by its number in ``numbered``."""
        return dict(enumerate(self.class_names.values(), start=1))

    def numbered(self, task: str) -> dict[str, Any]:
        """Return a copy for evaluators that know whole numbers alone, and take 0 for "no match".

        An object without a mask is no object of "segm" and "boundary": there its box becomes a
        crowd, in which predictions are neither right nor wrong.

        Args:
            task: "bbox", "segm" or "boundary".

        Returns:
            Images with their position in ``sizes_hw`` as id, categories with ``class_numbers``, and
            annotations with their number in ``dataset``, from 1 (see ``annotation``).
        """
        images = {image_id: number for number, image_id in enumerate(self.sizes_hw)}
        annotations = []
        for number, annotation in enumerate(self.dataset["annotations"], start=1):
            if annotation["image_id"] not in images:
                continue
            ids = {
                "id": number,
                "image_id": images[annotation["image_id"]],
                "category_id": self.class_numbers[annotation["category_id"]],
            }
            entry = {**annotation, **ids}
            if task != "bbox" and not annotation.get("segmentation"):
                x, y, w, h = annotation["bbox"]
                polygon = [x, y, x + w, y, x + w, y + h, x, y + h]
                entry.update(segmentation=[polygon], iscrowd=1)
            annotations.append(entry)
        return {
            "images": [{**image, "id": images[image["id"]]} for image in self.dataset["images"]],
            "categories": [
                {**category, "id": self.class_numbers[category["id"]]}
                for category in self.dataset["categories"]
            ],
            "annotations": annotations,
        }

    def annotation(self, number: int) -> dict[str, Any]:
        """Return the annotation that has this number in ``numbered``."""
        return self.dataset["annotations"][number - 1]
