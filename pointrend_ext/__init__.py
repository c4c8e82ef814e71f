"""PointRend as a Detectron2 extension.

Importing this package registers its heads in Detectron2's registries and does nothing else: no data
set is registered, no path is touched, no default configuration is changed.

Shape legend of the whole package: N images, R regions (boxes of all images), P points, C channels
or classes, F channels of the fine features, S side of a square mask, H and W height and width.
"""

from pointrend_ext._detectron2 import require_detectron2

require_detectron2()

from pointrend_ext import modeling as _modeling  # noqa: E402, F401  (registers the heads)
from pointrend_ext.config import add_pointrend_config  # noqa: E402

__version__ = "0.1.0"

__all__ = ["__version__", "add_pointrend_config"]
