"""The semantic head: upstream's and ours on equal weights and coarse logits."""

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from detectron2.config import CfgNode, get_cfg
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model, build_sem_seg_head
from detectron2.projects.point_rend.semantic_seg import PointRendSemSegHead
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.case import Case, Forms
from benchmarks.command import main
from benchmarks.models import model_input
from pointrend_ext.config import add_pointrend_config
from pointrend_ext.engine import build_checkpointer, load_cfg

__all__ = ["CASES", "add_arguments", "build", "cases", "smooth"]

STEPS = 2
SIZES = {19: (1024, 2048), 54: (800, 1344), 150: (512, 704)}


class _GivenLogits(nn.Module):
    """A coarse head that has its answer already."""

    common_stride, ignore_value = 4, 255

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = logits

    def layers(self, _features: Mapping[str, Tensor]) -> Tensor:
        return self.logits


class _UpstreamHead(PointRendSemSegHead):
    """Upstream's head around the modules of ours."""

    def __init__(self, ours: nn.Module, num_points: int) -> None:
        nn.Module.__init__(self)
        self.coarse_sem_seg_head, self.point_head = ours.coarse_sem_seg_head, ours.point_head
        self.in_features = ["p2"]
        self.subdivision_steps, self.subdivision_num_points = STEPS, num_points


def _noise(num_classes: int, size_hw: tuple[int, int]) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(1, num_classes, *size_hw, generator=generator)


def smooth(num_classes: int, size_hw: tuple[int, int]) -> Tensor:
    """Draw 60 objects (Voronoi cells), blurred: large inside, small along outlines, and noise."""
    generator = torch.Generator().manual_seed(0)
    sites = torch.rand(60, 2, generator=generator) * torch.tensor(size_hw)
    classes = torch.randint(0, num_classes, (60,), generator=generator)
    rows, columns = torch.meshgrid(*map(torch.arange, size_hw), indexing="ij")
    nearest = torch.cdist(torch.stack((rows, columns), -1).flatten(0, 1).float(), sites).argmin(1)
    one_hot = F.one_hot(classes[nearest], num_classes).T.reshape(1, num_classes, *size_hw).float()
    blurred = F.avg_pool2d(one_hot, 5, stride=1, padding=2, count_include_pad=False)
    return 8 * blurred + 0.3 * torch.randn(blurred.shape, generator=generator)


