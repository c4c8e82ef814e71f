"""From weights to predictions: the predictor, what it returns, and the demo built on it."""

from pointrend_ext.inference.prediction import Prediction
from pointrend_ext.inference.predictor import Predictor

__all__ = ["Prediction", "Predictor"]
