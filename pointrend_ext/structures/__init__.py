"""What the labels of an image are kept in."""

from pointrend_ext.structures.cropped_masks import CroppedMasks, crop_mask

__all__ = ["CroppedMasks", "crop_mask"]
