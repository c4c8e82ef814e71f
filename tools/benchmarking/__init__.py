"""Cases, measurement and report of ``tools/benchmark.py``.

It lives beside the tool, not in the package, because it runs Detectron2's own PointRend.
"""
