"""Large images in overlapping tiles, with objects joined across the seams."""

from pointrend_ext.inference.tiles.predictor import TiledPredictor

__all__ = ["TiledPredictor"]
