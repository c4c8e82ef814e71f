"""`python -m pointrend_runtime`: see ``deploy.runtime.command``."""

import sys

from pointrend_runtime.deploy.runtime.command import main

if __name__ == "__main__":
    sys.exit(main(prog="python -m pointrend_runtime"))
