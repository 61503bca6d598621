"""Packages that only some users need."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


def data_extra(module: str) -> ModuleType:
    """Import a package of the extra ``data``.

    Raises
    ------
    ImportError
        It is not installed; the message says how to install it, and how to do without.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"downloading data needs {module}; install it with: pip install 'asymfast[data]' "
            "(or name a folder that has the files in ASYMFAST_DATA)"
        ) from error
