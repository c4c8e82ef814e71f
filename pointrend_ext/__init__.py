"""PointRend as a Detectron2 extension.

Importing this package registers its heads in Detectron2's registries and lets Detectron2 work with
today's packages (`_compat`), no more: no data set is registered, no path is touched, no default
configuration is changed. The command ``pointrend`` alone does so later, when it knows its task.

Shape legend of the whole package: N images, R regions (boxes of all images), P points, C channels
or classes, F channels of the fine features, S side of a square mask, H and W height and width.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pointrend_ext._command import is_command

if TYPE_CHECKING:
    from pointrend_ext.config import add_pointrend_config
    from pointrend_ext.inference.prediction import Prediction
    from pointrend_ext.inference.predictor import Predictor

__version__ = "0.1.0"

__all__ = ["Prediction", "Predictor", "__version__", "add_pointrend_config", "register"]

_ON_DEMAND = {
    "Prediction": "pointrend_ext.inference.prediction",
    "Predictor": "pointrend_ext.inference.predictor",
    "add_pointrend_config": "pointrend_ext.config",
}


def register() -> None:
    """Register the heads, as an import of the package does; the second call changes nothing.

    Raises:
        ImportError: there is no Detectron2.
    """
    from pointrend_ext._detectron2 import require_detectron2

    require_detectron2()
    import_module("pointrend_ext._compat").install()
    import_module("pointrend_ext.modeling")


if not is_command():
    register()


def __getattr__(name: str) -> Any:
    """Import what few users need when it is asked for, so that importing the package is cheap."""
    if name not in _ON_DEMAND:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_ON_DEMAND[name]), name)
