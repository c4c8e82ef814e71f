"""Detectron2's semantic segmentor for heads that know which pixels are padding."""

from typing import Any

from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, SemanticSegmentor
from detectron2.structures import ImageList
from torch import Tensor, nn
from torch.nn import functional as F

from pointrend_ext.modeling.checks import check_values
from pointrend_ext.modeling.config_keys import reads_own_keys
from pointrend_ext.modeling.sem_seg.label_map import label_map
from pointrend_ext.modeling.sem_seg.logits_head import LogitsHead
from pointrend_ext.modeling.sem_seg.point_rend_head import PointRendSemanticHead


def check_knows_padding(architecture: str, head: nn.Module, other: str) -> None:
    """Refuse a semantic head that takes no image sizes, naming the ``other`` architecture for it.

    Raises:
        ValueError: such a head.
    """
    if not isinstance(head, PointRendSemanticHead | LogitsHead):
        raise ValueError(
            f"MODEL.META_ARCHITECTURE {architecture} needs MODEL.SEM_SEG_HEAD.NAME "
            f"PointRendSemanticHead, not {type(head).__name__}. Use META_ARCHITECTURE {other} for "
            "a head of Detectron2."
        )


@META_ARCH_REGISTRY.register()
class PointRendSemanticSegmentor(SemanticSegmentor):
    """``SemanticSegmentor`` that tells its head the image sizes of a batch.

    ``PointRendSemanticHead`` then spends no refinement point on padding, and the heads of SFNet and
    AlignSeg resize their logits as the published networks do, if their grid is one of these. It can
    also return label maps instead of logits, and does not interpolate where a prediction has the
    wanted size already. Parameters and training are those of ``SemanticSegmentor``, which works
    with the same heads, too.
    """

    @configurable
    def __init__(self, *, output: str = "logits", **kwargs: Any) -> None:
        """Build the model.

        Args:
            output: "logits" or "labels".
            kwargs: as for ``SemanticSegmentor``.

        Raises:
            ValueError: another output, or another head.
        """
        super().__init__(**kwargs)
        is_known = output in ("logits", "labels")
        check_values(
            "MODEL.SEM_SEG_POINT_HEAD", ("OUTPUT", output, is_known, "'logits' or 'labels'")
        )
        check_knows_padding(type(self).__name__, self.sem_seg_head, "SemanticSegmentor")
        self.output = output

    @classmethod
    @reads_own_keys
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read the parent's keys and ``MODEL.SEM_SEG_POINT_HEAD.OUTPUT``."""
        return {**super().from_config(cfg), "output": cfg.MODEL.SEM_SEG_POINT_HEAD.OUTPUT}

    def forward(
        self, batched_inputs: list[dict[str, Any]]
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Return losses in training, a prediction per image in inference.

        Args:
            batched_inputs: records of the mapper: ``image`` (3, H, W), in training ``sem_seg``
                (H, W), in inference optionally ``height`` and ``width`` of the wanted result.

        Returns:
            The loss dictionary; or for each image ``{"sem_seg": ...}``, logits (C, height, width),
            or labels (height, width), uint8 up to 256 classes.
        """
        if self.training:
            return super().forward(batched_inputs)
        return self.predict(batched_inputs, self.output)

    def predict(self, batched_inputs: list[dict[str, Any]], output: str) -> list[dict[str, Tensor]]:
        """Return predictions as ``forward`` does, of an ``output`` that this call alone has."""
        pixels = [x["image"].to(self.device) for x in batched_inputs]
        images = ImageList.from_tensors(
            [(image - self.pixel_mean) / self.pixel_std for image in pixels],
            self.backbone.size_divisibility,
            padding_constraints=self.backbone.padding_constraints,
        )
        sizes_hw = [
            (x.get("height", size[0]), x.get("width", size[1]))
            for x, size in zip(batched_inputs, images.image_sizes, strict=True)
        ]
        features = self.backbone(images.tensor)
        image_sizes = [tuple(size) for size in images.image_sizes]
        wants_labels = output == "labels"
        refines = isinstance(self.sem_seg_head, PointRendSemanticHead)
        if wants_labels and refines and image_sizes == sizes_hw:
            maps = self.sem_seg_head.labels(features, image_sizes=image_sizes)
            wants_labels = False
        else:
            maps, _ = self.sem_seg_head(features, image_sizes=image_sizes)
        predictions = [_to_size(*x) for x in zip(maps, image_sizes, sizes_hw, strict=True)]
        if wants_labels:  # a label map cannot be resized: the arg max is taken of resized logits
            predictions = [label_map(x[None])[0] for x in predictions]
        return [{"sem_seg": prediction} for prediction in predictions]


def _to_size(x: Tensor, image_size: tuple[int, int], size_hw: tuple[int, int]) -> Tensor:
    """Cut the padding of (..., H, W) off, and interpolate logits to a wanted size if it differs."""
    rows, columns = image_size
    x = x[..., :rows, :columns]
    if (rows, columns) == tuple(size_hw):
        return x
    return F.interpolate(x[None], size=size_hw, mode="bilinear", align_corners=False)[0]
