"""Packages that asymfast can do without: imported where they are first needed."""

from __future__ import annotations

import importlib
from types import ModuleType


def require(module: str, extra: str, what: str) -> ModuleType:
    """Import an optional module, or say which extra installs it.

    Parameters
    ----------
    module : str
        Name of the module, such as ``"scipy.linalg"``.
    extra : str
        The extra of asymfast that brings it.
    what : str
        What needs it, the subject of the message: "asymfast.datasets.read_csv".

    Returns
    -------
    module

    Raises
    ------
    ImportError
        It is not installed, or fails to import; the message has the pip command.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"{what} needs {module}; install it with: pip install 'asymfast[{extra}]'"
        ) from error
