"""The commands of ``pointrend``, one module each; ``tools/`` runs the same functions."""
