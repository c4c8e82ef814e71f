"""PointRend for semantics: the class map of another head, refined at points."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import SEM_SEG_HEADS_REGISTRY
from torch import Tensor, nn

from pointrend_ext.layers import (
    at_least_float32,
    class_uncertainty,
    exclude_padding,
    get_uncertain_point_coords_with_randomness,
    is_exported,
    refine,
    subdivide,
)
from pointrend_ext.layers.fast import LabelGrid
from pointrend_ext.modeling.config_keys import reads_own_keys
from pointrend_ext.modeling.feature_levels import FeatureLevels
from pointrend_ext.modeling.own_export import OwnExport
from pointrend_ext.modeling.point_head import (
    MapInputs,
    MapPointPredictor,
    build_point_head,
    extent_px,
    map_inference_predictor,
)
from pointrend_ext.modeling.point_head.plans import MapSubdivisionPlan, TrainPointPlan
from pointrend_ext.modeling.sem_seg.coarse_head import build_coarse_head
from pointrend_ext.modeling.sem_seg.label_map import labelled_extents, sample_map_labels
from pointrend_ext.modeling.sem_seg.losses import (
    CoarseHead,
    coarse_losses,
    coarse_predictions,
    sem_seg_point_loss,
)


@SEM_SEG_HEADS_REGISTRY.register()
class PointRendSemanticHead(OwnExport, nn.Module):
    """PointRend around a semantic head (sections 3 and 4.2 of the paper).

    Training adds a loss at points to the dense loss of the coarse head; inference refines its
    logits to full resolution by adaptive subdivision. Parameter names and shapes are those of
    Detectron2's ``PointRendSemSegHead``. A model of one class is binary: its label maps hold 0 for
    the background and 1 for the class, and its one logit is positive on the class.
    """

    @configurable
    def __init__(
        self,
        *,
        coarse_sem_seg_head: CoarseHead,
        point_head: nn.Module,
        point_levels: FeatureLevels,
        train_points: TrainPointPlan,
        subdivision: MapSubdivisionPlan,
        point_loss_weight: float = 1.0,
        skip_padding: bool = False,
    ) -> None:
        """Assemble the head.

        Args:
            coarse_sem_seg_head: any module that offers these.
            point_head: see ``POINT_HEAD_REGISTRY``.
            point_levels: feature maps the points read.
            train_points: which points are trained on.
            subdivision: how the map is refined.
            point_loss_weight: weight of ``loss_sem_seg_point``.
            skip_padding: whether no training point is drawn from what is ignored as a whole at the
                right and at the bottom of an image.
        """
        super().__init__()
        self.coarse_sem_seg_head = coarse_sem_seg_head
        self.point_head = point_head
        self.point_levels = point_levels
        self.train_points = train_points
        self.subdivision = subdivision
        self.point_loss_weight = point_loss_weight
        self.skip_padding = skip_padding

    @classmethod
    @reads_own_keys
    def from_config(cls, cfg: CfgNode, input_shape: Mapping[str, ShapeSpec]) -> dict[str, Any]:
        """Read ``MODEL.SEM_SEG_POINT_HEAD`` and the number of classes.

        Raises:
            ValueError: a coarse head that cannot be refined, a feature map that does not exist, or
                a value out of its range.
        """
        node, node_name = cfg.MODEL.SEM_SEG_POINT_HEAD, "MODEL.SEM_SEG_POINT_HEAD"
        num_classes = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
        # The coarse head is built first, as in Detectron2's PointRend: one random state then gives
        # equal weights.
        coarse_head = build_coarse_head(cfg, input_shape)
        levels = FeatureLevels.select(
            input_shape, node.IN_FEATURES, node_name, "the backbone offers"
        )
        point_head = build_point_head(
            node,
            fine_channels=levels.channels,
            coarse_channels=num_classes,
            out_channels=num_classes,
        )
        return {
            "coarse_sem_seg_head": coarse_head,
            "point_head": point_head,
            "point_levels": levels,
            "train_points": TrainPointPlan.from_node(node, node_name),
            "subdivision": MapSubdivisionPlan.from_node(node, node_name, coarse_head.common_stride),
            "point_loss_weight": node.LOSS_WEIGHT * cfg.MODEL.SEM_SEG_HEAD.LOSS_WEIGHT,
            "skip_padding": cfg.INPUT.LSJ.ENABLED,
        }

    @property
    def ignore_value(self) -> int:
        """Label of pixels that count nowhere."""
        return self.coarse_sem_seg_head.ignore_value

    @property
    def common_stride(self) -> int:
        """Pixels per cell of the coarse prediction."""
        return self.coarse_sem_seg_head.common_stride

    def forward(
        self,
        features: Mapping[str, Tensor],
        targets: Tensor | None = None,
        *,
        image_sizes: Sequence[tuple[int, int]] | None = None,
    ) -> tuple[Tensor | None, dict[str, Tensor]]:
        """Return losses in training, refined logits in inference.

        Args:
            features: maps by name, each (N, C_m, H_m, W_m).
            targets: (N, H, W) class ids or ``ignore_value``; read in training alone.
            image_sizes: rows and columns of each image inside the padded batch; no point is then
                spent on the padding. Read in inference alone.

        Returns:
            ``(None, {"loss_sem_seg", "loss_sem_seg_point"})`` and further losses of the coarse
            head, finite also when every pixel is ignored; or ``(logits, {})`` with logits
            (N, C, s * H_c, s * W_c) for a coarse map of H_c x W_c cells of stride s: pixel for
            pixel those of the image, and padding beyond it.
        """
        if not self.training:
            self.refuse_recording()
        coarse_logits, auxiliary = coarse_predictions(
            self.coarse_sem_seg_head, features, with_auxiliary=self.training
        )
        inputs = self.map_inputs(features, coarse_logits)
        if self.training:
            assert targets is not None
            return None, self._losses(inputs, auxiliary, targets)
        return self._refine(inputs, image_sizes), {}

    def labels(
        self,
        features: Mapping[str, Tensor],
        *,
        image_sizes: Sequence[tuple[int, int]] | None = None,
    ) -> Tensor:
        """Return the arg max of the refined logits, without computing most of them.

        Args:
            features: as for ``forward``.
            image_sizes: as for ``forward``.

        Returns:
            (N, s * H_c, s * W_c) labels, see ``label_map``. Of pixels that ``image_sizes`` says to
            be padding they mean nothing.
        """
        inputs = self.map_inputs(features, self.coarse_sem_seg_head.layers(features))
        sizes_px = image_sizes or [inputs.extent_px] * len(inputs.coarse_logits)
        plan, grids = self.subdivision, []
        for number, size_px in enumerate(sizes_px):
            image = inputs.image(number)
            logits, table = image.coarse_logits[0], image.coarse_rows.table
            grid = LabelGrid(logits, size_px, self.common_stride, table)
            predictor = map_inference_predictor(self.point_head, image)
            refine(grid, predictor, steps=plan.steps, num_points=plan.num_points)
            grids.append(grid.labels)
        return torch.stack(grids)

    def map_inputs(self, features: Mapping[str, Tensor], coarse_logits: Tensor) -> MapInputs:
        """Put together what points are predicted from: maps by name, and the coarse prediction."""
        levels = self.point_levels
        inputs = MapInputs(
            levels.gather(features), levels.strides, coarse_logits, self.common_stride
        )
        self._check_extents(inputs)
        return inputs

    def _losses(
        self, inputs: MapInputs, auxiliary: Sequence[Tensor], targets: Tensor
    ) -> dict[str, Tensor]:
        coarse_logits = inputs.coarse_logits
        with torch.no_grad():
            logits = at_least_float32(coarse_logits.detach())
            extents = None
            if self.skip_padding:
                extent_px, dtype = inputs.extent_px, logits.dtype
                extents = labelled_extents(targets, extent_px, self.ignore_value, dtype)
            coords_map = get_uncertain_point_coords_with_randomness(
                logits,
                class_uncertainty,
                self.train_points.num_points,
                self.train_points.oversample_ratio,
                self.train_points.importance_sample_ratio,
                extents=extents,
            )
        labels = sample_map_labels(targets, coords_map, inputs.extent_px, self.ignore_value)
        point_logits = MapPointPredictor(self.point_head, inputs)(coords_map)
        point_loss = sem_seg_point_loss(point_logits, labels, self.ignore_value)
        losses = coarse_losses(self.coarse_sem_seg_head, coarse_logits, targets, auxiliary)
        losses["loss_sem_seg_point"] = point_loss * self.point_loss_weight
        return losses

    def uncertainty(
        self, inputs: MapInputs, image_sizes: Sequence[tuple[int, int]] | None
    ) -> Callable[[Tensor], Tensor]:
        """Return what points of logits are chosen by: (N, C, H, W) -> (N, 1, H, W) scores."""
        rows_px, _ = inputs.extent_px

        def scores_of(logits: Tensor) -> Tensor:
            scores = class_uncertainty(logits)
            if image_sizes is None:
                return scores
            return exclude_padding(scores, image_sizes, rows_px / logits.shape[-2])

        return scores_of

    def _refine(self, inputs: MapInputs, image_sizes: Sequence[tuple[int, int]] | None) -> Tensor:
        return subdivide(
            at_least_float32(inputs.coarse_logits),
            map_inference_predictor(self.point_head, inputs),
            steps=self.subdivision.steps,
            num_points=self.subdivision.num_points,
            uncertainty=self.uncertainty(inputs, image_sizes),
        )

    def _check_extents(self, inputs: MapInputs) -> None:
        """Refuse a coarse head whose stride is not what it says: its map would be misplaced."""
        if is_exported():  # the model that is exported has been run
            return
        for feature, stride in zip(inputs.features, inputs.strides, strict=True):
            feature_px = extent_px(feature, stride)
            gaps_px = (abs(a - b) for a, b in zip(inputs.extent_px, feature_px, strict=True))
            if max(gaps_px) >= max(self.common_stride, stride):
                cells = tuple(inputs.coarse_logits.shape[-2:])
                raise ValueError(
                    f"{type(self.coarse_sem_seg_head).__name__} states common_stride "
                    f"{self.common_stride}, so that {cells} cells cover {inputs.extent_px} pixels, "
                    f"but a feature map of stride {stride} covers {feature_px}. Correct "
                    "MODEL.SEM_SEG_HEAD.COMMON_STRIDE."
                )
