"""How Sphinx renders the site. `build.py` calls it."""

import re

project = "alrp_ref"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
exclude_patterns = ["README.md", "docs/README.md", "notebooks/data/*"]
root_doc = "index"

html_theme = "furo"
html_title = "aLRP Loss, a reference and a course"
html_static_path = ["_static"]
html_css_files = ["style.css"]
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_show_search_summary = False  # it would fetch pages, which a browser refuses where they are files
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0072B2", "color-brand-content": "#0072B2"},
    "dark_css_variables": {"color-brand-primary": "#56B4E9", "color-brand-content": "#56B4E9"},
}
mathjax_path = "mathjax.js"

nb_execution_mode = "off"
nb_merge_streams = True
nb_render_markdown_format = "myst"  # so that links in outputs are resolved, too
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 4
suppress_warnings = ["myst.header", "mystnb.unknown_mime_type", "misc.highlighting_failure", "ref.python"]

default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
add_module_names = False


def _paragraphs(app, what, name, obj, options, lines):
    """Each of the docstrings' last lines, `Shape: ...`, `Source: ...`, is a paragraph of its own."""
    new, is_named = [], False
    for line in lines:
        line = re.sub(r"\|([PN])\|", r"\\|\1\\|", line)  # |P| is a number here, and a substitution in Sphinx
        if found := re.match(r"(Shape|Source|Raises|Warns|Args, shape, errors|Args|Returns): (\S.*)", line):
            new += ["", f"**{found[1]}:** {found[2]}"]
            is_named = True
        else:
            is_named = is_named and line.startswith(" ")
            new.append(line.strip() if is_named else line)  # else an indented line would be a paragraph of its own
    lines[:] = new


def _skip(app, what, name, obj, skip, options):
    """The fields of a named tuple are in the docstring of its class; of each, Python has only "Alias for field 0"."""
    return True if (getattr(obj, "__doc__", None) or "").startswith("Alias for field number") else None


def setup(app):
    app.connect("autodoc-skip-member", _skip)
    app.connect("autodoc-process-docstring", _paragraphs, priority=400)  # before napoleon's, which is at 500
