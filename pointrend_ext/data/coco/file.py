"""A COCO annotation file, read, checked and normalised once for whoever asks."""

import contextlib
import gc
import os
import weakref
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pointrend_ext.data.check_cache import (
    file_version,
    load_checked,
    store_checked,
    versions_key,
)
from pointrend_ext.data.coco import causes
from pointrend_ext.data.coco.annotation import check_annotation, check_area, listed_twice
from pointrend_ext.data.coco.entries import check_categories, check_images, check_lists, repeated
from pointrend_ext.data.coco.layout import check_layout
from pointrend_ext.data.findings import Cause, Findings, first_of
from pointrend_ext.data.strict_json import read_json
from pointrend_ext.processes import once_per_machine

_CACHED_FROM = 10_000  # annotations; the check of fewer takes less than 0.1 s
_CHECK = "annotations-2"  # name and version of what the cache keeps


@dataclass(frozen=True)
class CocoSummary:
    """What stays known of a file whose content is no longer held.

    Attributes:
        path: of the file.
        version: ``file_version`` of it when it was read.
        num_annotations: all of them.
        class_names: in ascending order of the category ids, Detectron2's order.
        contiguous_ids: that order, by category id.
        findings: what was left out, changed or noted.
        images: file name below the folder of the images and (H, W) of each.
    """

    path: str
    version: list[Any]
    num_annotations: int
    class_names: tuple[str, ...]
    contiguous_ids: dict[Any, int]
    findings: Findings
    images: tuple[tuple[str, tuple[int, int]], ...]


@dataclass(frozen=True, eq=False)
class CocoFile:
    """The content of a file after all checks; shared, so nobody changes it.

    Attributes:
        summary: what is known of it.
        images: with whole sizes.
        categories: with names of their own.
        annotations: those that are not left out, as ``check_annotation`` leaves them, in the order
            of the file; an ``area`` may be None. None of a test set without annotations.
        sizes_hw: (H, W) by image id.
    """

    summary: CocoSummary
    images: list[dict[str, Any]]
    categories: list[dict[str, Any]]
    annotations: list[dict[str, Any]] | None
    sizes_hw: dict[Any, tuple[int, int]]

    @property
    def dataset(self) -> dict[str, Any]:
        """What pycocotools calls a data set, the lists being those of this file."""
        dataset = {"images": self.images, "categories": self.categories}
        has_annotations = self.annotations is not None
        return {**dataset, "annotations": self.annotations} if has_annotations else dataset


_summaries: dict[str, CocoSummary] = {}  # by path, as the next two
_alive: "weakref.WeakValueDictionary[str, CocoFile]" = weakref.WeakValueDictionary()
_kept: dict[str, CocoFile] = {}


def read_coco_file(path: str, *, keep: bool = False) -> CocoFile:
    """Return the content of an annotation file in COCO's (or LVIS's) instance format.

    It is parsed once as long as somebody holds it, and the file does not change. With ``keep`` it
    is held until ``release_coco_files``, for those who will ask next.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON, not in COCO's format, or inconsistent; the message names the
            file and the first place.
    """
    version = file_version(path)
    file = _alive.get(path)
    if file is None or file.summary.version != version:
        with without_garbage_collection():
            file = _read(path, version)
        known = _summaries.get(path)
        if known is not None and known.version == version:  # read again, not to be said again
            file.summary.findings.said.update(known.findings.said)
        _alive[path], _summaries[path] = file, file.summary
    if keep:
        _kept[path] = file
    return file


def summarize_coco_file(path: str, *, keep: bool = False) -> CocoSummary:
    """Check a file, see ``read_coco_file``, where it has not been checked since it changed."""
    summary = _summaries.get(path)
    if summary is None or summary.version != file_version(path) or keep:
        return read_coco_file(path, keep=keep).summary
    return summary


def release_coco_files(*, but: Collection[str] = ()) -> None:
    """Hold the content of files, but for some, no longer than others do."""
    for path in _kept.keys() - {*but}:
        del _kept[path]


def share_summaries() -> None:
    """Let all processes of a machine know the summaries of its first one, which has read the files.

    They then need to read none for ``summarize_coco_file``.
    """
    _summaries.update(once_per_machine(lambda: dict(_summaries)))


@contextlib.contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Spare the collector millions of new lists, none of which is garbage."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _read(path: str, version: list[Any]) -> CocoFile:
    content = read_json(path)
    try:
        check_lists(content)
        images, categories = content["images"], content["categories"]
        annotations = content.get("annotations", None)
        findings = Findings(
            len(annotations or ()), others={"images": len(images), "categories": len(categories)}
        )
        sizes_hw = check_images(images, findings)
        class_names = check_categories(categories, findings)
        if annotations is not None:
            checker = _Checker(annotations, sizes_hw, class_names, findings)
            # COCO 2014's minival is known to repeat ids.
            checker.check_ids(may_repeat="minival" in os.path.basename(path))
            annotations = checker.checked(version)
    except OverflowError as error:
        raise ValueError(f"Annotation file {path!r} has a number of 309 digits or more.") from error
    except ValueError as error:
        raise ValueError(f"Annotation file {path!r} is not valid: {error}.") from error
    contiguous = {category_id: index for index, category_id in enumerate(class_names)}
    names = tuple(class_names.values())
    files = tuple((image.get("file_name", ""), sizes_hw[image["id"]]) for image in images)
    summary = CocoSummary(path, version, findings.num_checked, names, contiguous, findings, files)
    return CocoFile(summary, images, categories, annotations, sizes_hw)


