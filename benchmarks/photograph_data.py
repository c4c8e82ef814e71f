"""Two sets of photographs with one class, "object": the COCO subset, and DAVIS cut by sequence.

Boxes are given in this comparison, so that what an object is does not matter. One class for both
lets one model train on the union.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = [
    "SETS",
    "annotation_file",
    "description_file",
    "split_sequences",
    "with_one_class",
    "write_descriptions",
]

SETS = {"COCO": "coco_objects", "DAVIS": "davis_objects"}
"""What the tables call a set, and the name that its data sets begin with."""

Annotations = Mapping[str, Any]
"""An annotation file in COCO's format."""


def annotation_file(output: Path, name: str, split: str) -> Path:
    """Return the annotation file of a split ("train", "val") that is written."""
    return output / f"data/{name}_{split}.json"


def description_file(output: Path, name: str) -> Path:
    """Return the description of a data set that is written."""
    return output / f"data/{name}_description.json"


def write_descriptions(data: Path, output: Path) -> None:
    """Write annotation files and descriptions of both sets.

    Args:
        data: has ``coco/annotations/instances_{train,val}2017.json``, ``coco/{train,val}2017``,
            ``davis/instances.json``, whose images have a "sequence", and ``davis/images``.
        output: the files lie in its folder ``data``.
    """
    splits = ("train", "val")
    coco = {s: _read(data / f"coco/annotations/instances_{s}2017.json") for s in splits}
    davis = split_sequences(_read(data / "davis/instances.json"))
    folders = {
        "COCO": {split: data / f"coco/{split}2017" for split in splits},
        "DAVIS": dict.fromkeys(splits, data / "davis/images"),
    }
    for title, files in {"COCO": coco, "DAVIS": davis}.items():
        splits_of: dict[str, Any] = {}
        for split, annotations in files.items():
            path = annotation_file(output, SETS[title], split)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(with_one_class(annotations)))
            images = str(folders[title][split].resolve())
            splits_of[split] = {"images": images, "annotations": path.name}
        description = {"name": SETS[title], "task": "instance", "root": ".", "splits": splits_of}
        description_file(output, SETS[title]).write_text(json.dumps(description, indent=1))


def with_one_class(annotations: Annotations) -> dict[str, Any]:
    """Return annotations whose objects are all of the class "object"."""
    objects = [{**a, "category_id": 1} for a in annotations["annotations"]]
    return {**annotations, "categories": [{"id": 1, "name": "object"}], "annotations": objects}


def split_sequences(annotations: Annotations) -> dict[str, dict[str, Any]]:
    """Cut by the sequences in alphabetical order: the 1st, 3rd, ... to train, the others to val."""
    sequences = sorted({image["sequence"] for image in annotations["images"]})
    return {
        "train": _of_sequences(annotations, sequences[::2]),
        "val": _of_sequences(annotations, sequences[1::2]),
    }


def _of_sequences(annotations: Annotations, sequences: Iterable[str]) -> dict[str, Any]:
    images = [image for image in annotations["images"] if image["sequence"] in set(sequences)]
    ids = {image["id"] for image in images}
    objects = [a for a in annotations["annotations"] if a["image_id"] in ids]
    return {**annotations, "images": images, "annotations": objects}


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())
