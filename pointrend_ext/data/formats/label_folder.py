"""Folders of pictures and label maps, as people lay them out.

Pascal VOC's (``JPEGImages``, ``SegmentationClass``, ``ImageSets``; CVAT's "segmentation mask"
export has it, too), folders side by side (``train`` and ``train_labels``, ``images/train`` and
``masks/train``), and pictures with their label maps in one folder (Roboflow's ``x_mask.png``).
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import PurePosixPath

from pointrend_ext.data.formats.tree import Tree, split_name
from pointrend_ext.data.label_maps import LABEL_ENDINGS
from pointrend_ext.data.text_files import read_lines

_LABELS = re.compile(
    r"(?i)label|mask|annot|(?<![a-z])(gt|seg)(?![a-z])|gtfine|segmentation|sem_seg|ground"
)
_INSTANCES = re.compile(r"(?i)segmentationobject|instance|panoptic")
_SUFFIXES = ("_mask", "_masks", "_label", "_labels", "_seg", "_segmentation", "_gt", "_L")


@dataclass(frozen=True)
class LabelSplit:
    """Folders below the root, and how file names end where stems differ.

    Attributes:
        names: paths without suffix of the pictures that count; None for all.
    """

    images: str
    labels: str
    image_suffix: str | None = None
    label_suffix: str | None = None
    names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class LabelFolder:
    """Label maps by split; "" where there is one split that is not named."""

    tree: Tree
    splits: dict[str, LabelSplit]
    kind: str = "label maps"


def find_label_folder(tree: Tree) -> list[LabelFolder]:
    """Find pairs of folders whose files are called alike, one of them named for labels.

    Raises:
        ValueError: several pairs are there for one split.
    """
    pictures = _by_folder(tree.pictures)
    found: dict[str, LabelSplit] = {}
    for folder, files in _by_folder(tree.ending(*LABEL_ENDINGS)).items():
        pair = _with_suffix(folder, files, pictures[folder])
        is_named = _LABELS.search(folder) and not _INSTANCES.search(folder)
        if pair is None and is_named:
            pair = _beside(tree, folder, files, pictures)
        if pair is None:
            continue
        split = split_name(pair.labels) or split_name(pair.images)
        if found.setdefault(split, pair) != pair:
            raise ValueError(
                f"{tree} has label maps in {found[split].labels!r} and in {pair.labels!r}"
                f"{f' for {split!r}' if split else ''}. Give the folder of one of them."
            )
    lists = _voc_lists(tree)
    if lists and [*found] == [""]:
        whole = found[""]
        pair_of = (whole.images, whole.labels, whole.image_suffix, whole.label_suffix)
        found = {split: LabelSplit(*pair_of, names) for split, names in lists.items()}
    return [LabelFolder(tree, dict(sorted(found.items())))] if found else []


def has_lossy_labels(tree: Tree) -> bool:
    """Tell whether a folder or file is named for labels whose format changes them."""
    return any(_LABELS.search(file) for file in tree.ending(".jpg", ".jpeg", ".webp"))


def _by_folder(files: list[str]) -> dict[str, dict[str, str]]:
    """Return by folder the endings of files by their stems."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for file in files:
        path = PurePosixPath(file)
        found[path.parent.as_posix()][path.stem] = path.suffix
    return found


def _with_suffix(folder: str, files: dict[str, str], own: dict[str, str]) -> LabelSplit | None:
    """Return pictures whose label map lies beside them."""
    for suffix in _SUFFIXES:
        stems = [s.removesuffix(suffix) for s in files if s.endswith(suffix)]
        pairs = [stem for stem in stems if stem in own]
        if not pairs or 2 * len(pairs) < len(own):
            continue
        endings = {own[stem] for stem in pairs}
        label_endings = {files[f"{stem}{suffix}"] for stem in pairs}
        if len(endings) > 1 or len(label_endings) > 1:
            raise ValueError(
                f"{folder!r} holds pictures and label maps in one folder, and pictures end in "
                f"{sorted(endings)}, label maps in {sorted(label_endings)}. Give all pictures one "
                "ending, and all label maps one."
            )
        image_suffix, label_ending = endings.pop(), label_endings.pop()
        # Of a.png and a_mask.png, both end as pictures do.
        names = tuple(sorted(pairs)) if image_suffix == label_ending else None
        return LabelSplit(folder, folder, image_suffix, f"{suffix}{label_ending}", names)
    return None


def _beside(
    tree: Tree, folder: str, files: dict[str, str], pictures: dict[str, dict[str, str]]
) -> LabelSplit | None:
    """Return the folder of the pictures that these label maps belong to."""
    scores: dict[tuple[str, str], int] = {}
    for other, own in pictures.items():
        if other == folder or _LABELS.search(other) or _INSTANCES.search(other):
            continue
        if len({split_name(folder), split_name(other)} - {""}) > 1:
            continue
        for suffix in ("", *_SUFFIXES):
            count = sum(s.endswith(suffix) and s[: len(s) - len(suffix)] in own for s in files)
            if count:
                scores[other, suffix] = count
    most = max(scores.values(), default=0)
    if 2 * most <= len(files):
        return None
    best = [pair for pair, count in scores.items() if count == most]
    images = tree.nearest({other for other, _ in best}, folder)
    suffix = next(s for other, s in best if other == images)
    label_suffix = f"{suffix}{next(iter(files.values()))}" if suffix else None
    image, label = PurePosixPath(images), PurePosixPath(folder)
    # Cities below a split: the folders above, whose names differ, are meant.
    while image.name == label.name and not split_name(image.name) and len(image.parts) > 1:
        image, label = image.parent, label.parent
    return LabelSplit(image.as_posix(), label.as_posix(), None, label_suffix)


def _voc_lists(tree: Tree) -> dict[str, tuple[str, ...]]:
    """Return the names of the lists of ImageSets/Segmentation, but those of all splits."""
    lists = {}
    for file in tree.ending(".txt"):
        path = PurePosixPath(file)
        if path.parent.as_posix().endswith("ImageSets/Segmentation") and split_name(path.stem):
            if path.stem.lower() == "trainval":
                continue
            lists[split_name(path.stem)] = tuple(read_lines(tree.root / file))
    return lists
