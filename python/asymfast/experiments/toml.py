"""Reading TOML with the standard library, or with tomli where that has no reader yet."""

from __future__ import annotations

import sys
from typing import Any


def read_toml(text: str, name: str) -> dict[str, Any]:
    """Parse the text of a TOML file.

    Parameters
    ----------
    text : str
    name : str
        Of the file, for the message.

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
    try:
        return dict(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{name} is not TOML: {error}") from error
