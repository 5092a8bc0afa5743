"""How the documentation is built: Markdown pages, and a reference from docstrings, signatures and argparse.

Strict: `nox -s docs` makes an error of every warning, and with `nitpicky` a name that cannot be found is one. What is
built opens offline: no fonts, scripts or inventories are fetched.
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "docs"), str(ROOT), str(ROOT / "backends")]

from docutils.nodes import Text  # noqa: E402
from sphinx.ext.napoleon import Config, GoogleDocstring  # noqa: E402

import xconv  # noqa: E402

project = "xconv"
author = "the xconv developers"
release = version = xconv.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
    "command_pages",
    "schema_tables",
]
nitpicky = True
nitpick_ignore_regex = [
    # the types of others in signatures; their inventories would have to be fetched
    (r"py:.*", r"(np|numpy|npt|torch|keras|tf|nn|collections|types|argparse|pathlib|pytest|contextlib|os|_pytest)\..*"),
    (
        r"py:.*",
        r"(Any|Callable|Iterable|Iterator|Mapping|Sequence|Hashable|Path|ModuleType|Tensor|AbstractContextManager)",
    ),
]

smartquotes = False  # --op is no dash
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 88
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "furo"
html_title = f"xconv {release}"
html_static_path = ["static"]
html_css_files = ["xconv.css"]
html_show_copyright = False
html_copy_source = False
html_show_search_summary = False  # it would fetch pages, which a browser refuses to one that is opened from a disk
html_show_sourcelink = False
html_theme_options = {"navigation_with_keys": True, "top_of_page_buttons": []}


OURS = ("xconv", "xconv_torch", "xconv_tensorflow", "xconv_jax")


def _documented(name: str, objects: dict[str, Any]) -> str | None:
    """The name under which the reference has an object that a docstring calls by another one, or None."""
    wanted = _found(name)
    if wanted is None:
        return None
    return next((public for public in objects if _found(public) is wanted), None)


def _found(name: str) -> Any:
    """What a dotted name is, or None."""
    for module, rest in _splits(name):
        found: Any = module
        for part in rest:
            found = getattr(found, part, None)
        if found is not None:
            return found
    return None


def _splits(name: str) -> Iterator[tuple[ModuleType, list[str]]]:
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            yield importlib.import_module(".".join(parts[:cut])), parts[cut:]
        except ImportError:
            continue


def resolve_other_names(app: Any, env: Any, node: Any, contnode: Any) -> Any:
    """Links for names by which docstrings call public things, and plain text for internal ones that do exist.

    A docstring says `xconv.errors.ArgumentError`, and the reference has it as `xconv.ArgumentError`. What is in neither
    stays unresolved: a warning, and so an error.
    """
    target = str(node.get("reftarget", ""))
    if node.get("refdomain") != "py":
        return None
    module = node.get("py:module") or ""
    home = (module, *(f"{module.rsplit('.', depth)[0]}" for depth in range(1, module.count(".") + 1)))
    names = [target, *(f"{part}.{target}" for part in home if part)]
    domain = env.get_domain("py")
    for name in names:
        if name.split(".")[0] not in OURS:
            continue
        if public := _documented(name, domain.objects):
            return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", public, node, contnode)
        if _found(name) is not None:
            return contnode
    if node.get("reftype") == "class" and target in _classes():
        return contnode  # in an annotation of a module that imports the name for type checkers only
    return None


@cache
def _classes() -> frozenset[str]:
    """The names of all classes and types of xconv, of modules that nothing has imported too."""
    sources = [file.read_text("utf-8") for folder in ("xconv", "backends") for file in (ROOT / folder).rglob("*.py")]
    return frozenset(name for text in sources for name in re.findall(r"^(?:class )?([A-Z]\w*)\b", text, re.MULTILINE))


GOOGLE = Config(
    napoleon_use_rtype=False,
    napoleon_custom_sections=[("Args beside those that mean what they do in Keras", "params_style")],
)


def sections(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Args, Returns and Raises of functions and classes, as the Sphinx extension `napoleon` reads them.

    Not of attributes and properties, in which it takes what stands before any colon for a type.
    """
    if what not in ("attribute", "property", "data"):
        lines[:] = GoogleDocstring(lines, GOOGLE, app, what, name, obj, options).lines()


def signatures(app: Any, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: Any) -> Any:
    """Signatures of dataclasses as they can be parsed, and read: `<factory>` is no Python, bounds are in the schema."""
    if signature is None:
        return None
    signature = signature.replace("<factory>", "...")
    if "Annotated[" in signature:
        function = WithoutBounds().visit(ast.parse(f"def function{signature}: ...").body[0])
        signature = f"({ast.unparse(function.args)})"
    return signature, returns


class WithoutBounds(ast.NodeTransformer):
    """`Annotated[int, ...]`, before which Sphinx may have a tilde, as `int`."""

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        """What the tilde stands before."""
        bounded = isinstance(node.operand, ast.Subscript) and ast.unparse(node.operand.value).endswith("Annotated")
        return self.visit(node.operand) if bounded else self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        """The type alone."""
        if ast.unparse(node.value).endswith("Annotated") and isinstance(node.slice, ast.Tuple):
            found: ast.AST = self.visit(node.slice.elts[0])
            return found
        return self.generic_visit(node)


def without_last_lines(app: Any, docname: str, source: list[str]) -> None:
    """Pages without the empty line that a doctest in Markdown needs before its fence."""
    source[0] = re.sub(r"(```python\n>>> .*?\n)\n(```$)", r"\1\2", source[0], flags=re.DOTALL | re.MULTILINE)


def dashes(app: Any, doctree: Any) -> None:
    """A dash between an argument and what it is: without smart quotes, Sphinx leaves its two hyphens."""
    for node in list(doctree.findall(Text)):
        if node == " -- ":
            node.parent.replace(node, Text(" \u2013 "))


def setup(app: Any) -> None:
    """Sphinx calls this."""
    app.connect("autodoc-process-docstring", sections)
    app.connect("autodoc-process-signature", signatures)
    app.connect("source-read", without_last_lines)
    app.connect("doctree-read", dashes)
    app.connect("missing-reference", resolve_other_names)