@dataclass
class _Checker:
    """The check of all annotations of a file.

    Attributes:
        suspects: annotations with a mask whose box may have another layout.
    """

    annotations: list[dict[str, Any]]
    sizes_hw: dict[Any, tuple[int, int]]
    class_names: dict[Any, str]
    findings: Findings
    suspects: list[dict[str, Any]] = field(default_factory=list)

    def check_ids(self, *, may_repeat: bool) -> None:
        for number, annotation in enumerate(self.annotations, start=1):
            own = annotation.get("id")
            if own is None:
                annotation["id"] = f"number {number}"
                self.findings.add(causes.NO_ID, f"annotation number {number}")
            elif isinstance(own, (list, dict)):
                raise ValueError(
                    f"annotation number {number} has id {own!r:.60}: give it a number or a text"
                )
        ids = [annotation["id"] for annotation in self.annotations]
        if not may_repeat and len({*ids}) < len(ids):
            raise ValueError(
                f"the annotation id {repeated(ids)!r} occurs more than once: number them"
            )

    def checked(self, version: list[Any]) -> list[dict[str, Any]]:
        """Return the annotations that are kept; of a file checked before, by the memory of it."""
        number = len(self.annotations)
        key = versions_key(_CHECK, [version]) if number >= _CACHED_FROM else ""
        memory = load_checked(key) if key else None
        if memory is not None:
            known = Findings.from_rows(memory["findings"], number)
            for cause, count in known.counts.items():
                self.findings.add(cause, known.first[cause], count)
            kept, _ = self._check(memory["altered"], lambda cause, place: None)
            return kept
        others = [*self.findings.counts]
        kept, altered = self._check(range(number), self.findings.add)
        check_layout(self.suspects, self.sizes_hw, self.findings)
        for position in listed_twice(kept):
            self.findings.add(causes.TWICE, _place(kept[position]))
        if key:
            rows = self.findings.without(others).to_rows()
            store_checked(key, {"findings": rows, "altered": altered})
        return kept

    def _check(
        self, positions: Sequence[int], add: Callable[[Cause, str], None]
    ) -> tuple[list[dict[str, Any]], list[int]]:
        """Check the annotations at some positions; return all that are kept, and what changed."""
        altered, left_out = [], set()
        state: list[Cause] = []
        for position in positions:
            annotation = self.annotations[position]
            mask = annotation.get("segmentation")
            try:
                is_kept = self._check_one(annotation, state.append)
            except (ValueError, TypeError) as error:  # TypeError: a list or dict as an id
                raise ValueError(f"annotation {annotation['id']!r:.60} {error}") from error
            if state or annotation.get("segmentation") is not mask:
                altered.append(position)
            for cause in state:
                add(cause, _place(annotation))
                if cause in _SUSPICIOUS and mask:
                    self.suspects.append({**annotation, "segmentation": mask})
            state.clear()
            if not is_kept:
                left_out.add(position)
        if not left_out:
            return self.annotations, altered
        return [a for i, a in enumerate(self.annotations) if i not in left_out], altered

    def _check_one(self, annotation: dict[str, Any], found: Callable[[Cause], None]) -> bool:
        for key in ("image_id", "category_id"):
            if key not in annotation:
                raise ValueError(f"has no {key!r}: add that of its image or category")
        image_id, category_id = annotation["image_id"], annotation["category_id"]
        if category_id not in self.class_names:
            known = first_of([*map(repr, self.class_names)], 8)
            raise ValueError(
                f"has category_id {category_id!r:.60}, which is not among the ids of 'categories' "
                f"({known}): "
                + (
                    "a number in quotes is a text and not that number: write both the same way"
                    if _has_twin(category_id, self.class_names)
                    else "correct it, or list that category"
                )
            )
        size_hw = self.sizes_hw.get(image_id)
        if size_hw is None:
            is_twin = _has_twin(image_id, self.sizes_hw)
            found(causes.IMAGE_ID_AS_TEXT if is_twin else causes.UNKNOWN_IMAGE)
            return False
        is_kept = check_annotation(annotation, size_hw, found)
        if is_kept:
            check_area(annotation, found)
        return is_kept


_SUSPICIOUS = {causes.UNLIKE_MASK, causes.BAD_BOX, causes.BOX_OUTSIDE, causes.SHARES}


def _place(annotation: dict[str, Any]) -> str:
    return f"annotation {annotation['id']!r:.60} of image {annotation['image_id']!r:.60}"


def _has_twin(value: Any, known: dict[Any, Any]) -> bool:
    """Tell whether an id is known that looks the same: 1 for "1", "1" for 1."""
    if not isinstance(value, str):
        return str(value) in known
    try:
        return int(value) in known
    except ValueError:
        return False
