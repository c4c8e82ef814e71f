"""Reads configurations of the PointRend project of Detectron2, current and before November 2020.

Pure functions of what a YAML file holds. Files of that project have one node ``MODEL.POINT_HEAD``
for both tasks, state the number of classes twice, and name heads that this package replaces.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["upgrade_config"]

MASK, SEM_SEG = "MODEL.MASK_POINT_HEAD", "MODEL.SEM_SEG_POINT_HEAD"
POINT_HEAD = "MODEL.POINT_HEAD"
MASK_HEAD_NAME, SEM_SEG_HEAD_NAME = "MODEL.ROI_MASK_HEAD.NAME", "MODEL.SEM_SEG_HEAD.NAME"
POINT_HEAD_ON = "MODEL.ROI_MASK_HEAD.POINT_HEAD_ON"
# Values that name something of theirs, and the equivalent of ours. The region heads and the coarse
# mask head are those of files from before November 2020.
VALUES = {
    (MASK_HEAD_NAME, "PointRendMaskHead"): "PointRendROIMaskHead",
    (MASK_HEAD_NAME, "CoarseMaskHead"): "PointRendROIMaskHead",
    (SEM_SEG_HEAD_NAME, "PointRendSemSegHead"): "PointRendSemanticHead",
    ("MODEL.ROI_HEADS.NAME", "PointRendROIHeads"): "StandardROIHeads",
}
# Where the number of classes really is, and Detectron2's default of it.
CLASSES = {
    MASK: ("MODEL.ROI_HEADS.NUM_CLASSES", 80),
    SEM_SEG: ("MODEL.SEM_SEG_HEAD.NUM_CLASSES", 54),
}
# Stated elsewhere, or the only choice.
NOT_NEEDED = (POINT_HEAD_ON, f"{POINT_HEAD}.NUM_CLASSES", f"{POINT_HEAD}.CLS_AGNOSTIC_MASK")
# Defaults of theirs that differ from ours for semantics.
SEMANTIC_DEFAULTS = {
    "TRAIN_NUM_POINTS": 196,
    "SUBDIVISION_NUM_POINTS": 784,
    "COARSE_PRED_EACH_LAYER": True,
}


def upgrade_config(config: Mapping[str, Any], source: str) -> tuple[dict[str, Any], str]:
    """Give a configuration of Detectron2's PointRend project the names of this package.

    Args:
        config: a YAML file's content, with that of its bases; not changed.
        source: the file's name, for messages.

    Returns:
        The configuration that means the same here, and a line that says what was changed. Any other
        configuration is returned as it is, with an empty line.

    Raises:
        ValueError: it asks for what there is no counterpart of, or contradicts itself.
    """
    old = dict(_leaves(config))
    if old.get(MASK_HEAD_NAME) == "ImplicitPointRendMaskHead":
        raise ValueError(
            f"{source} configures Implicit PointRend (MODEL.ROI_MASK_HEAD.NAME "
            "ImplicitPointRendMaskHead), which cannot be read from Detectron2's files. Use "
            "PointRendROIMaskHead."
        )
    renamed = {key: VALUES[key, value] for key, value in old.items() if _is_theirs(key, value)}
    nodes = [
        node
        for node, key in ((MASK, MASK_HEAD_NAME), (SEM_SEG, SEM_SEG_HEAD_NAME))
        if key in renamed
    ]
    if not nodes:
        return dict(config), ""
    if MASK in nodes:
        _require_point_head(old, source)
    new: dict[str, Any] = {}
    for node in nodes:
        new.update(_point_head_keys(old, node, source))
    # What the file states under our names wins over what it leaves to their defaults.
    new.update((key, value) for key, value in old.items() if not _is_gone(key))
    new.update(renamed)
    if old.get(MASK_HEAD_NAME) == "CoarseMaskHead":
        new["MODEL.ROI_MASK_HEAD.POOLER_TYPE"] = ""  # their region heads did so by themselves
    changes = [f"{old[key]} -> {value}" for key, value in renamed.items()]
    changes += [f"{POINT_HEAD} -> {node}" for node in nodes if any(map(_is_gone, old))]
    note = f"{source} is of Detectron2's PointRend project and was read as: {', '.join(changes)}"
    dropped = [key for key in NOT_NEEDED if key in old]
    if dropped:
        note += f"; not needed: {', '.join(dropped)}"
    return _nested(new), f"{note}."


def _is_gone(key: str) -> bool:
    return key in (POINT_HEAD_ON, POINT_HEAD) or key.startswith(f"{POINT_HEAD}.")


def _is_theirs(key: str, value: Any) -> bool:
    return isinstance(value, str) and (key, value) in VALUES


def _require_point_head(old: Mapping[str, Any], source: str) -> None:
    if old.get(POINT_HEAD_ON, False) is not True:
        found = old.get(POINT_HEAD_ON, "not set, which means False")
        raise ValueError(
            f"{source}: {POINT_HEAD_ON} is {found}: only the coarse mask would be trained, and "
            "Detectron2 could not predict with it. Set it True, or train Mask R-CNN "
            f"({MASK_HEAD_NAME} MaskRCNNConvUpsampleHead)."
        )


def _point_head_keys(old: Mapping[str, Any], node: str, source: str) -> dict[str, Any]:
    """Return their keys of the point head under the names of one of our nodes."""
    theirs = {
        key[len(POINT_HEAD) + 1 :]: value
        for key, value in old.items()
        if key.startswith(f"{POINT_HEAD}.")
    }
    key, default = CLASSES[node]
    real = old.get(key, default)
    count = theirs.pop("NUM_CLASSES", real)
    if count != real:
        raise ValueError(
            f"{source}: {POINT_HEAD}.NUM_CLASSES is {count}, but {key} is {real}. Set both to the "
            f"number of classes, or remove {POINT_HEAD} and state {key} alone with the keys of "
            f"{node}."
        )
    if theirs.pop("CLS_AGNOSTIC_MASK", False) is not False:
        remedy = (
            "Set MODEL.ROI_MASK_HEAD.CLS_AGNOSTIC_MASK True, which makes the coarse mask so too"
        )
        raise ValueError(
            f"{source}: {POINT_HEAD}.CLS_AGNOSTIC_MASK True refines one mask from coarse masks of "
            f"every class, which is not supported. {remedy if node == MASK else 'Remove it'}."
        )
    coarse = theirs.pop("COARSE_SEM_SEG_HEAD_NAME", "SemSegFPNHead")
    if node == SEM_SEG:
        theirs = {"COARSE_HEAD_NAME": coarse, **SEMANTIC_DEFAULTS, **theirs}
    return _without_conflict({f"{node}.{name}": v for name, v in theirs.items()}, old, source)


def _without_conflict(moved: dict[str, Any], old: Mapping[str, Any], source: str) -> dict[str, Any]:
    for key, value in moved.items():
        theirs = f"{POINT_HEAD}.{key.rsplit('.', 1)[1]}"
        if theirs in old and old.get(key, value) != value:
            raise ValueError(
                f"{source}: {key} is {old[key]}, but {theirs}, which means the same, is {value}. "
                "Remove one of the two."
            )
    return moved


def _leaves(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, value); a node without keys counts as a value."""
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _nested(leaves: Mapping[str, Any]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for name, value in leaves.items():
        *path, leaf = name.split(".")
        node = root
        for key in path:
            node = node.setdefault(key, {})
        node[leaf] = value
    return root
