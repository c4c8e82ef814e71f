"""What only a GPU can tell, as steps that are kept one by one: ``python -m benchmarks.gpu``."""
