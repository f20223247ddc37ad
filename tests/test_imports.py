"""Imports run one way: what stands below knows nothing of what stands above it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# From the bottom up. A part may import those before it; `interop` is for the use of those after it,
# and of lineage and sources inside the functions that hand data over.
ORDER = (
    "numba_kernels",
    "errors",
    "lazy",
    "operations",
    "files",
    "printable",
    "lineage",
    "sources",
    "interop",
    "testing",
    "replays",
    "curvature",
    "audit",
    "attribution",
    "unlearning",
    "compliance",
    "unlearn",
    "demo",
    "user_model",
    "cli",
)
# The same inside of a part that is sorted into folders. Its modules beside them stand above them.
INSIDE = {
    "attribution.store": (
        "folder", "rows", "run", "provenance", "committing", "changing", "erasure",
    ),
    "unlearning": ("records", "request", "methods", "auditing", "purging"),
}  # fmt: skip
HANDING_OVER = {("lineage", "interop"), ("sources", "interop")}


def _modules() -> list[Path]:
    return [
        path
        for package in ("numba_kernels", "traceprop")
        for path in sorted((ROOT / package).rglob("*.py"))
        if path != ROOT / "traceprop" / "__init__.py"  # the front door, which knows all
    ]


def _part(module: str) -> str:
    """The part of the package that a dotted module name belongs to."""
    package, _, below = module.partition(".")
    return package if package == "numba_kernels" else below.partition(".")[0]


def _is_typing_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def _imports(node: ast.AST, inside: bool = False) -> Iterator[tuple[str, int, bool]]:
    """Imported modules, their lines, and whether that is inside of a function."""
    for child in ast.iter_child_nodes(node):
        if _is_typing_only(child):
            continue
        if isinstance(child, ast.Import):
            yield from ((name.name, child.lineno, inside) for name in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            module = child.module or ""
            names = [f"{module}.{name.name}" for name in child.names]
            yield from ((name, child.lineno, inside) for name in names)
        is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        yield from _imports(child, inside or is_function)


def _wrong(part: str, source: str) -> list[str]:
    found = []
    for module, line, inside in _imports(ast.parse(source)):
        if module.partition(".")[0] not in ("traceprop", "numba_kernels"):
            continue
        wanted = _part(module)
        if wanted in ("", "__version__", part) or (inside and (part, wanted) in HANDING_OVER):
            continue
        is_known = wanted in ORDER
        if not is_known and part in ("demo", "user_model", "cli"):
            continue  # they use the front door, as a user does
        if not is_known or ORDER.index(wanted) > ORDER.index(part):
            found.append(f"line {line}: {part} imports {module}")
    return found


def _folder(part: str) -> Path:
    return ROOT.joinpath("traceprop", *part.split("."))


def _wrong_inside(part: str, folder: str, source: str) -> list[str]:
    """Imports of one folder of a part from what stands above it in the same part."""
    order, prefix = INSIDE[part], f"traceprop.{part}."
    below = order[: order.index(folder) + 1]
    return [
        f"line {line}: {folder} imports {module}"
        for module, line, _ in _imports(ast.parse(source))
        if module.startswith(prefix) and module.removeprefix(prefix).split(".")[0] not in below
    ]


@pytest.mark.parametrize("path", _modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_what_stands_below(path: Path):
    part = _part(".".join(path.relative_to(ROOT).with_suffix("").parts))
    assert part in ORDER, f"say in ORDER where {part} stands"
    assert _wrong(part, path.read_text()) == []


@pytest.mark.parametrize(
    ("part", "folder"), [(part, folder) for part, order in INSIDE.items() for folder in order]
)
def test_a_folder_imports_only_from_folders_below(part: str, folder: str):
    modules = sorted((_folder(part) / folder).rglob("*.py"))
    assert modules
    for path in modules:
        assert _wrong_inside(part, folder, path.read_text()) == [], path


def test_every_folder_of_a_sorted_part_has_its_place():
    for part, order in INSIDE.items():
        folders = {p.parent.name for p in _folder(part).glob("*/__init__.py")}
        assert folders == set(order)


def test_the_test_can_fail():
    assert _wrong_inside("unlearning", "records", "from traceprop.unlearning.methods import convex")
    assert not _wrong_inside("unlearning", "methods", "import traceprop.unlearning.records.left")
    upwards = "from traceprop.compliance import merkle"
    assert _wrong("attribution", upwards)
    assert _wrong("attribution", f"def f():\n    {upwards}")
    assert not _wrong("compliance", upwards)
    assert not _wrong("attribution", f"if TYPE_CHECKING:\n    {upwards}")
    assert _wrong("lineage", "from traceprop.interop.torch import dataset")
    assert not _wrong("lineage", "def f():\n    from traceprop.interop.torch import dataset")
    assert _wrong("numba_kernels", "from traceprop.errors import DataError")
    assert _wrong("lineage", "import traceprop.sources.csv.load")
