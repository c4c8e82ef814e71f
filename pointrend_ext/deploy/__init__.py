"""Models as files for other runtimes: ``export`` writes and checks them.

This file imports nothing, since a runtime below it does without torch.
"""
