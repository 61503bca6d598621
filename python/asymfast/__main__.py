"""``python -m asymfast`` is the command ``asymfast``."""

from __future__ import annotations

import sys

from asymfast.cli import main

if __name__ == "__main__":
    sys.exit(main())
