"""``python -m hopgrad`` is the ``hopgrad`` command."""

import sys

from hopgrad.cli import main

if __name__ == "__main__":
    sys.exit(main())
