"""Which predictor answers, and for how many regions at a time: the rules, in one place."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeGuard

import torch
from torch import Tensor, nn

from pointrend_ext.layers import runs_cpu_form, sample_region_features
from pointrend_ext.layers.fast import linear
from pointrend_ext.modeling.point_head.fast import (
    FineTables,
    MapRowPredictor,
    PlaneRegionPredictor,
    ProjectedRegionPredictor,
    SplitPointLayers,
)
from pointrend_ext.modeling.point_head.map_predictor import MapInputs, MapPointPredictor
from pointrend_ext.modeling.point_head.region_inputs import ImplicitInputs, RegionInputs, Regions
from pointrend_ext.modeling.point_head.region_predictor import (
    ImplicitPointPredictor,
    RegionPointPredictor,
)
from pointrend_ext.modeling.point_head.standard import StandardPointHead

PointPredictor = Callable[[Tensor], Tensor]
"""(R, P, 2) points in [0, 1] of boxes or maps -> (R, K, P) logits."""

POINTS_PER_CHUNK = {"cpu": 4 * 784, "cuda": 128 * 784}
"""Points evaluated at once, at most: on a CPU what stays in its cache, on a GPU what fills it if
its memory allows (``_points_per_chunk``)."""

_MEMORY_SHARE, _ROWS_AT_ONCE = 0.25, 4
"""Share of a GPU's free memory for the points of a chunk, and copies of their rows that live at
once: inputs of a layer, its outputs, and as much again for the taps of a sample."""

PROJECT_TRAINING_CLASSES = 400
"""Coarse channels from which a training step gains from projecting the coarse cells: 196 points
per region hardly outnumber 49 cells, so the gain has to come from the number of classes."""


def training_predictor(point_head: nn.Module, inputs: Regions) -> PointPredictor:
    """Build the differentiable predictor of all regions."""
    if not (
        isinstance(inputs, RegionInputs)
        and can_project(point_head)
        and inputs.coarse_logits.shape[1] >= PROJECT_TRAINING_CLASSES
    ):
        return _plain_predictor(point_head, inputs)
    layers = SplitPointLayers.of(point_head, [x.shape[1] for x in inputs.features])

    def first_layer(coords_box: Tensor) -> Tensor:
        fine = sample_region_features(
            inputs.features, inputs.strides, inputs.boxes_px, coords_box
        )  # (R, F, P)
        weight = point_head.hidden_layers[0].weight[:, : fine.shape[1], 0]
        return linear(fine.transpose(1, 2).flatten(0, 1), weight, layers.biases[0])

    return ProjectedRegionPredictor(layers, first_layer, inputs.coarse_logits, inputs.classes)


def inference_predictors(
    point_head: nn.Module, inputs: Regions, *, points_per_step: int, points_per_region: int
) -> Iterator[tuple[Sequence[int], PointPredictor]]:
    """Go through all regions in chunks of bounded memory.

    Args:
        point_head: see ``POINT_HEAD_REGISTRY``.
        inputs: R regions; without gradient.
        points_per_step: points per region that are asked for at once, at most.
        points_per_region: points per region in all.

    Yields:
        The numbers of a chunk's regions, ascending, a ``range`` but on CPUs, and their predictor.
    """
    size = max(_points_per_chunk(inputs) // points_per_step, 1)
    regions: Sequence[int]
    if (
        isinstance(inputs, RegionInputs)
        and can_project(point_head)
        and runs_cpu_form(inputs.classes.device)
    ):
        layers = SplitPointLayers.of(point_head, [x.shape[1] for x in inputs.features])
        tables = FineTables(layers, inputs, points_per_region)
        for regions in tables.chunks(size):
            chunk = inputs.select(regions)
            yield (
                regions,
                ProjectedRegionPredictor(
                    layers, tables.first_layer(regions), chunk.coarse_logits, chunk.classes
                ),
            )
        return
    for first in range(0, len(inputs), size):
        regions = range(first, min(first + size, len(inputs)))
        part = inputs if len(regions) == len(inputs) else inputs.select(regions)
        yield regions, predictor_of_planes(point_head, part)


def predictor_of_planes(point_head: nn.Module, inputs: Regions) -> PointPredictor:
    """Build the predictor, without gradient, of any number of regions at once."""
    if not (isinstance(inputs, RegionInputs) and can_project(point_head)):
        return _plain_predictor(point_head, inputs)
    layers = SplitPointLayers.of(point_head, [x.shape[1] for x in inputs.features])
    return PlaneRegionPredictor(layers, inputs)


def _plain_predictor(point_head: nn.Module, inputs: Regions) -> PointPredictor:
    if isinstance(inputs, ImplicitInputs):
        return ImplicitPointPredictor(point_head, inputs)
    assert isinstance(inputs, RegionInputs)
    return RegionPointPredictor(point_head, inputs)


def _points_per_chunk(inputs: Regions) -> int:
    """Return how many points fit: with 1203 classes a row is 5 times as long as with 80."""
    device = inputs.classes.device
    if runs_cpu_form(device):
        return POINTS_PER_CHUNK["cpu"]
    if device.type != "cuda":
        return POINTS_PER_CHUNK["cuda"]
    # What PyTorch keeps for itself is free for us, and unknown to the driver.
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    free_bytes = torch.cuda.mem_get_info(device)[0] + kept
    fitting = int(free_bytes * _MEMORY_SHARE) // (4 * _ROWS_AT_ONCE * inputs.point_channels)
    return min(fitting, POINTS_PER_CHUNK["cuda"])


def map_inference_predictor(point_head: nn.Module, inputs: MapInputs) -> PointPredictor:
    """Build the predictor of whole images, without gradient: (N, P, 2) -> (N, C, P)."""
    if not can_project(point_head):
        return MapPointPredictor(point_head, inputs)
    layers = SplitPointLayers.of(point_head, [x.shape[1] for x in inputs.features])
    return MapRowPredictor(layers, inputs)


def can_project(point_head: nn.Module) -> TypeGuard[StandardPointHead]:
    """Tell whether the algebra of a point head may be rearranged: a subclass may have another."""
    return type(point_head) is StandardPointHead
