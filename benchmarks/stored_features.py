"""A pyramid on a frozen ResNet whose feature maps are computed once per image, and kept in files.

``MODEL.BACKBONE.NAME build_stored_resnet_fpn_backbone`` is ``build_resnet_fpn_backbone`` with the
same names of parameters. Maps are kept in half precision, which all models that are compared share.
"""

import hashlib
import os
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone.fpn import FPN, build_resnet_fpn_backbone
from torch import Tensor, nn

__all__ = ["FOLDER_VARIABLE", "build_stored_resnet_fpn_backbone", "store_outputs"]

FOLDER_VARIABLE = "POINTREND_FEATURES"
"""Environment variable that names the folder of the files."""


@BACKBONE_REGISTRY.register()
def build_stored_resnet_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """Build the pyramid; the ResNet has to be frozen as a whole (``MODEL.BACKBONE.FREEZE_AT 5``).

    Raises:
        ValueError: a part of the ResNet trains, so that its maps would change.
    """
    backbone = build_resnet_fpn_backbone(cfg, input_shape)
    if any(p.requires_grad for p in backbone.bottom_up.parameters()):
        raise ValueError(
            f"MODEL.BACKBONE.FREEZE_AT is {cfg.MODEL.BACKBONE.FREEZE_AT}; features of a ResNet can "
            "be stored if all of it is frozen: set it to 5."
        )
    store_outputs(backbone.bottom_up, Path(os.environ[FOLDER_VARIABLE]))
    return backbone


def store_outputs(network: nn.Module, folder: Path) -> None:
    """Let a network whose parameters do not change look its output up in files, by its input.

    Other parameters, and other inputs in any pixel or in size, have other files.

    Args:
        network: (N, 3, H, W) float32 -> {name: (N, F, h, w) float32}; changed.
        folder: of the files; it is made.
    """
    compute = network.forward
    identity = ""  # weights are loaded later

    def forward(images: Tensor) -> dict[str, Tensor]:
        nonlocal identity
        identity = identity or _digest(*network.state_dict().values())
        path = folder / f"{identity}-{_digest(images)}.pt"
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            with torch.no_grad():
                maps = {name: x.half() for name, x in compute(images).items()}
            torch.save(maps, path.with_suffix(".new"))
            path.with_suffix(".new").rename(path)  # whole or not at all
        return {name: x.float() for name, x in torch.load(path).items()}

    network.forward = forward


def _digest(*tensors: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]
