"""The coarse mask head (section 4.1 of the paper): a small mask per region and class."""

from collections.abc import Sequence

from torch import Tensor

from pointrend_ext.modeling.checks import check_values
from pointrend_ext.modeling.roi_heads.conv_fc_head import ConvFCHead


class CoarseMaskHead(ConvFCHead):
    """Predicts a small mask per region and class; ``prediction`` is read class-major."""

    def __init__(
        self,
        *,
        in_channels: int,
        in_side: int,
        conv_dim: int,
        fc_dims: Sequence[int],
        num_classes: int,
        out_side: int,
    ) -> None:
        """Build the layers.

        Args:
            in_channels: as of ``ConvFCHead``, like the next three.
            in_side: likewise.
            conv_dim: likewise.
            fc_dims: likewise.
            num_classes: C; 1 for a class-agnostic head.
            out_side: S, side of the predicted mask.
        """
        check_values(
            "MODEL.ROI_MASK_HEAD",
            ("OUTPUT_SIDE_RESOLUTION", out_side, out_side >= 1, "at least 1"),
        )
        super().__init__(
            in_channels=in_channels,
            in_side=in_side,
            conv_dim=conv_dim,
            fc_dims=fc_dims,
            out_features=num_classes * out_side**2,
        )
        self.num_classes = num_classes
        self.out_side = out_side

    def predict(self, hidden: Tensor) -> Tensor:
        """Apply the fully connected layers to what ``reduce`` returns: (R, C, S, S) logits."""
        vectors = super().predict(hidden)
        return vectors.view(-1, self.num_classes, self.out_side, self.out_side)
