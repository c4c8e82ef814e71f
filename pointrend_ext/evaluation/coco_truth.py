"""The ground truth that predictions of instances are checked and scored against."""

import json
import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pointrend_ext.data.coco_audit import audit_coco_file

__all__ = ["CocoTruth"]


@dataclass(frozen=True)
class CocoTruth:
    """Annotations in COCO's format.

    Attributes:
        dataset: the content of the file, with ``images``, ``categories`` and ``annotations``;
            nothing here changes it.
        source: the file, for messages.
    """

    dataset: dict[str, Any]
    source: str

    @classmethod
    def load(cls, json_file: str | os.PathLike[str]) -> "CocoTruth":
        """Read and check an annotation file on this machine.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not JSON, not in COCO's format, inconsistent, or without annotations.
        """
        path = os.fspath(json_file)
        audit_coco_file(path)
        with open(path, encoding="utf-8") as file:
            dataset = json.load(file)
        if "annotations" not in dataset:
            raise ValueError(
                f"Annotation file {path!r} has no 'annotations' (a test set?): nothing can be "
                "scored against it."
            )
        return cls(dataset, path)

    def of_images(self, image_ids: Iterable[int]) -> "CocoTruth":
        """Return the part with some of the images."""
        wanted = set(image_ids)
        images = [image for image in self.dataset["images"] if image["id"] in wanted]
        return CocoTruth({**self.dataset, "images": images}, self.source)

    @cached_property
    def sizes_hw(self) -> dict[int, tuple[int, int]]:
        """(H, W) in pixels of every image, by image id."""
        return {image["id"]: (image["height"], image["width"]) for image in self.dataset["images"]}

    @cached_property
    def class_names(self) -> dict[int, str]:
        """Name of every category, by category id, in ascending order of the ids.

        A name that several have is followed by the id in brackets.
        """
        categories = sorted(self.dataset["categories"], key=lambda category: category["id"])
        names = {category["id"]: str(category["name"]) for category in categories}
        number = Counter(names.values())
        return {i: name if number[name] == 1 else f"{name} ({i})" for i, name in names.items()}
