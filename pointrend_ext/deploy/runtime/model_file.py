"""What an exported file says of itself, read and checked before it predicts anything."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pointrend_ext.data.rgb import ImageRules
from pointrend_ext.inference.panoptic_segments import PanopticRules
from pointrend_ext.structures.classes import Classes

KEY = "pointrend_ext"
"""Under it a file holds its description: one JSON object."""

FORMAT_VERSION = 1
"""Rises when readers of an older version would misunderstand a file."""

_OBJECTS = ("boxes", "scores", "classes", "masks")
_OUTPUTS = {
    ("semantic", "labels"): ("labels",),
    ("semantic", "logits"): ("logits",),
    ("instances", "masks"): _OBJECTS,
    ("panoptic", "labels"): (*_OBJECTS, "labels"),
    ("panoptic", "logits"): (*_OBJECTS, "logits"),
}


@dataclass(frozen=True)
class ModelFile:
    """The description of a file.

    Attributes:
        task: "semantic", "instances" or "panoptic".
        output: "labels", "logits" or "masks".
        min_size: ``INPUT.MIN_SIZE_TEST``, pixels of the shorter side; 0 leaves images as they are.
        max_size: ``INPUT.MAX_SIZE_TEST``, most pixels of the longer side.
        image_format: "BGR" or "RGB".
        image_rules: how files of images are read.
        batch_size: images of one call, 1.
        classes: what the classes are called.
        min_score: instances of lower scores are not in the output.
        panoptic_rules: how a panoptic model combines its halves; of others None.
    """

    task: str
    output: str
    min_size: int
    max_size: int
    image_format: str
    image_rules: ImageRules
    batch_size: int
    classes: Classes
    min_score: float
    panoptic_rules: PanopticRules | None

    @classmethod
    def read(cls, path: str, metadata: Mapping[str, str], names: set[str]) -> "ModelFile":
        """Check a file.

        Args:
            path: for messages.
            metadata: ``metadata_props`` of the ONNX file.
            names: of its outputs.

        Raises:
            ValueError: it is none of ours, of another format, or of a kind that is not run.
        """
        if KEY not in metadata:
            raise ValueError(
                f"{path} is an ONNX file, but not one that pointrend_ext has exported: it does not "
                f"say how images are to be resized. Write it with tools/export_model.py."
            )
        try:
            content = json.loads(metadata[KEY])
            version = content["format"]
            file = cls._of(content) if version == FORMAT_VERSION else None
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path}: its description under {KEY!r} is damaged ({type(error).__name__}: "
                f"{error}). Export the model again."
            ) from error
        if file is None:
            exporter = content.get("versions", {}).get("pointrend_ext", "?")
            raise ValueError(
                f"{path} has the format {version!r}, and this version of the runtime reads "
                f"{FORMAT_VERSION}. Export the model again, or install the runtime that belongs to "
                f"the exporter (pointrend_ext {exporter})."
            )
        file._check(path, names)
        return file

    @classmethod
    def _of(cls, content: dict[str, Any]) -> "ModelFile":
        shown, rules = content["input"], ImageRules()
        names, stuff = (_texts(content.get(key) or ()) for key in ("classes", "stuff_classes"))
        colors = tuple((int(r), int(g), int(b)) for r, g, b in content.get("colors") or ())
        ids = tuple(int(number) for number in content["class_ids"] or ())
        is_semantic = content["task"] == "semantic"
        thresholds = content["thresholds"]
        is_panoptic = content["task"] == "panoptic"
        rules_of = thresholds["panoptic"].items() if is_panoptic else ()
        combining = {name: float(value) for name, value in rules_of}
        return cls(
            task=content["task"],
            output=content["output"],
            min_size=int(shown["min_size"]),
            max_size=int(shown["max_size"]),
            image_format=shown["format"],
            image_rules=ImageRules(
                int(shown.get("max_megapixels", rules.max_megapixels)),
                int(shown.get("white_value", rules.white_value)),
            ),
            batch_size=int(shown.get("batch_size", 1)),
            classes=Classes(stuff=names, stuff_colors=colors)
            if is_semantic
            else Classes(names, stuff, stuff_colors=colors, thing_ids=ids),
            min_score=float(thresholds.get("score", 0.0)),
            panoptic_rules=PanopticRules(**combining) if is_panoptic else None,
        )

    def _check(self, path: str, names: set[str]) -> None:
        """Refuse what is not run."""
        outputs = _OUTPUTS.get((self.task, self.output))
        if outputs is None:
            raise ValueError(
                f"{path} holds {self.task!r} with the output {self.output!r}, which takes no "
                "images, or is not known to this version: export the whole model (--part model)."
            )
        if self.batch_size != 1:
            raise ValueError(
                f"{path} takes {self.batch_size} images of one size at once: export it with "
                "--batch-size 1."
            )
        if self.image_format not in ("BGR", "RGB"):
            raise ValueError(
                f"{path} takes images as {self.image_format!r} (INPUT.FORMAT); the runtime gives "
                "BGR or RGB. Run it with Predictor."
            )
        missing = [name for name in outputs if name not in names]
        if missing:
            raise ValueError(
                f"{path} says that it puts out {self.output}, but has no output {missing[0]!r} (it "
                f"has {sorted(names)}): it was changed after the export. Export the model again."
            )


def _texts(values: Sequence[Any]) -> tuple[str, ...]:
    if not all(isinstance(value, str) for value in values):
        raise TypeError(f"the names of classes are {list(values)!r:.60}")
    return tuple(values)
