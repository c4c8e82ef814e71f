"""What can be wrong with a weights file, as exceptions that a user can act on."""

__all__ = ["IncompleteWeightsError", "UnsafeWeightsError", "WeightsFileError"]


class WeightsFileError(ValueError):
    """A file that holds no usable weights: damaged, of another kind, or with bad values."""


class UnsafeWeightsError(WeightsFileError):
    """A file that could run code when it is read, and was therefore not read."""


class IncompleteWeightsError(ValueError):
    """Weights that leave parts of the model random where that would go unnoticed."""
