"""What an exported file says of itself, read and checked before it predicts anything."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pointrend_ext.data.rgb import ImageRules
from pointrend_ext.inference.panoptic_segments import PanopticRules
from pointrend_ext.structures.classes import Classes

KEY = "pointrend_ext"
"""Under it a file holds its description: one JSON object."""

FORMAT_VERSION = 1
"""Rises when readers of an older version would misunderstand a file."""

_OBJECTS = {"boxes": 2, "scores": 1, "classes": 1, "masks": 4}
_PIXELS = {"labels": {"labels": 2}, "logits": {"logits": 3}}
_OUTPUTS = {
    ("instances", "masks"): _OBJECTS,
    **{("semantic", output): own for output, own in _PIXELS.items()},
    **{("panoptic", output): {**_OBJECTS, **own} for output, own in _PIXELS.items()},
}
"""What a file puts out, by task and kind: numbers of dimensions by names."""


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
        num_labels: that a label map may have; 0 of instances alone.
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
    num_labels: int
    min_score: float
    panoptic_rules: PanopticRules | None

    @classmethod
    def read(cls, path: str, metadata: Mapping[str, str], dims: Mapping[str, int]) -> "ModelFile":
        """Check a file.

        Args:
            path: for messages.
            metadata: ``metadata_props`` of the ONNX file.
            dims: numbers of dimensions of its inputs and outputs, by their names.

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
            version, exporter = content["format"], dict(content.get("versions") or {})
            file = cls._of(content) if version == FORMAT_VERSION else None
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path}: its description under {KEY!r} is damaged ({type(error).__name__}: "
                f"{error}). Export the model again."
            ) from error
        if file is None:
            raise ValueError(
                f"{path} has the format {version!r}, and this version of the runtime reads "
                f"{FORMAT_VERSION}. Export the model again, or install the runtime that belongs to "
                f"the exporter (pointrend_ext {exporter.get('pointrend_ext', '?')})."
            )
        file._check(path, dims)
        return file

    @classmethod
    def _of(cls, content: dict[str, Any]) -> "ModelFile":
        shown, thresholds, task = content["input"], content["thresholds"], str(content["task"])
        names, stuff = (tuple(content.get(key) or ()) for key in ("classes", "stuff_classes"))
        colors = tuple((int(r), int(g), int(b)) for r, g, b in content.get("colors") or ())
        ids = tuple(int(number) for number in content["class_ids"] or ())
        if not all(isinstance(name, str) for name in (*names, *stuff)) or (
            ids and len(ids) != len(names)
        ):
            raise TypeError(f"the names of classes are {names!r:.60}, their ids {ids!r:.60}")
        things, stuff = ((), names) if task == "semantic" else (names, stuff)
        rules = dict(thresholds["panoptic"]) if task == "panoptic" else {}
        return cls(
            task=task,
            output=str(content["output"]),
            min_size=int(_number(shown["min_size"])),
            max_size=int(_number(shown["max_size"])),
            image_format=str(shown["format"]),
            image_rules=ImageRules(
                **{key: int(shown[key]) for key in vars(ImageRules()) if key in shown}
            ),
            batch_size=int(shown.get("batch_size", 1)),
            classes=Classes(things, stuff, stuff_colors=colors, thing_ids=ids),
            num_labels=int(_number(content.get("num_labels", len(stuff)))),
            min_score=_number(thresholds.get("score", 0.0)),
            panoptic_rules=PanopticRules(**{key: _number(x) for key, x in rules.items()})
            if task == "panoptic"
            else None,
        )

    def _check(self, path: str, dims: Mapping[str, int]) -> None:
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
        for name, number in {"image": 3, **outputs}.items():
            if dims.get(name) != number:
                kind = "input" if name == "image" else "output"
                raise ValueError(
                    f"{path} says that it puts out {self.output}, but has no {kind} {name!r} of "
                    f"{number} dimensions (dimensions: {dict(dims)}): it was changed after the "
                    "export. Export the model again."
                )


def _number(value: Any) -> float:
    if not 0 <= float(value) < float("inf"):  # False of what is not a number, too
        raise ValueError(f"a size or threshold is {value}")
    return float(value)