def build(
    device: str,
    *,
    num_classes: int,
    draw: Callable[..., Tensor],
    as_labels: bool,
    size_px: tuple[int, int] | None = None,
) -> Forms:
    """Build both heads on logits that are drawn, for an image of ``size_px`` (rows, columns)."""
    size_hw = tuple(side // 4 for side in size_px or SIZES[num_classes])
    cfg = get_cfg()
    add_pointrend_config(cfg)
    cfg.MODEL.SEM_SEG_HEAD.NAME = "PointRendSemanticHead"
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = num_classes
    cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES = ["p2"]
    torch.manual_seed(0)
    head = build_sem_seg_head(cfg, {"p2": ShapeSpec(channels=256, stride=4)})
    with torch.no_grad():
        head.point_head.predictor.weight.mul_(100)  # logits of a few units
    feature = torch.randn(1, 256, *size_hw)
    head.coarse_sem_seg_head = _GivenLogits(draw(num_classes, size_hw).to(device))
    return _forms(head.to(device), feature.to(device), cfg, as_labels=as_labels)


@torch.inference_mode()
def _build_trained(device: str, *, arguments: argparse.Namespace, as_labels: bool) -> Forms:
    config_file, weights = arguments.trained
    cfg = load_cfg(config_file, ["MODEL.DEVICE", device])
    model = build_model(cfg).eval()
    build_checkpointer(cfg, model).load(weights)
    short_edge = arguments.short_edge
    inputs = [model_input(arguments.image, short_edge, 4 * short_edge, cfg.INPUT.FORMAT)]
    features = model.backbone(model.preprocess_image(inputs).tensor)
    head = model.sem_seg_head
    head.coarse_sem_seg_head = _GivenLogits(head.coarse_sem_seg_head.layers(features))
    return _forms(head, features["p2"], cfg, as_labels=as_labels)


def _forms(head: Any, feature: Tensor, cfg: CfgNode, *, as_labels: bool) -> Forms:
    """Refine given coarse logits by given weights, both ways, on (1, 256, H, W) of stride 4."""
    num_points = cfg.MODEL.SEM_SEG_POINT_HEAD.SUBDIVISION_NUM_POINTS
    ours, theirs, features = head.eval(), _UpstreamHead(head, num_points).eval(), {"p2": feature}

    @torch.inference_mode()
    def run_theirs() -> Tensor:
        logits, _ = theirs(features)
        return logits.argmax(dim=1) if as_labels else logits

    @torch.inference_mode()
    def run_ours() -> Tensor:
        return ours.labels(features) if as_labels else ours(features)[0]

    check = partial(_check_labels, theirs, features) if as_labels else _check_logits
    return Forms({"ours": run_ours, "upstream": run_theirs}, check)


def _check_logits(results: Mapping[str, Any]) -> str:
    ours, theirs = results["ours"], results["upstream"]
    difference = (ours - theirs).abs().amax(dim=1)
    labels_differ = (ours.argmax(1) != theirs.argmax(1)).sum().item()
    assert difference.max() <= 1e-4, f"logits differ by {difference.max():.1e}"
    assert labels_differ == 0, f"{labels_differ} labels differ"
    return f"logits differ by at most {difference.max():.1e}, labels are equal"


def _check_labels(theirs: nn.Module, features: Mapping[str, Tensor], results: Any) -> str:
    differs = results["ours"].long() != results["upstream"]
    count = int(differs.sum())
    if count:
        with torch.inference_mode():
            first, second = theirs(features)[0].topk(2, dim=1).values.unbind(1)
        gap = (first - second)[differs].max().item()
        assert gap < 1e-5, f"{count} labels differ, by up to {gap:.1e} logits"
    return f"{count} of {differs.numel()} labels differ"


LOGITS, LABELS = "Semantic head, full logits", "Semantic head, label map"


def _case(
    num_classes: int, draw: Callable[..., Tensor], *, as_labels: bool, **demands: Any
) -> Case:
    height, width = SIZES[num_classes]
    name = f"{num_classes} x {height}x{width}, {draw.__name__.strip('_')}"
    make = partial(build, num_classes=num_classes, draw=draw, as_labels=as_labels)
    return Case(LABELS if as_labels else LOGITS, name, make, **demands)


CASES = [
    _case(19, _noise, as_labels=False, min_ratio=1.6),
    _case(54, _noise, as_labels=False, min_ratio=1.9),
    _case(150, _noise, as_labels=False, min_ratio=1.37),
    *(_case(c, _noise, as_labels=True, min_ratio=2.5, max_mib=80) for c in SIZES),
    _case(19, smooth, as_labels=True, min_ratio=4, max_mib=80),
    _case(54, smooth, as_labels=True, min_ratio=4, max_mib=80),
    _case(150, smooth, as_labels=True, min_ratio=6, max_mib=80),
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of a trained model."""
    parser.add_argument(
        "--trained",
        nargs=2,
        metavar=("CONFIG", "WEIGHTS"),
        help="a trained semantic PointRend model: its head on --image, instead of all other cases",
    )
    parser.add_argument("--image", default="", help="photograph for --trained")
    parser.add_argument("--short-edge", type=int, default=1024, help="its size for --trained")


def cases(arguments: argparse.Namespace) -> list[Case]:
    """Return the cases of random weights, or those of a trained model."""
    if not arguments.trained:
        return CASES
    name = f"a trained model's, short edge {arguments.short_edge}"
    logits, labels = (
        partial(_build_trained, arguments=arguments, as_labels=as_labels)
        for as_labels in (False, True)
    )
    return [
        Case(LOGITS, name, logits, min_ratio=1.6),
        Case(LABELS, name, labels, min_ratio=4, max_mib=80),
    ]


if __name__ == "__main__":
    main("benchmarks.semantic")
