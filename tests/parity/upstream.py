"""Upstream beside ours: the models with equal weights, and what both are put through."""

import contextlib
from collections.abc import Iterator, Sequence
from unittest import mock

import numpy as np
import pytest
import torch
from detectron2.config import get_cfg
from detectron2.layers import batched_nms
from detectron2.modeling import build_model
from detectron2.modeling.proposal_generator import proposal_utils
from detectron2.projects import point_rend
from detectron2.projects.point_rend import point_features, semantic_seg
from detectron2.utils.events import EventStorage
from torch import nn

from pointrend_ext.engine import load_cfg
from pointrend_ext.model_zoo import get_config_file

Pair = tuple[nn.Module, nn.Module]
"""Ours and upstream's, with equal weights."""


def upstream_model(config: str, options: list) -> nn.Module:
    """Build upstream's PointRend on one of our base configurations."""
    cfg = get_cfg()
    point_rend.add_pointrend_config(cfg)
    cfg.merge_from_file(get_config_file(config), allow_unsafe=True)
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", *options])
    return build_model(cfg)


def upstream_semantic_model(config: str, num_classes: int, options: Sequence = ()) -> nn.Module:
    """Build upstream's semantic model as its published Cityscapes configuration has it."""
    published = {
        "SEM_SEG_HEAD.NAME": "PointRendSemSegHead",
        "SEM_SEG_HEAD.NUM_CLASSES": num_classes,
        "POINT_HEAD.NUM_CLASSES": num_classes,
        "POINT_HEAD.SUBDIVISION_STEPS": 2,
        "POINT_HEAD.SUBDIVISION_NUM_POINTS": 8192,
        "POINT_HEAD.COARSE_PRED_EACH_LAYER": False,
    }
    return upstream_model(config, [*below_model(published), *options])


def below_model(values: dict) -> list:
    """Keys and values in a row, each key below MODEL."""
    return [x for key, value in values.items() for x in (f"MODEL.{key}", value)]


def with_equal_weights(ours: nn.Module, upstream: nn.Module) -> Pair:
    """Load each model strictly from the other."""
    ours.load_state_dict(upstream.state_dict(), strict=True)
    upstream.load_state_dict(ours.state_dict(), strict=True)
    return ours.eval(), upstream.eval()


@torch.no_grad()
def shrink_residuals(model: nn.Module) -> None:
    """Keep activations of a random ResNet from growing by powers of two per block.

    A frozen batch norm lets them, with a mean far larger than their variation: rounding would show
    in the masks as in no trained model.
    """
    for block in (m for m in model.modules() if hasattr(m, "conv3")):
        block.conv3.norm.weight.fill_(0.3)


@torch.no_grad()
def calibrate(model: nn.Module, inputs: list[dict], layers: dict[nn.Module, float]) -> None:
    """Scale random weights until activations and logits are of the size a trained model has.

    The published initialisation starts logits near 0.01. ``layers`` says the standard deviation
    that each is to answer with. The model is left in inference.
    """
    shrink_residuals(model)
    model.eval()
    for layer, std in layers.items():
        outputs = []
        handle = layer.register_forward_hook(lambda _m, _i, out, seen=outputs: seen.append(out))
        model(inputs)
        handle.remove()
        per_unit = outputs[0].transpose(0, 1).flatten(1)  # (units, regions x points)
        scale = std / per_unit.std(1)
        layer.weight.mul_(scale.view(-1, *[1] * (layer.weight.dim() - 1)))
        layer.bias.sub_(per_unit.mean(1)).mul_(scale)


def as_input(image: np.ndarray, **targets) -> dict:
    """Turn an (H, W, 3) image into an input of a model."""
    return {"image": torch.as_tensor(np.ascontiguousarray(image.transpose(2, 0, 1))), **targets}


class Recorder:
    """Wraps the choice of cells of one implementation and keeps what it saw and chose."""

    def __init__(self, module):
        self.original = module.get_uncertain_point_coords_on_grid
        self.steps = []  # (scores (N, 1, H, W), cells (N, P) ascending)
        self.patch = mock.patch.object(module, "get_uncertain_point_coords_on_grid", self)

    def __call__(self, scores, num_points):
        cells, coords = self.original(scores, num_points)
        self.steps.append((scores.clone(), cells.sort(1).values))
        return cells, coords


@contextlib.contextmanager
def float64() -> Iterator[None]:
    """Whole models in float64, which upstream supports but for calls that mix types.

    Detectron2 keeps boxes in float32, and upstream's PointRend reads label masks in float32.
    """
    upstream_point_sample = point_features.point_sample

    def batched_nms_of_one_type(boxes, scores, idxs, iou_threshold):
        return batched_nms(boxes, scores.to(boxes.dtype), idxs, iou_threshold)

    def point_sample_of_one_type(features, coords, **kwargs):
        return upstream_point_sample(features.to(coords.dtype), coords, **kwargs)

    torch.set_default_dtype(torch.float64)
    with (
        mock.patch.object(proposal_utils, "batched_nms", batched_nms_of_one_type),
        mock.patch.object(point_features, "point_sample", point_sample_of_one_type),
        mock.patch.object(semantic_seg, "point_sample", point_sample_of_one_type),
    ):
        yield
    torch.set_default_dtype(torch.float32)


def losses_and_gradients(model: nn.Module, inputs: list[dict]) -> tuple[dict, dict]:
    model.train()
    model.zero_grad()
    torch.manual_seed(11)
    with EventStorage():
        losses = model(inputs)
    sum(losses.values()).backward()
    gradients = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    return {name: loss.item() for name, loss in losses.items()}, gradients


def check_training(pair: Pair, inputs: list[dict], tolerance: float) -> tuple[dict, dict]:
    """Compare losses and gradients, in float64; return upstream's.

    The tolerance is that of a gradient, relative to the parameter's largest.
    """
    with float64():
        (got, got_gradients), (want, want_gradients) = (
            losses_and_gradients(model.double(), inputs) for model in pair
        )
    for model in pair:
        model.float()  # exact: no step was taken
        model.eval()
    assert got == pytest.approx(want, rel=1e-6, abs=0)
    assert list(got_gradients) == list(want_gradients)
    errors = {
        name: ((got_gradients[name] - x).abs().max() / x.abs().max().clamp(min=1e-30)).item()
        for name, x in want_gradients.items()
    }
    assert {name: e for name, e in errors.items() if not e < tolerance} == {}  # NaN is none
    print(
        f"largest gradient error, relative to its parameter's largest: {max(errors.values()):.1e}"
    )
    return want, want_gradients


def check_initialisation(
    upstream: nn.Module, config: str, options: dict, seed: int, calibrated: Sequence[str]
) -> None:
    """Compare our random weights with upstream's of the same seed, but for calibrated layers."""
    torch.manual_seed(seed)
    state = build_model(load_cfg(config, below_model({"DEVICE": "cpu", **options}))).state_dict()
    for name, tensor in upstream.state_dict().items():
        if not any(layer in name for layer in (*calibrated, "conv3.norm.weight")):
            assert torch.equal(state[name], tensor), name
