"""From pixels to what a backbone takes, in a graph whose height and width are symbols."""

from detectron2.modeling import GeneralizedRCNN, SemanticSegmentor
from detectron2.modeling.backbone import Backbone
from torch import Tensor, nn
from torch.nn import functional as F


def divisibility(backbone: Backbone) -> int:
    """Return the multiple of pixels that images are padded to; 0 or 1 for no padding."""
    own = backbone.size_divisibility
    return backbone.padding_constraints.get("size_divisibility", own)


class ImageInput(nn.Module):
    """Normalises and pads images as a model's ``ImageList`` does.

    ``ImageList`` asks a tensor for the size, by which an export would keep that of its example.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, model: GeneralizedRCNN | SemanticSegmentor) -> None:
        """Take mean, deviation and divisibility from a model.

        Raises:
            ValueError: its backbone wants squares.
        """
        super().__init__()
        if model.backbone.padding_constraints.get("square_size", 0) > 0:
            raise ValueError(
                f"{type(model.backbone).__name__} takes squares alone "
                "(its padding_constraints), which an exported graph does not make of an image."
            )
        self.divisibility = divisibility(model.backbone)
        self.register_buffer("mean", model.pixel_mean.detach().clone())
        self.register_buffer("deviation", model.pixel_std.detach().clone())

    def forward(self, images: Tensor) -> Tensor:
        """Prepare images of one size.

        Args:
            images: (N, C, H, W) float32, 0 to 255 in ``INPUT.FORMAT``.

        Returns:
            (N, C, H', W'), zeros to the right and at the bottom.
        """
        images = (images - self.mean) / self.deviation
        height, width = images.shape[-2:]
        if self.divisibility < 2:
            return images
        return F.pad(images, (0, -width % self.divisibility, 0, -height % self.divisibility))
