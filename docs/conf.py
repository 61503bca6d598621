"""The documentation site: Sphinx, numpydoc for the docstrings, MyST for the pages and notebooks.

``make docs`` builds it; every warning is an error.
"""

from __future__ import annotations

import re
from pathlib import Path

import asymfast

project = "asymfast"
author = "The asymfast developers"
project_copyright = author
version = release = asymfast.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.mathjax", "numpydoc", "myst_nb"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"asymfast {release}"
html_copy_source = False
default_role = "py:obj"
smartquotes = False  # sigma' has a prime

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say what is taken, with shapes
autodoc_mock_imports = ["torch"]  # too large to be installed for its two names
numpydoc_show_class_members = False

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 60


_CODE = re.compile(r"(``.+?``|`[^`]+`)")


def as_plain_text(app, what, name, obj, options, lines):
    """Let | and * stand for themselves: docstrings are plain text, with formulas as in code."""
    examples = literal = False
    for i, line in enumerate(lines):
        if line.startswith(">>>") or line == "Examples":
            examples = True
        literal = literal and (not line.strip() or line.startswith(" "))
        if not (examples or literal):
            parts = _CODE.split(line)
            parts[::2] = [
                re.sub(r"([|*\\])|(?<=\w)(_)(?!\w)", r"\\\1\2", part) for part in parts[::2]
            ]
            lines[i] = "".join(parts)
        literal = literal or line.endswith("::")


def name_other_files(app, docname, source):
    """Turn links to files that are no pages, which a code host shows, into their names."""
    site = Path(app.srcdir)

    def shown(link):
        text, target = link.groups()
        path = (site / docname).parent.joinpath(target).resolve()
        return link[0] if site in path.parents else f"`{text}`".replace("``", "`")

    source[0] = re.sub(r"\[([^]\n]+)\]\((\.\./[^)#\s]+)\)", shown, source[0])


def setup(app):
    """Connect them; the first before numpydoc, which writes markup of its own."""
    app.connect("autodoc-process-docstring", as_plain_text, priority=400)
    app.connect("source-read", name_other_files)
