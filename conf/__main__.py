"""``python -m storagebus.conf``: the command line, wherever its script is installed."""

import sys

from .main import main

if __name__ == "__main__":
    sys.exit(main())
