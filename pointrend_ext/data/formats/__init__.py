"""Data sets as annotation tools export them: which tool it was, and a description of the data.

``recognise`` tells the format, ``describe`` writes a description (and, for other formats than
COCO's and label maps, annotation files in COCO's format) into a folder. docs/own_data.md explains
both.
"""

from pointrend_ext.data.formats.describe import describe
from pointrend_ext.data.formats.recognise import Export, recognise
from pointrend_ext.data.formats.splitting import Split
from pointrend_ext.data.formats.writing import Described

__all__ = ["Described", "Export", "Split", "describe", "recognise"]
