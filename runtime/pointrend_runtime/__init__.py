"""Running models that pointrend_ext has exported, without PyTorch."""

from importlib.metadata import version

from pointrend_runtime.deploy.runtime.predictor import OnnxPredictor
from pointrend_runtime.inference.prediction import Prediction

__version__ = version("pointrend-ext-runtime")

__all__ = ["OnnxPredictor", "Prediction", "__version__"]
