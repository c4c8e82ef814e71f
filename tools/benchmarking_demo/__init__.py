"""Parts of ``tools/benchmark_demo.py``."""
