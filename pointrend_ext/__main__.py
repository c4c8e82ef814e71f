"""``python -m pointrend_ext`` is ``pointrend``."""

import sys

from pointrend_ext.cli import main

if __name__ == "__main__":
    sys.exit(main())
