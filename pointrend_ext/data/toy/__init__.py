"""Toy data: generated scenes whose outlines a 28x28 mask cannot hold.

A ``Scene`` describes one image; every file is made from it: COCO instances, label maps and panoptic
segments. ``ensure_toy_data(root)`` writes them, ``register_toy_datasets(root)`` makes them known to
Detectron2. Importing does neither.
"""

from .classes import TOY_STUFF_CLASSES, TOY_THING_CLASSES
from .generate import ToySpec, ensure_toy_data, generate_toy_data
from .register import register_toy_datasets

__all__ = [
    "TOY_STUFF_CLASSES",
    "TOY_THING_CLASSES",
    "ToySpec",
    "ensure_toy_data",
    "generate_toy_data",
    "register_toy_datasets",
]
