"""A configuration for a data set of one's own, by rules that docs/own_data.md states.

Learning rate and batch scale together (Goyal et al., "Accurate, Large Minibatch SGD", 2017). What
is chosen is written with its reason, so that a user can choose otherwise.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import yaml

from pointrend_ext.data.formats import Described
from pointrend_ext.engine.config_file import load_cfg
from pointrend_ext.model_zoo import SHIPPED, get_checkpoint_url

_GIB_PER_IMAGE = 3.0  # of a GPU, while a picture of 800 pixels is trained on
_USUAL_SIDE = 800  # COCO's pictures, mostly 480 pixels, are trained on at that
_CPU_SIDE = 320
_CPU_SHARE = 0.1
_PASSES, _ENOUGH_IMAGES, _FEWEST_PASSES, _FEWEST_IMAGES = 50, 50_000, 12, 2_000
_IMAGENET = "detectron2://ImageNetPretrained/MSRA/R-50.pkl"
_DOWNLOADED = (
    "downloaded at the start; without a network, get the file elsewhere: MODEL.WEIGHTS FILE"
)
_COCO = "COCO-InstanceSegmentation/pointrend_rcnn_R_50_FPN_3x_coco.yaml"
_CITIES = "Cityscapes-SemanticSegmentation/pointrend_semantic_R_101_FPN_1x_cityscapes.yaml"
_CAMVID = "CamVid-SemanticSegmentation/pointrend_semantic_R_50_FPN_camvid.yaml"  # no weights


class Machine(NamedTuple):
    """The device, as Detectron2 calls it, and its memory in GiB."""

    device: str
    memory_gib: float

    @classmethod
    def here(cls) -> "Machine":
        """Return the first GPU, or the CPU."""
        if not torch.cuda.is_available():
            return cls("cpu", 0.0)
        return cls("cuda", torch.cuda.get_device_properties(0).total_memory / 2**30)


@dataclass(frozen=True)
class Recipe:
    """Values of configuration keys, and why.

    Attributes:
        base: name of the configuration that they change.
        values: by key.
        reasons: by key, for those that were chosen.
    """

    base: str
    values: dict[str, Any]
    reasons: dict[str, str]

    def lines(self) -> list[str]:
        """Return what was chosen, and why."""
        return [f"{key} {self.values[key]}: {reason}" for key, reason in self.reasons.items()]

    def write(self, file: Path) -> None:
        """Write a configuration for ``tools/train_net.py``."""
        nested: dict[str, Any] = {"_BASE_": f"{SHIPPED}{self.base}"}
        for key, value in self.values.items():
            *path, leaf = key.split(".")
            node = nested
            for part in path:
                node = node.setdefault(part, {})
            node[leaf] = str(value) if isinstance(value, tuple) else value
        comments = "".join(f"# {line}\n" for line in self.lines())
        file.write_text(comments + yaml.safe_dump(nested, sort_keys=False), encoding="utf-8")


def choose_recipe(
    described: Described, machine: Machine, *, name: str, weights: str | None = None
) -> Recipe:
    """Choose a configuration by the number and the size of the pictures, and by the machine.

    Args:
        described: of ``describe``.
        machine: that trains.
        name: of the data set.
        weights: to start from; by default those of the model zoo, or of ImageNet.

    Raises:
        ValueError: there is no split to train on.
    """
    splits = described.num_pictures
    if "train" not in splits:
        raise ValueError(
            f"The data have the splits {sorted(splits)}, but none to train on. Call one 'train'."
        )
    label_base = _CAMVID if machine.device == "cpu" else _CITIES
    base = _COCO if described.task == "instance" else label_base
    cfg, is_whole = load_cfg(base), base != _CAMVID
    why = "as given"
    if weights is None:
        weights = get_checkpoint_url(base) if is_whole else _IMAGENET
        why = f"{'released for the base' if is_whole else 'of ImageNet'}; {_DOWNLOADED}"
    values, reasons = {}, {}
    for key, value, reason in (
        ("MODEL.WEIGHTS", weights, why),
        *_sizes(described, machine),
        *_schedule(described, machine, cfg.SOLVER.BASE_LR / cfg.SOLVER.IMS_PER_BATCH, is_whole),
    ):
        values[key] = value
        if reason:
            reasons[key] = reason
    node = "ROI_HEADS" if described.task == "instance" else "SEM_SEG_HEAD"
    tested = "val" if "val" in splits else "test" if "test" in splits else ""
    values |= {
        f"MODEL.{node}.NUM_CLASSES": len(described.classes),
        "MODEL.DEVICE": machine.device,
        "DATASETS.DESCRIPTIONS": (str(described.file),),
        "DATASETS.TRAIN": (f"{name}_train",),
        "DATASETS.TEST": (f"{name}_{tested}",) if tested else (),
        "OUTPUT_DIR": f"output/{name}",
    }
    if described.ignore_label is not None:
        values["MODEL.SEM_SEG_HEAD.IGNORE_VALUE"] = described.ignore_label
    return Recipe(base, values, reasons)


_Choice = tuple[str, Any, str]


def _sizes(described: Described, machine: Machine) -> Iterator[_Choice]:
    side = _side(described, machine)
    reason = f"short edges, for pictures of {described.short_edge} pixels (the median)"
    if described.task == "instance":
        smallest = _whole(side * 0.8)
        yield "INPUT.MIN_SIZE_TRAIN", tuple(range(smallest, side + 1, 32)), reason
        longest = round(side * 1333 / _USUAL_SIDE)
    else:
        sides = tuple(sorted({_whole(side * factor) for factor in (0.5, 0.75, 1, 1.25, 1.5, 2)}))
        yield "INPUT.MIN_SIZE_TRAIN", sides, f"{reason}, scaled by 0.5 to 2"
        crop = min(side, 512 if machine.device != "cpu" else 256)
        yield "INPUT.CROP.SIZE", [crop, crop], "a window of each picture, in pixels"
        longest = 4 * side
    yield "INPUT.MAX_SIZE_TRAIN", longest if described.task == "instance" else 2 * longest, ""
    yield "INPUT.MIN_SIZE_TEST", side, ""
    yield "INPUT.MAX_SIZE_TEST", longest, ""


def _side(described: Described, machine: Machine) -> int:
    """Return the short edge that the network sees, a multiple of 32."""
    is_instance = described.task == "instance"
    largest, enlarged = (_USUAL_SIDE, _USUAL_SIDE / 480) if is_instance else (1024, 1.0)
    most = largest if machine.device != "cpu" else _CPU_SIDE
    return max(64, min(_whole(described.short_edge * enlarged), most))


def _whole(side: float) -> int:
    return max(32, round(side / 32) * 32)


def _schedule(
    described: Described, machine: Machine, rate_per_image: float, is_whole: bool
) -> Iterator[_Choice]:
    number, side = described.num_pictures["train"], _side(described, machine)
    if machine.device == "cpu":
        batch, reason = 2, "on a CPU"
    else:
        if described.task == "semantic":
            side = min(side, 512)
        room = machine.memory_gib / (_GIB_PER_IMAGE * (side / _USUAL_SIDE) ** 2)
        batch = max(1, min(int(room), 16))
        reason = f"a GPU of {machine.memory_gib:.0f} GiB"
    yield "SOLVER.IMS_PER_BATCH", batch, reason
    factor = 0.5 if is_whole else 1.0
    why = "half of that of the base for this batch: weights are trained" if is_whole else "base's"
    yield "SOLVER.BASE_LR", float(f"{rate_per_image * batch * factor:.3g}"), why
    images = max(min(_PASSES * number, _ENOUGH_IMAGES), _FEWEST_PASSES * number, _FEWEST_IMAGES)
    share = _CPU_SHARE if machine.device == "cpu" else 1.0
    iterations = max(round(images * share / batch), 1)
    reason = f"{iterations * batch / number:.0f} passes over {number} pictures"
    yield "SOLVER.MAX_ITER", iterations, reason + (", a tenth, on a CPU" if share < 1 else "")
    yield "SOLVER.LR_SCHEDULER_NAME", "WarmupCosineLR", ""
    yield "SOLVER.STEPS", (), ""
    yield "SOLVER.WARMUP_ITERS", min(1000, iterations // 10), ""
    yield "SOLVER.CLIP_GRADIENTS.ENABLED", True, ""
    yield "SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "norm", ""
    yield "SOLVER.CHECKPOINT_PERIOD", max(iterations // 10, 1), ""
    yield "TEST.EVAL_PERIOD", max(iterations // 5, 1), ""
