"""The methods of a prediction that write it in the formats of other tools; docs/results.md."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pointrend_ext.inference.exports import Outlined


class ToTools:
    """What ``Prediction``, which ``self`` is, has of ``inference.exports``.

    ``boundary_iou`` is that of each outline with its mask, at least: 1 keeps all corners.
    """

    def outlines(self: Any, boundary_iou: float = 0.95) -> "list[Outlined]":
        """Return the instances as outlines of few corners; those without a pixel are left out.

        Raises:
            ValueError: the number is not above 0 and at most 1, or the model is semantic.
        """
        check_has_instances(self)
        check_boundary_iou(boundary_iou)
        found = _exports().outlined(self.objects, self.class_names, self.size_hw, boundary_iou)
        return list(found)

    def to_yolo(self: Any, boundary_iou: float = 0.95) -> str:
        """Return lines of YOLO's segmentation labels; see ``outlines``."""
        return _exports().yolo_lines(self.outlines(boundary_iou), self.size_hw)

    def to_labelme(self: Any, boundary_iou: float = 0.95) -> dict[str, Any]:
        """Return the content of labelme's file beside the picture; see ``outlines``."""
        image = os.path.basename(self.name)
        return _exports().labelme_file(self.outlines(boundary_iou), self.size_hw, image)

    def to_geojson(self: Any, boundary_iou: float = 0.95) -> dict[str, Any]:
        """Return a GeoJSON FeatureCollection in pixels; see ``outlines``."""
        return _exports().geojson(self.outlines(boundary_iou))

    def to_supervision(self: Any) -> Any:
        """Return ``supervision.Detections``, masks as run lengths.

        Raises:
            ImportError: supervision is not installed, or too old.
            ValueError: the model is semantic.
        """
        check_has_instances(self)
        return _exports().supervision_detections(self.objects, self.class_names, self.size_hw)


def check_has_instances(prediction: Any) -> None:
    """Raise ValueError for a prediction of pixels alone, which is not one without objects."""
    if prediction.boxes is None:
        raise ValueError("The prediction of a semantic model has no instances: use its label_map.")


def check_boundary_iou(value: float) -> None:
    """Raise ValueError for a number that no outline can have."""
    if not 0 < value <= 1:
        raise ValueError(
            f"The boundary IoU of outlines with masks is {value:g}, not above 0 and at most 1: "
            "0.95 is usual, and 1 keeps all corners."
        )


def _exports() -> Any:
    """Import what needs OpenCV and pycocotools, which a prediction itself does not."""
    try:
        return import_module("pointrend_ext.inference.exports")
    except ModuleNotFoundError as error:
        raise ImportError(
            f"Outlines for other tools need {error.name}, which the runtime without torch does not "
            "bring along: pip install pointrend-ext."
        ) from error
