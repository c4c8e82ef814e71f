"""An evaluation as one HTML page that needs nothing else; ``tools/report.py`` writes it."""

from pointrend_ext.evaluation.report.page import write_report
from pointrend_ext.evaluation.report.shown_objects import RefinedPoints, ShownObject, shown_objects

__all__ = ["RefinedPoints", "ShownObject", "shown_objects", "write_report"]
