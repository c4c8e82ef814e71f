"""Outlines of the shapes that annotation tools draw, as polygons of COCO's format."""

import math
from collections.abc import Sequence

_SAGITTA_PX = 0.05  # how far the polygon of a circle stays inside it, a quarter of what is drawn


def box_polygon(x0: float, y0: float, x1: float, y1: float) -> list[float]:
    """Return the four corners of a box in pixels."""
    return [x0, y0, x1, y0, x1, y1, x0, y1]


def ellipse_polygon(
    x: float, y: float, radius_x: float, radius_y: float, angle: float = 0.0
) -> list[float]:
    """Return corners on an ellipse, at most 0.05 pixels inside it.

    Args:
        x: of the centre, in pixels.
        y: likewise.
        radius_x: along its own first axis.
        radius_y: along the second one.
        angle: of the first axis, from x to y, in radians.
    """
    largest = max(radius_x, radius_y, _SAGITTA_PX)
    number = max(12, math.ceil(math.pi / math.acos(1 - _SAGITTA_PX / largest)))
    corners = []
    for index in range(number):
        turn = 2 * math.pi * index / number
        along, across = radius_x * math.cos(turn), radius_y * math.sin(turn)
        corners.append(x + along * math.cos(angle) - across * math.sin(angle))
        corners.append(y + along * math.sin(angle) + across * math.cos(angle))
    return corners


def flat(points: Sequence[Sequence[float]]) -> list[float]:
    """Return points (x, y) as x, y, x, y, ..."""
    return [float(value) for point in points for value in point]
