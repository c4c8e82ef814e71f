"""Time and memory against Detectron2's own PointRend, and against another checkout of this package.

It lives outside the package because it runs ``detectron2.projects.point_rend``. What it measures,
and how, is told in ``docs/benchmarks.md``.
"""
