"""Real texts with nothing to download: the documentation strings of Python's standard library.

A top-level module is a tenant, and its rows are numbered from 1: the same number exists in every tenant, as it would in
a database where each customer counts its own. The sources are parsed, never imported: an import may have effects.
"""

import ast
import gc
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SKIPPED: Final = frozenset({
    # Tests and programs rather than libraries.
    "antigravity", "ensurepip", "idlelib", "pydoc_data", "test", "this", "turtledemo",
    # Not in every Python that this runs on.
    "distutils", "lib2to3",
})  # fmt: skip
_TEST_FOLDERS: Final = frozenset({"test", "tests", "idle_test"})
_SHORTEST: Final = 20  # characters; below that a text says nothing

_Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Document:
    """One text: the row's key (`tenant`, `id`), what is searched, and what describes it."""

    tenant: str
    id: int
    title: str
    content: str
    tags: tuple[str, ...]
    url: str


def read_corpus(library: Path | None = None) -> tuple[Document, ...]:
    """Return every public documentation string, by tenant and in order of the source: a few thousand, in about 2 s.

    The same Python gives the same documents. `library` is the folder of the standard library's sources.
    """
    library = Path(sysconfig.get_path("stdlib")) if library is None else library
    names = sorted(name for name in sys.stdlib_module_names if not name.startswith("_") and name not in _SKIPPED)
    with _no_collection():
        return tuple(document for name in names for document in _of_tenant(library, name))


def pick(documents: Sequence[Document], count: int) -> tuple[Document, ...]:
    """Return `count` of the documents, evenly spread over them and so over the tenants; all if there are fewer."""
    if count >= len(documents):
        return tuple(documents)
    return tuple(documents[number * len(documents) // count] for number in range(count))


def _of_tenant(library: Path, name: str) -> Iterator[Document]:
    seen: set[str] = set()
    trees = {_module_name(library, path): tree for path in _sources(library, name) if (tree := _parsed(path))}
    handed_on = _handed_on(trees, name)
    for module, tree in trees.items():
        for title, kind, content in _texts(tree, module, handed_on):
            # A name may be defined twice, for two platforms or as getter and setter: the first text is taken.
            if title not in seen:
                seen.add(title)
                yield Document(
                    tenant=name,
                    id=len(seen),
                    title=title,
                    content=content,
                    tags=(kind,) if module == name else (kind, module),
                    url=f"https://docs.python.org/3/search.html?q={title}",
                )


def _sources(library: Path, name: str) -> list[Path]:
    module = library / f"{name}.py"
    if module.is_file():
        return [module]
    files = (library / name).rglob("*.py")
    return sorted(path for path in files if _is_public(path.relative_to(library)))


def _is_public(path: Path) -> bool:
    if _TEST_FOLDERS & set(path.parts):
        return False
    return not any(part.startswith("_") for part in path.with_suffix("").parts if part != "__init__")


def _module_name(library: Path, path: Path) -> str:
    parts = path.relative_to(library).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _parsed(path: Path) -> ast.Module | None:
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError):
        return None  # templates for code generators, and files that are broken on purpose


def _handed_on(trees: Mapping[str, ast.Module], package: str) -> frozenset[str]:
    """Return the full names that the package offers as its own: `asyncio.queues.Queue` is known as `asyncio.Queue`."""
    names: set[str] = set()
    imports = trees[package].body if package in trees else []
    for statement in imports:
        if isinstance(statement, ast.ImportFrom) and statement.level == 1 and statement.module:
            module = f"{package}.{statement.module}"
            for alias in statement.names:
                offered = _offered(trees[module]) if alias.name == "*" and module in trees else [alias.name]
                names.update(f"{module}.{name}" for name in offered)
    return frozenset(names)


def _offered(tree: ast.Module) -> list[str]:
    """Return what `from module import *` would bring: what a literal `__all__` says, else every definition."""
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.Tuple() | ast.List() as listed):
                return [str(name.value) for name in listed.elts if isinstance(name, ast.Constant)]
            case _:
                pass
    return [child.name for child in _definitions(tree.body)]


def _texts(tree: ast.Module, module: str, handed_on: frozenset[str]) -> Iterator[tuple[str, str, str]]:
    """Yield qualified name, kind and text of everything public that the module documents, from the top down."""
    yield from _of_node(tree, module, "module")
    package = module.partition(".")[0]
    for child in _definitions(tree.body):
        full = f"{module}.{child.name}"
        yield from _walk(child, f"{package}.{child.name}" if full in handed_on else full, in_class=False)


def _walk(node: _Definition, name: str, *, in_class: bool) -> Iterator[tuple[str, str, str]]:
    if node.name.startswith("_"):
        return
    is_class = isinstance(node, ast.ClassDef)
    yield from _of_node(node, name, "class" if is_class else "method" if in_class else "function")
    if is_class:  # what is defined inside a function is nobody's to use
        for child in _definitions(node.body):
            yield from _walk(child, f"{name}.{child.name}", in_class=True)


def _of_node(node: ast.Module | _Definition, name: str, kind: str) -> Iterator[tuple[str, str, str]]:
    content = ast.get_docstring(node) or ""
    if len(content) >= _SHORTEST:
        yield name, kind, content


def _definitions(body: Sequence[ast.stmt]) -> Iterator[_Definition]:
    for statement in body:
        match statement:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                yield statement
            case ast.If() | ast.Try():  # defined for one platform, or if something else is there
                yield from _definitions([*statement.body, *statement.orelse])
            case _:
                pass


@contextmanager
def _no_collection() -> Iterator[None]:
    """Syntax trees are many small objects without cycles: collecting garbage among them doubles the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
