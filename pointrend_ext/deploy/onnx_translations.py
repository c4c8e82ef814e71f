"""How operators are said in ONNX that PyTorch's exporter does not know, or not exactly enough."""

from collections.abc import Callable
from typing import Any

import torch

# each registers an operator
from pointrend_ext.deploy.nms import nms  # noqa: F401
from pointrend_ext.deploy.windows import cut_map  # noqa: F401


def translations() -> dict[Any, Callable[..., Any]]:
    """Return the table that ``torch.onnx.export`` takes; onnxscript is imported for it."""
    from onnxscript import opset18 as op

    def onnx_nms(boxes: Any, scores: Any, iou: float, min_score: float, limit: int) -> Any:
        constants = (
            op.Constant(value_ints=[limit]),
            op.Constant(value_floats=[iou]),
            op.Constant(value_floats=[min_score]),
        )
        groups = op.Unsqueeze(scores, op.Constant(value_ints=[1]))  # one class each: (G, 1, N)
        kept = op.NonMaxSuppression(boxes, groups, *constants)  # (K, 3): group, class, number
        rows = op.Gather(kept, op.Constant(value_ints=[0, 2]), axis=1)
        own = op.GatherND(scores, rows)  # (K,)
        _, best = op.TopK(own, op.Min(op.Shape(own), constants[0]))
        return op.Gather(rows, best, axis=0)

    def onnx_roi_align(
        maps: Any,
        rois: Any,
        spatial_scale: float,
        pooled_height: int,
        pooled_width: int,
        sampling_ratio: int,
        aligned: bool,
    ) -> Any:
        return op.RoiAlign(
            maps,
            op.Gather(rois, op.Constant(value_ints=[1, 2, 3, 4]), axis=1),
            op.Cast(op.Gather(rois, op.Constant(value_int=0), axis=1), to=_INT64),
            coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
            output_height=pooled_height,
            output_width=pooled_width,
            sampling_ratio=max(sampling_ratio, 0),
            spatial_scale=spatial_scale,
        )

    def onnx_cut_map(feature: Any, window: Any) -> Any:
        first, sides = op.Split(window, num_outputs=2)
        axes = op.Constant(value_ints=[3, 2])
        return op.Slice(feature, first, op.Add(first, sides), axes)

    return {
        torch.ops.pointrend_ext.cut_map.default: onnx_cut_map,
        torch.ops.pointrend_ext.nms.default: onnx_nms,
        torch.ops.torchvision.roi_align.default: onnx_roi_align,
    }


_INT64 = 7  # onnx.TensorProto.INT64
