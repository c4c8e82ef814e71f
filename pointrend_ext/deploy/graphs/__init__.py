"""Models as functions of tensors: what is exported. No algorithm is written twice."""

from pointrend_ext.deploy.graphs.graph import Graph, Shape
from pointrend_ext.deploy.graphs.instances import InstanceGraph
from pointrend_ext.deploy.graphs.masks import MaskGraph
from pointrend_ext.deploy.graphs.panoptic import PanopticGraph
from pointrend_ext.deploy.graphs.refined_masks import MasksInTurns, MasksTogether
from pointrend_ext.deploy.graphs.semantic import SemanticGraph

__all__ = [
    "Graph",
    "InstanceGraph",
    "MaskGraph",
    "MasksInTurns",
    "MasksTogether",
    "PanopticGraph",
    "SemanticGraph",
    "Shape",
]
