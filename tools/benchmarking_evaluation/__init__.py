"""Parts of ``tools/benchmark_evaluation.py``."""
