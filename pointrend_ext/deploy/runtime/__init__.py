"""Running exported models: NumPy, Pillow and ONNX Runtime (or OpenVINO) are all that is needed.

No file here, nor any that these files import, needs PyTorch, Detectron2 or a compiler. The folder
``runtime`` of the repository makes the distribution ``pointrend-ext-runtime`` of them; its package
is called ``pointrend_runtime``.
"""

from pointrend_ext.deploy.runtime.predictor import OnnxPredictor
from pointrend_ext.inference.prediction import Prediction

__all__ = ["OnnxPredictor", "Prediction"]
