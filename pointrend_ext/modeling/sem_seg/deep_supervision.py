"""What semantic heads with losses at inner layers have in common."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from torch import Tensor, nn

from pointrend_ext.layers import check_flow_coords, resize_bilinear
from pointrend_ext.modeling.checks import check_common_stride, check_values
from pointrend_ext.modeling.config_keys import reads_own_keys
from pointrend_ext.modeling.sem_seg.criteria import build_criterion
from pointrend_ext.modeling.sem_seg.decoder_layers import pad_to_common_extent
from pointrend_ext.modeling.sem_seg.logits_head import LogitsHead, read_head_arguments


class DeeplySupervisedHead(LogitsHead):
    """Base of the heads that decode several maps and may also be trained at inner layers.

    A subclass builds its layers in ``_build_layers``, where it sets ``auxiliary_branches``, their
    ``auxiliary_strides`` and, if it is another, ``auxiliary_loss``, and predicts in ``_predict``.
    The auxiliary logits pass from ``layers_with_auxiliary`` to ``losses`` by way of the caller; the
    head keeps nothing of a forward pass.
    """

    auxiliary_branches: Sequence[nn.Module] = ()

    @configurable
    def __init__(
        self,
        *,
        input_shape: Mapping[str, ShapeSpec],
        num_classes: int,
        common_stride: int,
        conv_dims: int = 256,
        norm: str = "BN",
        coords: str = "pixel",
        loss_type: str = "cross_entropy",
        loss_weight: float = 1.0,
        aux_loss_weight: float = 0.0,
        ohem_threshold: float = 0.7,
        ohem_min_kept: int = 10000,
        ignore_value: int = 255,
    ) -> None:
        """Build the layers.

        Args:
            input_shape: the maps it reads, by name; two or more.
            num_classes: C; 1 for a binary model.
            common_stride: must be the stride of the finest of them.
            conv_dims: width of the decoder.
            norm: normalisation, see ``detectron2.layers.get_norm``.
            coords: where flows point, see ``flow_warp``.
            loss_type: see ``build_criterion``.
            loss_weight: factor of both losses.
            aux_loss_weight: further factor of ``loss_sem_seg_aux``; 0 for no auxiliary layers.
            ohem_threshold: see ``build_criterion``.
            ohem_min_kept: see ``build_criterion``.
            ignore_value: label that takes no part in the loss.

        Raises:
            ValueError: a value that does not fit the feature maps, or is out of its range.
        """
        super().__init__()
        check_flow_coords(coords, f"{type(self).__name__} (MODEL.SEM_SEG_HEAD.ALIGNMENT_COORDS)")
        check_values(
            "MODEL.SEM_SEG_HEAD",
            ("LOSS_WEIGHT", loss_weight, loss_weight >= 0, "at least 0"),
            ("AUX_LOSS_WEIGHT", aux_loss_weight, aux_loss_weight >= 0, "at least 0"),
            ("CONVS_DIM", conv_dims, conv_dims >= 1, "at least 1"),
            ("IN_FEATURES", list(input_shape), len(input_shape) > 1, "two maps or more"),
        )
        check_common_stride(type(self).__name__, input_shape, common_stride)
        maps = sorted(input_shape.items(), key=lambda item: (item[1].stride, item[0]))
        self.in_features = [name for name, _ in maps]
        self.strides = [shape.stride for _, shape in maps]
        self.common_stride = common_stride
        self.ignore_value = ignore_value
        self.coords = coords
        self.loss_weight, self.aux_loss_weight = loss_weight, aux_loss_weight
        self.loss = self.auxiliary_loss = build_criterion(
            loss_type,
            ignore_value=ignore_value,
            ohem_threshold=ohem_threshold,
            ohem_min_kept=ohem_min_kept,
        )
        self._build_layers([shape.channels for _, shape in maps], conv_dims, num_classes, norm)

    @classmethod
    @reads_own_keys
    def from_config(cls, cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> dict[str, Any]:
        """Read ``MODEL.SEM_SEG_HEAD``."""
        node = cfg.MODEL.SEM_SEG_HEAD
        arguments = {
            **read_head_arguments(cfg, input_shape),
            "conv_dims": node.CONVS_DIM,
            "coords": node.ALIGNMENT_COORDS,
            "aux_loss_weight": node.AUX_LOSS_WEIGHT,
        }
        if node.LOSS_TYPE == "ohem":  # read by this loss alone: see build_checked_model
            arguments["ohem_threshold"] = node.OHEM_THRESHOLD
            arguments["ohem_min_kept"] = node.OHEM_MIN_KEPT
        return arguments

    def layers(self, features: Mapping[str, Tensor]) -> Tensor:
        """Predict logits: see ``LogitsHead``."""
        return self._run(features)[0]

    def layers_with_auxiliary(self, features: Mapping[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Predict logits, and those of the inner layers for ``losses``.

        Args:
            features: the backbone's maps by name.

        Returns:
            What ``layers`` returns, and the auxiliary logits, (N, C, h_i, w_i) each; none with an
            ``aux_loss_weight`` of 0.
        """
        logits, inner = self._run(features)
        return logits, [f(x) for f, x in zip(self.auxiliary_branches, inner, strict=False)]

    def _of_pixels(self, logits: Tensor, image_sizes: Sequence[tuple[int, int]] | None) -> Tensor:
        """As ``LogitsHead``; the published networks stretch logits to the batch, corners held."""
        if self.coords == "pixel" or image_sizes is None:
            return super()._of_pixels(logits, image_sizes)
        rows, columns = zip(*image_sizes, strict=True)
        return resize_bilinear(logits, (max(rows), max(columns)), coords=self.coords)

    def _run(self, features: Mapping[str, Tensor]) -> tuple[Tensor, list[Tensor]]:
        maps = [features[name] for name in self.in_features]
        rows, columns = maps[0].shape[-2:]
        if self.coords == "pixel":
            maps = pad_to_common_extent(maps, self.strides)
        # The published networks stretch every map to the finest, whatever each covers.
        logits, inner = self._predict(maps)
        return logits[..., :rows, :columns], inner

    @abstractmethod
    def _build_layers(
        self, channels: Sequence[int], conv_dims: int, num_classes: int, norm: str
    ) -> None:
        """Build the layers for maps of so many channels, finest first."""

    @abstractmethod
    def _predict(self, maps: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Return logits of the size of ``maps[0]``, and what each auxiliary branch reads."""
