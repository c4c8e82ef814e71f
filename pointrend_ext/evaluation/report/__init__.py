"""An evaluation as one HTML page that needs nothing else; ``tools/report.py`` writes it."""

from pointrend_ext.evaluation.report.page import write_report

__all__ = ["write_report"]
