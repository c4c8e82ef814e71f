"""Letter outlines, drawn by hand for this project in a box of [0, 1] x [0, 1], y down."""

import numpy as np

from .raster import Outline


def _arc(
    center: tuple[float, float], radius: float, degrees: tuple[float, float], steps: int = 16
) -> list[tuple[float, float]]:
    """Return points on an arc; 0 degrees points right, 90 down."""
    angles = np.deg2rad(np.linspace(degrees[0], degrees[1], steps))
    return [(center[0] + radius * np.cos(a), center[1] + radius * np.sin(a)) for a in angles]


def _stroke(line: list[tuple[float, float]], width: float) -> list[tuple[float, float]]:
    """Return the outline of a pen stroke of ``width`` along an open line of slight bends."""
    points = np.array(line)
    tangent = np.gradient(points, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) * (width / 2)
    return [tuple(p) for p in np.concatenate([points + normal, (points - normal)[::-1]])]


def _letters() -> dict[str, list[list[tuple[float, float]]]]:
    """Return letter -> outlines; the first is the outer one, the others are holes."""
    right = (-90.0, 90.0)
    s_line = _arc((0.5, 0.29), 0.21, (-25, -270), 20) + _arc((0.5, 0.71), 0.21, (-90, 155), 20)[1:]
    leg = [(0.0, 0.0), (0.22, 0.0), (0.22, 0.42), (0.6, 0.0), (0.9, 0.0), (0.45, 0.48)]
    return {
        "A": [
            [(0, 1), (0.39, 0), (0.61, 0), (1, 1), (0.79, 1), (0.7, 0.76), (0.3, 0.76), (0.21, 1)],
            [(0.5, 0.2), (0.645, 0.6), (0.355, 0.6)],
        ],
        "B": [
            [(0, 0), *_arc((0.5, 0.245), 0.245, right), *_arc((0.54, 0.74), 0.26, right), (0, 1)],
            [(0.2, 0.14), *_arc((0.5, 0.245), 0.105, right), (0.2, 0.35)],
            [(0.2, 0.61), *_arc((0.54, 0.74), 0.13, right), (0.2, 0.87)],
        ],
        "E": [
            [(0, 0), (0.8, 0), (0.8, 0.18), (0.22, 0.18), (0.22, 0.41), (0.68, 0.41)]
            + [(0.68, 0.59), (0.22, 0.59), (0.22, 0.82), (0.8, 0.82), (0.8, 1), (0, 1)],
        ],
        "K": [leg + [(0.92, 1), (0.63, 1), (0.3, 0.64), (0.22, 0.73), (0.22, 1), (0, 1)]],
        "R": [
            [(0, 0), *_arc((0.5, 0.29), 0.29, right), (0.88, 1), (0.63, 1), (0.34, 0.59)]
            + [(0.2, 0.59), (0.2, 1), (0, 1)],
            [(0.2, 0.16), *_arc((0.5, 0.29), 0.13, right), (0.2, 0.42)],
        ],
        "S": [_stroke(s_line, 0.17)],
    }


LETTERS: dict[str, tuple[Outline, ...]] = {
    name: tuple(np.array(outline, dtype=np.float64) for outline in outlines)
    for name, outlines in _letters().items()
}
"""Letter -> outlines, (V, 2) each; outer outline first, then holes."""
