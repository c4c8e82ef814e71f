"""Reads configurations of the PointRend project of Detectron2, current and before November 2020.

Pure functions of what a YAML file holds. Files of that project have one node ``MODEL.POINT_HEAD``
for both tasks, state the number of classes twice, and name heads that this package replaces.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pointrend_ext.modeling.recording import leaves

THEIRS = "MODEL.POINT_HEAD"
MASK_HEAD = "MODEL.ROI_MASK_HEAD"
IS_ON = f"{MASK_HEAD}.POINT_HEAD_ON"
COARSE_NAME = f"{THEIRS}.COARSE_SEM_SEG_HEAD_NAME"
IMPLICIT, IMPLICIT_POINTS = "ImplicitPointRendMaskHead", "ImplicitPointRendPointSupHead"
# Values that name something of theirs, and the equivalent of ours. The region heads and the coarse
# mask head are those of files from before November 2020.
VALUES = {
    (f"{MASK_HEAD}.NAME", "PointRendMaskHead"): "PointRendROIMaskHead",
    (f"{MASK_HEAD}.NAME", "CoarseMaskHead"): "PointRendROIMaskHead",
    (f"{MASK_HEAD}.NAME", IMPLICIT): "ImplicitPointRendROIMaskHead",
    (f"{MASK_HEAD}.NAME", IMPLICIT_POINTS): "ImplicitPointRendROIMaskHead",
    ("MODEL.SEM_SEG_HEAD.NAME", "PointRendSemSegHead"): "PointRendSemanticHead",
    ("MODEL.ROI_HEADS.NAME", "PointRendROIHeads"): "StandardROIHeads",
}
# Stated elsewhere, or the only choice.
NOT_NEEDED = (IS_ON, f"{THEIRS}.NUM_CLASSES", f"{THEIRS}.CLS_AGNOSTIC_MASK")


@dataclass(frozen=True)
class Task:
    """What a point head of theirs becomes."""

    head: str  # key of the head whose name tells that a file configures this task
    node: str  # ours
    classes: tuple[str, int]  # where the number of classes really is, and Detectron2's default
    defaults: dict[str, Any] = field(default_factory=dict)  # of theirs, where ours differ


TASKS = (
    Task(
        head=f"{MASK_HEAD}.NAME",
        node="MODEL.MASK_POINT_HEAD",
        classes=("MODEL.ROI_HEADS.NUM_CLASSES", 80),
    ),
    Task(
        head="MODEL.SEM_SEG_HEAD.NAME",
        node="MODEL.SEM_SEG_POINT_HEAD",
        classes=("MODEL.SEM_SEG_HEAD.NUM_CLASSES", 54),
        defaults={
            "COARSE_HEAD_NAME": "SemSegFPNHead",
            "TRAIN_NUM_POINTS": 196,
            "SUBDIVISION_NUM_POINTS": 784,
            "COARSE_PRED_EACH_LAYER": True,
        },
    ),
)


def upgrade_config(config: Mapping[str, Any], source: str) -> tuple[dict[str, Any], str]:
    """Give a configuration of Detectron2's PointRend project the names of this package.

    Args:
        config: a YAML file's content, with that of its bases; not changed.
        source: the file's name, for messages.

    Returns:
        What means the same here, and a line that says what was changed, empty for other files.

    Raises:
        ValueError: it asks for what there is no counterpart of, or contradicts itself.
    """
    old = dict(leaves(config))
    renamed = {key: ours for (key, theirs), ours in VALUES.items() if old.get(key) == theirs}
    tasks = [task for task in TASKS if task.head in renamed]
    moved = {task.node: _moved_keys(old, task) for task in tasks}
    problem = next(_problems(old, tasks, moved), None)
    if problem:
        raise ValueError(f"{source}: {problem}.")
    if not tasks:
        return dict(config), ""
    gone = [key for key in old if key in (IS_ON, THEIRS) or key.startswith(f"{THEIRS}.")]
    new: dict[str, Any] = {}
    for task in tasks:
        new.update({f"{task.node}.{name}": value for name, value in task.defaults.items()})
        new.update(moved[task.node])
    # What the file states under our names wins over what it leaves to their defaults.
    new.update((key, value) for key, value in old.items() if key not in gone)
    new.update(renamed)
    if old.get(f"{MASK_HEAD}.NAME") == IMPLICIT_POINTS:
        new["INPUT.POINT_SUP"] = True  # that head reads nothing else
    if old.get(f"{MASK_HEAD}.NAME") == "CoarseMaskHead":
        new[f"{MASK_HEAD}.POOLER_TYPE"] = ""  # their region heads did so by themselves
    changes = [f"{old[key]} -> {value}" for key, value in renamed.items()]
    changes += [f"{THEIRS} -> {task.node}" for task in tasks if gone]
    note = f"{source} is of Detectron2's PointRend project and was read as: {', '.join(changes)}"
    dropped = [key for key in NOT_NEEDED if key in old]
    if dropped:
        note += f"; not needed: {', '.join(dropped)}"
    return _nested(new), f"{note}."


def _moved_keys(old: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """Return their keys of the point head under the names of one of our nodes."""
    moved = {
        key.replace(THEIRS, task.node): value
        for key, value in old.items()
        if key.startswith(f"{THEIRS}.") and key not in (*NOT_NEEDED, COARSE_NAME)
    }
    if COARSE_NAME in old and "COARSE_HEAD_NAME" in task.defaults:
        moved[f"{task.node}.COARSE_HEAD_NAME"] = old[COARSE_NAME]
    return moved


def _is_implicit(old: Mapping[str, Any]) -> bool:
    return old.get(f"{MASK_HEAD}.NAME") in (IMPLICIT, IMPLICIT_POINTS)


def _problems(
    old: Mapping[str, Any], tasks: list[Task], moved: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """Yield what has no counterpart, and what contradicts itself."""
    if _is_implicit(old) and old.get(f"{THEIRS}.NAME") != "ImplicitPointHead":
        yield (
            f"Implicit PointRend ({MASK_HEAD}.NAME {old[f'{MASK_HEAD}.NAME']}) needs {THEIRS}.NAME "
            "ImplicitPointHead: set it, or use PointRendROIMaskHead"
        )
    for task in tasks:
        has_switch = task.head == f"{MASK_HEAD}.NAME" and not _is_implicit(old)
        if has_switch and old.get(IS_ON, False) is not True:
            yield (
                f"{IS_ON} is {old.get(IS_ON, 'not set, which means False')}: only the coarse mask "
                "would be trained, and Detectron2 could not predict with it. Set it True, or train "
                f"Mask R-CNN ({MASK_HEAD}.NAME MaskRCNNConvUpsampleHead)"
            )
        key, default = task.classes
        real = old.get(key, default)
        stated = old.get(f"{THEIRS}.NUM_CLASSES", real)
        if stated != real:
            yield (
                f"{THEIRS}.NUM_CLASSES is {stated}, but {key} is {real}. Set both to the number of "
                f"classes, or remove {THEIRS} and state {key} alone with the keys of {task.node}"
            )
        if old.get(f"{THEIRS}.CLS_AGNOSTIC_MASK", False) is not False:
            yield (
                f"{THEIRS}.CLS_AGNOSTIC_MASK True refines one mask from coarse masks of every "
                "class, which is not supported. Remove it, or for instances set "
                f"{MASK_HEAD}.CLS_AGNOSTIC_MASK True, which makes the coarse mask so too"
            )
        for key, value in moved[task.node].items():
            if old.get(key, value) != value:
                yield (
                    f"{key} is {old[key]}, but {THEIRS}.{key.rsplit('.', 1)[1]}, which means the "
                    f"same, is {value}. Remove one of the two"
                )


def _nested(leaves: Mapping[str, Any]) -> dict[str, Any]:
    root: dict[str, Any] = {}
    for name, value in leaves.items():
        *path, leaf = name.split(".")
        node = root
        for key in path:
            node = node.setdefault(key, {})
        node[leaf] = value
    return root
