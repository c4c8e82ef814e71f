"""What is in a data set, and what is wrong with it, before a training finds out."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.structures import BoxMode

from pointrend_ext.data.checks import check_datasets, class_names_of
from pointrend_ext.data.coco import causes
from pointrend_ext.data.coco_dataset import audit_dataset, listed_images
from pointrend_ext.data.findings import Cause
from pointrend_ext.data.image_files import check_image_files, is_missing
from pointrend_ext.data.jpeg_damage import find_damaged_jpegs
from pointrend_ext.data.label_checks import report_label_maps
from pointrend_ext.data.label_report import LabelReport
from pointrend_ext.data.loading import load_dataset_dicts, unread_causes
from pointrend_ext.data.mapper import build_mapper
from pointrend_ext.data.pixels import ImageRules
from pointrend_ext.data.seeding import seeded

_SMALL_PX, _LARGE_PX = 32**2, 96**2  # COCO's bounds
_NO_PROBLEM = {causes.CROWD, causes.OUT_OF_CROP, causes.BEYOND}


@dataclass
class DatasetSummary:
    """What a data set holds.

    Attributes:
        name: of the data set.
        num_images: all of them.
        num_empty: images without any annotation; always 0 of semantic data.
        objects: objects per class, crowds left out.
        labels: what all label maps hold.
        sizes_hw: (num_images, 2) rows and columns.
        object_sizes: objects of boxes below 32 x 32 pixels, below 96 x 96, and larger; those of
            panoptic segments, whose boxes are in their pictures alone, are not counted.
        num_read: images that were read and mapped as in training.
        problems: messages that name files.
    """

    name: str
    num_images: int
    num_empty: int = 0
    objects: dict[str, int] = field(default_factory=dict)
    labels: LabelReport | None = None
    sizes_hw: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    object_sizes: tuple[int, int, int] = (0, 0, 0)
    num_read: int = 0
    problems: list[str] = field(default_factory=list)

    def text(self, max_problems: int = 50) -> str:
        """Return the summary for people, with at most so many lines of problems."""
        lines = [f"{self.name}: {self.num_images} images, {self.num_empty} without annotations"]
        if len(self.sizes_hw):
            low, middle, high = (f(self.sizes_hw, axis=0) for f in (np.min, np.median, np.max))
            lines.append(
                f"  height {low[0]} to {high[0]} (median {middle[0]:.0f}), "
                f"width {low[1]} to {high[1]} (median {middle[1]:.0f})"
            )
        if self.objects:
            lines.append(f"  {sum(self.objects.values())} objects")
            if any(self.object_sizes):
                small, medium, large = self.object_sizes
                lines[-1] += (
                    f": {small} small, {medium} medium, {large} large (boxes below 32 x 32 pixels, "
                    "below 96 x 96, others)"
                )
            lines += _table(self.objects, "objects")
        if self.labels:
            lines += [f"  {line}" for line in self.labels.text().splitlines()]
        lines.append(f"  {len(self.problems)} problems in {self.num_read} images that were read")
        lines += [f"    {problem}" for problem in self.problems[:max_problems]]
        if len(self.problems) > max_problems:
            lines.append(f"    ... and {len(self.problems) - max_problems} more")
        return "\n".join(lines)


def summarize_dataset(cfg: CfgNode, name: str, *, max_read: int = 200) -> DatasetSummary:
    """Count what a data set holds, and read at most ``max_read`` images as a training would.

    All JPEG files are decoded, to find those that are damaged inside.

    Raises:
        ValueError: the data set cannot be loaded at all, or does not fit the model.
        FileNotFoundError: a file or folder of it does not exist.
    """
    check_datasets(cfg, [name])
    records = load_dataset_dicts(cfg, [name], is_train=False)
    summary = DatasetSummary(name, len(records))
    audit = audit_dataset(name)
    if audit is not None:
        audit.findings.unsaid()  # by a loader; the summary says it
        findings = audit.findings.without(causes.OF_SCORES | unread_causes(cfg))
        summary.problems += findings.serious().lines()
    summary.sizes_hw = np.array([(r["height"], r["width"]) for r in records if "height" in r])
    if "annotations" in records[0]:
        _count_objects(summary, records, class_names_of(name, "thing_classes"))
    summary.labels = report_label_maps(cfg, name)
    if summary.labels is not None:
        summary.problems += [*summary.labels.errors, *summary.labels.warnings]
    chosen = np.unique(np.linspace(0, len(records) - 1, min(max_read, len(records))).astype(int))
    there = [records[i] for i in chosen if not is_missing(records[i]["file_name"])]
    refused = _read(cfg, summary, there)
    read = {os.fspath(record["file_name"]) for record in there}
    entries, rules = listed_images(name), ImageRules.from_cfg(cfg)
    try:
        others = [entry for entry in entries if entry.file_name not in read]
        check_image_files(others, name, rules)
    except (ValueError, OSError) as error:
        summary.problems.append(str(error))
    files = [entry.file_name for entry in entries if entry.file_name not in refused]
    damaged = find_damaged_jpegs(files, rules)
    summary.problems += [
        f"{file}: it seems damaged ({text}): part of the picture may be grey or moved. Look at it; "
        "copy or download it again, or take it out."
        for file, text in damaged.items()
    ]
    return summary


def _count_objects(
    summary: DatasetSummary, records: Sequence[dict[str, Any]], names: Sequence[str] | None
) -> None:
    objects = [a for r in records for a in r["annotations"] if not a.get("iscrowd", 0)]
    summary.num_empty = sum(not r["annotations"] for r in records)
    counts = Counter(a["category_id"] for a in objects)
    known = range(len(names)) if names else sorted(counts)
    summary.objects = {names[i] if names else f"class {i}": counts[i] for i in known}
    to_mode = BoxMode.XYWH_ABS
    boxes = [
        BoxMode.convert(list(a["bbox"]), a.get("bbox_mode", to_mode), to_mode)
        for a in objects
        if a.get("bbox") is not None  # those of panoptic segments are in their picture
    ]
    areas = np.array([abs(width * height) for _, _, width, height in boxes])
    small, medium = int((areas < _SMALL_PX).sum()), int((areas < _LARGE_PX).sum())
    summary.object_sizes = (small, medium - small, len(areas) - medium)
    absent = [name for name, number in summary.objects.items() if number == 0]
    if absent:
        summary.problems.append(f"no object of the classes {', '.join(absent)}")


def _read(cfg: CfgNode, summary: DatasetSummary, records: Sequence[dict[str, Any]]) -> set[str]:
    """Read images as a training does; return the files of those that cannot be."""
    refused = set()
    mapper, seen = build_mapper(cfg, is_train=True), Counter[Cause]()
    mapper.drops.is_silent = True  # what is dropped is reported here, with every file
    for number, record in enumerate(records):
        try:
            with seeded(0, number):
                mapper(record)
        except (ValueError, OSError) as error:
            summary.problems.append(str(error))
            refused.add(os.fspath(record["file_name"]))
        new = Counter(mapper.drops.counts()) - seen
        seen += new
        summary.problems += [
            f"{record['file_name']}: {n} {cause.kind.value}: {cause.text}"
            for cause, n in new.items()
            if cause not in _NO_PROBLEM
        ]
    summary.num_read = len(records)
    return refused


def _table(counts: dict[str, int], what: str) -> list[str]:
    """Return one line per class with a bar."""
    total, width = max(sum(counts.values()), 1), max(map(len, counts))
    longest = max(*counts.values(), 1)
    return [f"  {what}:"] + [
        f"    {name:<{width}} {n:>9} {100 * n / total:5.1f} % {'#' * round(30 * n / longest)}"
        for name, n in counts.items()
    ]
