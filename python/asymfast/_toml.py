"""Reading TOML with the standard library, or with tomli where that has no reader yet."""

from __future__ import annotations

import sys
from typing import Any


def parsed(text: str) -> dict[str, Any]:
    """Return what the text of a TOML file holds.

    Raises
    ------
    ImportError
        Python 3.10 without the package tomli.
    ValueError
        The text is not TOML; the message says where.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError:
            raise ImportError(
                "reading TOML on Python 3.10 needs tomli; install it with: pip install tomli"
            ) from None
    return dict(tomllib.loads(text))
