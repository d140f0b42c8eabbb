"""``python -m latentdepth``: the command line, for launchers such as torchrun that start modules."""

import sys

from latentdepth.cli import main

if __name__ == "__main__":
    sys.exit(main())
