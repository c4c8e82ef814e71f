"""The masks of one image, pasted when they are looked at; no torch is needed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, overload

import numpy as np

from pointrend_ext.visualization.mask_crop import MaskCrop

_STRIP_PIXELS = 2**15
_UNSURE = 1e-5  # from 0.5; far above what rounding changes


class PastedMasks(Sequence[np.ndarray]):
    """R masks of an image, (H, W) bool each, made one by one.

    A model predicts a small square map per box. A hundred of them pasted into an image of 12
    megapixels need 1.2 GB, so a mask is pasted whenever it is read. ``np.asarray`` gives all of
    them at once. Pixel for pixel these are the masks that Detectron2 puts out on a CPU.
    """

    def __init__(self, probabilities: Any, boxes_px: Any, size_hw: tuple[int, int]) -> None:
        """Keep what is needed to paste.

        Args:
            probabilities: (R, S, S) in [0, 1], an array or a tensor on the CPU.
            boxes_px: (R, 4) left, top, right, bottom in pixels of the image, likewise.
            size_hw: rows and columns of the image.
        """
        self._probabilities = np.asarray(probabilities, np.float32)
        self._boxes_px = np.asarray(boxes_px, np.float32)
        self.size_hw = size_hw

    def __len__(self) -> int:
        return len(self._probabilities)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, index: slice | np.ndarray) -> "PastedMasks": ...

    def __getitem__(self, index: int | slice | np.ndarray) -> "np.ndarray | PastedMasks":
        """Paste one mask, (H, W) bool; or select several, as of an array, without pasting them."""
        if isinstance(index, (int, np.integer)):
            mask, (crop, top, left) = np.zeros(self.size_hw, dtype=bool), self.crop(index)
            mask[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
            return mask
        return self._selected(np.arange(len(self))[index])

    def _selected(self, numbers: np.ndarray) -> "PastedMasks":
        return PastedMasks(self._probabilities[numbers], self._boxes_px[numbers], self.size_hw)

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        """Paste all masks: (R, H, W) bool."""
        masks = np.zeros((len(self), *self.size_hw), dtype=bool)
        for number in range(len(self)):
            masks[number] = self[number]
        return masks if dtype is None else masks.astype(dtype)

    def resized(self, size_hw: tuple[int, int]) -> "PastedMasks":
        """Return the masks as they lie in the same image of another size."""
        scale = np.tile(np.divide(size_hw, self.size_hw)[::-1], 2)
        return PastedMasks(self._probabilities, self._boxes_px * scale, size_hw)

    def crop(self, index: int) -> MaskCrop:
        """Paste one mask around its box alone: bool, and where it begins."""
        window = self._window(index)
        return MaskCrop(window.inside(), window.top, window.left)

    def probability_crop(self, index: int) -> MaskCrop:
        """Paste one mask without a threshold: uint8, 255 times the probability, rounded down."""
        window = self._window(index)
        values = np.concatenate([window.exact(part[:, None]) for part in window.strips()])
        return MaskCrop((values * np.float32(255)).astype(np.uint8), window.top, window.left)

    def _window(self, index: int) -> "_Window":
        """Return the pixels in a box and one beyond, which are those that Detectron2 computes."""
        number = range(len(self))[index]  # an IndexError beyond the end, as for any sequence
        (x0, y0, x1, y1), (height, width) = self._boxes_px[number], self.size_hw
        left, top = (max(int(v) - 1, 0) for v in (np.floor(x0), np.floor(y0)))
        right, bottom = min(int(np.ceil(x1)) + 1, width), min(int(np.ceil(y1)) + 1, height)
        map_ = self._probabilities[number]
        rows, columns = (
            _sources(top, bottom, y0, y1, len(map_)),
            _sources(left, right, x0, x1, len(map_)),
        )
        return _Window(np.pad(map_, 1), rows, columns, top, left)


class _Axis(NamedTuple):
    """Where pixels (K,) lie between the cells of a map with a margin of 1, along one axis.

    Attributes:
        cells: two places, of the lower and of the upper cell.
        shares: two weights, float32.
    """

    cells: tuple[np.ndarray, np.ndarray]
    shares: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class _Window:
    """A part of the image into which a map is pasted.

    Attributes:
        map: (S + 2, S + 2) float32 probabilities with a margin of 0.
        rows: of the h rows of the window.
        columns: of its w columns.
        top, left: where it begins.
    """

    map: np.ndarray
    rows: _Axis
    columns: _Axis
    top: int
    left: int

    def inside(self) -> np.ndarray:
        """Return (h, w) bool: where the probability is 0.5 or more.

        It is computed along rows and then along columns, which is fast and rounds otherwise; where
        that could matter, as PyTorch does.
        """
        (x0, x1), (left, right) = self.columns
        inside = np.empty((len(self.rows.cells[0]), len(x0)), dtype=bool)
        for part in self.strips():
            y0, y1, low, high = (x[part] for x in (*self.rows.cells, *self.rows.shares))
            mixed = self.map[y0] * low[:, None] + self.map[y1] * high[:, None]
            values = mixed.take(x0, axis=1)
            values *= left
            other = mixed.take(x1, axis=1)
            other *= right
            values += other
            inside[part] = values >= 0.5
            near = np.nonzero(np.abs(values - np.float32(0.5)) < _UNSURE)
            row = part[near[0]]
            inside[row, near[1]] = self.exact(row, near[1]) >= 0.5
        return inside

    def exact(self, row: np.ndarray, column: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Return the probabilities of pixels, rounding for rounding those of ``grid_sample``.

        They are float32; a product and the sum that follows it are rounded once.
        """
        found: Any = np.float32(0)
        for cell_y, share_y in zip(*self.rows, strict=True):
            for cell_x, share_x in zip(*self.columns, strict=True):
                weight = share_y[row] * share_x[column]
                values = self.map[cell_y[row], cell_x[column]].astype(np.float64)
                found = (values * weight + found).astype(np.float32)
        return found

    def strips(self) -> list[np.ndarray]:
        """Return the numbers of the rows, some at a time, whose pixels fit into a cache."""
        rows, columns = (len(axis.cells[0]) for axis in (self.rows, self.columns))
        return np.array_split(np.arange(rows), max(rows * columns // _STRIP_PIXELS, 1))


def _sources(start: int, stop: int, low: np.float32, high: np.float32, side: int) -> _Axis:
    """Tell between which cells of a map the centres of pixels lie.

    The numbers are those of PyTorch's ``grid_sample`` on a CPU, rounding for rounding: float32, of
    which products and the sum that follows them are rounded once (fused multiply-add).

    Args:
        start: the first pixel.
        stop: the one behind the last.
        low: edge of the box, in pixels.
        high: its other edge.
        side: of the map.
    """
    one, half = np.float32(1), np.float32(0.5)
    centres = np.arange(start, stop, dtype=np.float32) + half
    with np.errstate(all="ignore"):  # of a box without extent nothing is inside
        relative = (centres - low) / (high - low) * np.float32(2) - one
        position = ((relative + one).astype(np.float64) * (side / 2) - 0.5).astype(np.float32)
        lower = np.floor(position)
        upper_share = position - lower
        places = np.nan_to_num(lower.clip(-2, side), nan=-2).astype(np.int64)
    places = places + 1
    cells = np.clip(places, 0, side + 1), np.clip(places + 1, 0, side + 1)
    return _Axis(cells, (one - upper_share, upper_share))
