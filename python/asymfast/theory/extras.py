"""Packages that only some of the theory needs."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


def theory_extra(module: str) -> ModuleType:
    """Import a module of the extra ``theory``.

    Raises
    ------
    ImportError
        It is not installed; the message says how to install it.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise ImportError(
            f"this needs {module.split('.')[0]}; install it with: pip install 'asymfast[theory]'"
        ) from error
