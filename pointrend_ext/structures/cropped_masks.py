"""Ground-truth masks that take the memory of their objects, not of the image."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from detectron2.layers import ROIAlign
from detectron2.structures import BitMasks, Boxes
from torch import Tensor

_CANVAS_PIXELS = 2**23
"""Pixels of the whole masks that ``crop_and_resize`` draws at a time: 32 MiB."""


class CroppedMasks(BitMasks):
    """Detectron2's ``BitMasks`` (N masks of H x W pixels) of which the bounding boxes are stored.

    Every method gives bit for bit what that of ``BitMasks`` gives. Selecting masks, also one of
    them many times as the proposals of an object do, copies none of their pixels. ``tensor`` is
    there for code that needs whole masks: it draws all of them each time it is read, so that
    writing into it changes no mask.

    Attributes:
        image_size: (H, W).
        bits: (B,) bool, the pixels of the bounding boxes, one box after the other, row by row; the
            first one belongs to no mask, and is False.
        windows: (N, 5) int64: x0, y0, x1, y1 of the bounding box, in pixels, and where in ``bits``
            it begins; without extent and at 0, 0 of an empty mask.
    """

    bits: Tensor
    windows: Tensor
    image_size: torch.Size

    def __init__(self, tensor: Tensor | np.ndarray) -> None:
        """Crop whole masks, (N, H, W)."""  # that of BitMasks would set ``tensor``
        masks = torch.as_tensor(tensor).bool()
        crops = [crop_mask(mask) for mask in masks.cpu().numpy()]
        cropped = CroppedMasks.from_crops(crops, masks.shape[1:]).to(masks.device)
        self.bits, self.windows, self.image_size = cropped.bits, cropped.windows, masks.shape[1:]

    @classmethod
    def from_crops(
        cls, crops: Sequence[tuple[np.ndarray, int, int]], size_hw: Sequence[int]
    ) -> "CroppedMasks":
        """Make masks of their crops.

        Args:
            crops: N times the pixels (h, w) of the bounding box of a mask, bool, and its top and
                left edges, as of ``crop_mask``.
            size_hw: of the image.
        """
        areas = [pixels.size for pixels, _, _ in crops]
        starts = np.cumsum([1, *areas])[:-1]
        windows = [
            (left, top, left + pixels.shape[1], top + pixels.shape[0], start) if area else [0] * 5
            for (pixels, top, left), area, start in zip(crops, areas, starts, strict=True)
        ]
        bits = np.concatenate([[False], *(pixels.ravel() for pixels, _, _ in crops)])
        table = torch.tensor(windows, dtype=torch.int64).view(-1, 5)
        return cls._of(torch.from_numpy(bits), table, size_hw)

    @classmethod
    def _of(cls, bits: Tensor, windows: Tensor, size_hw: Sequence[int]) -> "CroppedMasks":
        masks = cls.__new__(cls)
        masks.bits, masks.windows, masks.image_size = bits, windows, torch.Size(size_hw)
        return masks

    @property
    def tensor(self) -> Tensor:
        """The whole masks, (N, H, W) bool, drawn anew."""
        return self._draw(self.windows, torch.bool)

    @property
    def device(self) -> torch.device:
        """Where the masks are."""
        return self.bits.device

    @property
    def size_hw(self) -> tuple[int, int]:
        """The size of the image, as ``draw_instances`` asks for it."""
        height, width = self.image_size
        return height, width

    def __len__(self) -> int:
        return len(self.windows)

    def __repr__(self) -> str:
        return f"CroppedMasks(num_instances={len(self)})"

    def __iter__(self) -> Iterator[Tensor]:
        """Draw the masks one by one, (H, W) bool each."""
        return (self._draw(window[None], torch.bool)[0] for window in self.windows)

    def __getitem__(self, item: Any) -> "CroppedMasks":
        """Select masks by a number, a slice, or a vector of bool or of numbers."""
        return self._of(self.bits, self.windows[item].view(-1, 5), self.image_size)

    def to(self, *args: Any, **kwargs: Any) -> "CroppedMasks":
        """Move the masks to a device; the arguments are those of ``Tensor.to``."""
        bits = self.bits.to(*args, **kwargs).bool()
        windows = self.windows.to(bits.device, non_blocking=kwargs.get("non_blocking", False))
        return self._of(bits, windows, self.image_size)

    def nonempty(self) -> Tensor:
        """Tell which masks have a pixel, (N,) bool."""
        return self.windows[:, 2] > self.windows[:, 0]

    def get_bounding_boxes(self) -> Boxes:
        """Return tight boxes, on the device of the masks; zeros of an empty mask."""
        return Boxes(self.windows[:, :4].float())

    def crop(self, number: int) -> tuple[np.ndarray, int, int]:
        """Return the pixels (h, w) in the bounding box of a mask, and its top and left edges."""
        x0, y0, x1, y1, start = self.windows[number].tolist()
        return self._pixels_of(x0, y0, x1, y1, start).cpu().numpy(), y0, x0

    def read(self, columns: Tensor, rows: Tensor) -> Tensor:
        """Read pixels.

        Args:
            columns: (N, ...) integers; beyond the image nothing is inside.
            rows: (N, ...) integers; further axes are broadcast to those of the columns.

        Returns:
            (N, ...) bool: the pixels of the N masks.
        """
        x0, y0, x1, y1, start = self.windows.view(-1, 5, *[1] * (rows.dim() - 1)).unbind(1)
        inside = (columns >= x0) & (columns < x1) & (rows >= y0) & (rows < y1)
        place = start + (rows - y0) * (x1 - x0) + columns - x0
        return self.bits[place.where(inside, 0)]

    def crop_and_resize(self, boxes: Tensor, mask_size: int) -> Tensor:
        """Read each mask in a box; the targets of a mask head.

        It is ROIAlign over whole masks, whose rounding depends on the coordinates in the image. So
        the masks are drawn, each distinct one once, and a few at a time.

        Args:
            boxes: (N, 4), one per mask.
            mask_size: S.

        Returns:
            (N, S, S) bool.
        """
        assert len(boxes) == len(self), f"{len(boxes)} boxes of {len(self)} masks"
        align = ROIAlign((mask_size, mask_size), 1.0, 0, aligned=True)
        boxes = boxes.to(self.device)
        found = torch.empty(len(self), mask_size, mask_size, dtype=torch.bool, device=self.device)
        distinct, numbers = self.windows.unique(dim=0, return_inverse=True)
        height, width = self.image_size
        count = max(_CANVAS_PIXELS // max(height * width, 1), 1)
        for part, windows in enumerate(distinct.split(count)):
            chosen = (numbers // count == part).nonzero()[:, 0]
            rois = torch.cat([(numbers[chosen] % count)[:, None].to(boxes), boxes[chosen]], dim=1)
            values = align(self._draw(windows, torch.float32)[:, None], rois)
            found[chosen] = values[:, 0] >= 0.5
        return found

    @staticmethod
    def cat(bitmasks_list: Sequence[BitMasks]) -> "CroppedMasks":
        """Join the masks of one image; those that are not cropped are cropped."""
        parts = [
            x if isinstance(x, CroppedMasks) else CroppedMasks(x.tensor) for x in bitmasks_list
        ]
        (size_hw,) = {part.image_size for part in parts}
        windows, start = [], 0
        for part in parts:
            windows.append(part.windows.clone())
            windows[-1][:, 4] += start
            start += len(part.bits)
        return CroppedMasks._of(torch.cat([x.bits for x in parts]), torch.cat(windows), size_hw)

    def _draw(self, windows: Tensor, dtype: torch.dtype) -> Tensor:
        masks = torch.zeros(len(windows), *self.image_size, dtype=dtype, device=self.device)
        for mask, (x0, y0, x1, y1, start) in zip(masks, windows.tolist(), strict=True):
            mask[y0:y1, x0:x1] = self._pixels_of(x0, y0, x1, y1, start)
        return masks

    def _pixels_of(self, x0: int, y0: int, x1: int, y1: int, start: int) -> Tensor:
        height, width = y1 - y0, x1 - x0
        return self.bits[start : start + height * width].view(height, width)


def crop_mask(mask: np.ndarray) -> tuple[np.ndarray, int, int]:
    """Cut a mask (H, W) bool to its bounding box: its pixels (h, w), its top and its left edge."""
    rows = np.flatnonzero(mask.any(axis=1))
    if not len(rows):
        return mask[:0, :0], 0, 0
    top, bottom = rows[0], rows[-1] + 1
    columns = np.flatnonzero(mask[top:bottom].any(axis=0))
    left, right = columns[0], columns[-1] + 1
    return mask[top:bottom, left:right].copy(), int(top), int(left)
