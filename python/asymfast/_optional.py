"""Packages that asymfast can do without: imported where they are first needed."""

from __future__ import annotations

import importlib
from types import ModuleType


def require(module: str, extra: str, what: str) -> ModuleType:
    """Import an optional module, or raise ImportError with the pip command that installs it.

    `extra` of asymfast brings it; `what` needs it, the subject of the message.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{what} needs {module}; install it with: pip install 'asymfast[{extra}]'"
        ) from error
