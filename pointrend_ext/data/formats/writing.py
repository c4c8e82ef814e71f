"""Writing a description, and the files that it needs, below one folder."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from pointrend_ext.data.coco import picture_paths, read_coco_file, summarize_coco_file
from pointrend_ext.data.descriptions import load_semantic_folder, read_description
from pointrend_ext.data.descriptions.description import SemanticDescription
from pointrend_ext.data.findings import Findings, first_of
from pointrend_ext.data.formats.coco_export import CocoExport, changed_content
from pointrend_ext.data.formats.label_classes import class_keys
from pointrend_ext.data.formats.label_folder import LabelFolder
from pointrend_ext.data.formats.labelled import Labelled, coco_content
from pointrend_ext.data.formats.splitting import Split, split_names
from pointrend_ext.data.image_files import ImageEntry, check_image_files
from pointrend_ext.data.pixels import ImageRules

_EMPTY_TEST = "The split 'test' has no object, and is left out."


@dataclass
class Described:
    """A description that was written, and what is to be said of it.

    Attributes:
        file: the description.
        task: "instance" or "semantic".
        classes: names in the order of the model's classes.
        num_pictures: by split.
        num_objects: by split, those that remain after all checks; empty for label maps.
        short_edge: median of the shorter sides of the training pictures, in pixels.
        ignore_label: of pixels that do not count; None of instances.
        notes: lines: the split, what was left out or changed.
    """

    file: Path
    task: str
    classes: list[str] = field(default_factory=list)
    num_pictures: dict[str, int] = field(default_factory=dict)
    num_objects: dict[str, int] = field(default_factory=dict)
    short_edge: int = 0
    ignore_label: int | None = None
    notes: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return what a user reads: classes, pictures and objects by split, then the notes."""
        counts = [
            f"{split} {number} pictures"
            + (f" with {self.num_objects[split]} objects" if self.num_objects else "")
            for split, number in self.num_pictures.items()
        ]
        classes = f"{len(self.classes)} classes ({first_of(self.classes, 8)})"
        return [f"{self.task} segmentation, {classes}", "; ".join(counts), *self.notes]


@dataclass
class Writer:
    """Writes below a folder; every path of a description is relative to it."""

    output: Path
    split: Split
    described: Described

    def labelled(self, labelled: Labelled) -> dict[str, Any]:
        """Write an annotation file per split."""
        pictures = labelled.pictures
        root = Path(os.path.commonpath([picture.path.parent for picture in pictures]))
        self._note(labelled.findings, "The export")
        splits = [picture.split for picture in pictures]
        if len({*splits}) == 1:
            names = [picture.path.relative_to(root).as_posix() for picture in pictures]
            validation = self._drawn(names, [bool(picture.objects) for picture in pictures])
            splits = ["val" if n in validation else "train" for n in range(len(pictures))]
        named, splits = {}, _named(splits)
        for split in dict.fromkeys(splits):
            own = [p for p, s in zip(pictures, splits, strict=True) if s == split]
            if split == "test" and not any(picture.objects for picture in own):
                self.described.notes.append(_EMPTY_TEST)
                continue
            named[split] = root, self._write_json(split, coco_content(labelled, own, root))
        return self._instances(named)

    def coco(self, export: CocoExport) -> dict[str, Any]:
        """Take annotation files as they are; write others where pictures are split or renamed."""
        parts, named = export.parts(), {}
        if export.has_empty_test():
            self.described.notes.append(_EMPTY_TEST)
        if len(parts) == 1:
            (part,) = parts.values()
            names = [str(image.get("file_name")) for image in part.content["images"]]
            filled = {str(entry.get("image_id")) for entry in part.content["annotations"]}
            has_objects = [str(image.get("id")) in filled for image in part.content["images"]]
            validation = self._drawn(names, has_objects)
            places = {"train": {*range(len(names))} - validation, "val": validation}
            for split, kept in places.items():
                named[split] = part.images, self._write_json(split, changed_content(part, kept))
            return self._instances(named)
        for split, part in zip(_named([*parts]), parts.values(), strict=True):
            is_new = bool(part.renamed)
            file = self._write_json(split, changed_content(part)) if is_new else part.file
            named[split] = part.images, file
        return self._instances(named)

    def label_maps(self, export: LabelFolder) -> dict[str, Any]:
        """State folders, suffixes and classes; write lists of names where pictures are split."""
        self.described.task = "semantic"
        root = export.tree.root
        first = next(iter(export.splits.values()))
        suffixes = first.image_suffix, first.label_suffix
        splits: dict[str, dict[str, str]] = {}
        files: list[str] = []
        edges: dict[str, int] = {}
        for split, pair in zip(_named([*export.splits]), export.splits.values(), strict=True):
            own = {"images": str(root / pair.images), "labels": str(root / pair.labels)}
            listed = None if pair.names is None else self._write_names(split, pair.names)
            found = load_semantic_folder(own["images"], own["labels"], *suffixes, names=listed)
            files += [record["sem_seg_file_name"] for record in found]
            edges[split] = round(median(min(r["height"], r["width"]) for r in found))
            paths = {key: self._relative(Path(value)) for key, value in own.items()}
            by_split = {split: [str(record["image_id"]) for record in found]}
            if len(export.splits) == 1:
                names = by_split.pop(split)
                drawn = self._drawn(names, [True] * len(names))
                by_split = {"train": [n for i, n in enumerate(names) if i not in drawn],
                            "val": [n for i, n in enumerate(names) if i in drawn]}  # fmt: skip
            for key, names in by_split.items():
                self.described.num_pictures[key], splits[key] = len(names), dict(paths)
                if len(export.splits) == 1 or pair.names is not None:
                    splits[key]["names"] = Path(self._write_names(key, names)).name
        keys, source = class_keys(export.tree, files)
        self.described.classes = keys["classes"]
        self.described.short_edge = edges.get("train", next(iter(edges.values())))
        self.described.notes.append(
            f"The classes are {source}. Pixels of a number or colour that does not count: "
            "'ignore_value' or 'ignore_color'."
        )
        keys |= {
            key: value
            for key, value in zip(("image_suffix", "label_suffix"), suffixes, strict=True)
            if value is not None
        }
        return {**keys, "splits": splits}

    def finish(self, name: str, keys: dict[str, Any]) -> None:
        """Write the description and read it again."""
        content = {"name": name, "task": self.described.task, "root": ".", **keys}
        comments = "".join(f"# {line}\n" for line in self.described.notes)
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)
        self.output.mkdir(parents=True, exist_ok=True)
        self.described.file.write_text(comments + text, encoding="utf-8")
        try:
            written = read_description(self.described.file)
        except ValueError:
            self.described.file.unlink()
            raise
        if isinstance(written, SemanticDescription):
            self.described.ignore_label = written.encoding().ignore_label

    def _instances(self, named: dict[str, tuple[Path, Path]]) -> dict[str, Any]:
        """Check the annotation files and their pictures; return the keys of the description."""
        classes: dict[str, tuple[str, ...]] = {}
        split_of: dict[str, str] = {}
        for split, (images, file) in named.items():
            summary = summarize_coco_file(str(file))
            files = picture_paths(str(images), [name for name, _ in summary.images])
            sizes = [size for _, size in summary.images]
            entries = map(ImageEntry, files, sizes)
            check_image_files(entries, f"{split} of {self.output.name}", ImageRules())
            self._note(summary.findings, f"Split {split!r}")
            twice = [file for file in files if split_of.setdefault(file, split) != split]
            if twice:
                self.described.notes.append(
                    f"{len(twice)} pictures of {split!r} are those of {split_of[twice[0]]!r}, too, "
                    f"such as {twice[0]!r}: scores are better than they should be."
                )
            classes[split] = summary.class_names
            self.described.num_pictures[split] = len(summary.images)
            if split == "train":
                self.described.short_edge = round(median(min(size) for size in sizes))
            self.described.num_objects[split] = _num_masks(file, summary.findings)
        first = next(iter(classes))
        other = next((split for split in classes if classes[split] != classes[first]), None)
        if other is not None:
            raise ValueError(
                f"The splits {first!r} and {other!r} have different classes: "
                f"{first_of(classes[first], 6)} against {first_of(classes[other], 6)}. Export them "
                "with the same classes in the same order."
            )
        self.described.classes = list(classes[first])
        splits = {
            split: {"images": self._relative(images), "annotations": self._relative(file)}
            for split, (images, file) in named.items()
        }
        return {"splits": splits}

    def _drawn(self, names: list[str], has_objects: list[bool]) -> set[int]:
        drawn = split_names(names, has_objects, self.split)
        self.described.notes.append(f"No split was given: val has {self.split}.")
        return drawn

    def _note(self, findings: Findings, what: str) -> None:
        self.described.notes += [f"{what}: {line}" for line in findings.lines()]

    def _write_json(self, split: str, content: dict[str, Any]) -> Path:
        return self._write(f"{split}.json", json.dumps(content))

    def _write_names(self, split: str, names: Iterable[str]) -> str:
        return str(self._write(f"{split}.txt", "".join(f"{name}\n" for name in names)))

    def _write(self, name: str, text: str) -> Path:
        self.output.mkdir(parents=True, exist_ok=True)
        file = self.output / name
        file.write_text(text, encoding="utf-8")
        return file

    def _relative(self, path: Path) -> str:
        try:
            return Path(os.path.relpath(path, self.output)).as_posix()
        except ValueError:  # another drive of Windows
            return path.as_posix()


def _named(splits: Sequence[str]) -> list[str]:
    """Give a split without a name one: it is what there is to train on, or the rest."""
    return [split or ("rest" if "train" in splits else "train") for split in splits]


def _num_masks(file: Path, findings: Findings) -> int:
    """Count the objects with masks.

    Raises:
        ValueError: there is none.
    """
    entries = read_coco_file(str(file)).annotations or []
    number = sum(bool(e.get("segmentation")) and not e.get("iscrowd") for e in entries)
    if not number:
        boxes = sum(not entry.get("iscrowd") for entry in entries)
        raise ValueError(
            f"{str(file)!r} has no object with a mask{f', but {boxes} boxes' if boxes else ''}. "
            "Export polygons or masks (Roboflow: 'COCO Segmentation'); where CVAT's brush made "
            f"crowds, set 'iscrowd' to 0.{''.join(f' {line}.' for line in findings.lines())}"
        )
    return number
