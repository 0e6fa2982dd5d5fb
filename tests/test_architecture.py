"""Imports inside hopgrad point downwards only, and importing it stays light."""

import ast
import graphlib
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

# From the bottom up. A name is a module or a package of hopgrad. It may import names of lower layers;
# names of one layer do not know each other. hopgrad/__init__.py and __main__.py stand above all.
LAYERS = [
    ("errors",),
    ("aval", "tree"),
    ("files",),
    ("graph",),
    ("evaluate", "differentiate"),
    ("batch",),
    ("hops",),
    ("trace", "rewrite", "notation", "blocks", "sparsity"),
    ("simplify",),
    ("numpy", "scipy", "random"),
    ("standins",),
    ("outside",),
    ("simplify",),
    ("lower",),
    ("backend",),
    ("entries",),
    ("replay",),
    ("calling",),
    ("transforms", "mapping", "control", "custom", "random"),
    ("integrals", "sparse"),
    ("show", "nn", "optim", "data"),
    ("train",),
    ("gallery", "sklearn", "onnx"),
    ("cli",),
    ("play",),
]

# These take long to load or are optional, so only the functions that need them import them.
HEAVY = {"scipy", "llvmlite", "rich", "safetensors", "onnx", "sklearn", "matplotlib"}

ROOT = Path(__file__).parents[1] / "src" / "hopgrad"
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
TOP = {"hopgrad", "hopgrad.__main__"}


@dataclass(frozen=True)
class Import:
    module: str  # the module that contains the statement
    target: str
    line: int
    in_function: bool
    for_types: bool  # under `if TYPE_CHECKING:`, so it never runs

    def __str__(self) -> str:
        return f"{self.module}, line {self.line}: imports {self.target}"


def module_name(path: Path) -> str:
    parts = ("hopgrad", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def name_of(module: str) -> str:
    """The module's name in LAYERS."""
    return module.split(".")[1]


def targets(node: ast.Import | ast.ImportFrom, module: str) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    package = module if FILES[module].name == "__init__.py" else module.rpartition(".")[0]
    source = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
    # `from package import x` imports the module package.x where there is one.
    members = [f"{source}.{alias.name}" for alias in node.names]
    return [member if member in FILES else source for member in members]


def imports_of(module: str) -> Iterator[Import]:
    def walk(node: ast.AST, in_function: bool, for_types: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for target in targets(node, module):
                yield Import(module, target, node.lineno, in_function, for_types)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            yield from (found for child in node.body for found in walk(child, in_function, True))
            yield from (found for child in node.orelse for found in walk(child, in_function, for_types))
            return
        enters = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from walk(child, in_function or enters, for_types)

    yield from walk(ast.parse(FILES[module].read_text(encoding="utf-8")), False, False)


IMPORTS = [found for module in FILES for found in imports_of(module)]
INTERNAL = [found for found in IMPORTS if found.target.split(".")[0] == "hopgrad"]


def report(found: list[Import]) -> str:
    return "\n".join(str(one) for one in found)


def test_every_module_has_a_layer() -> None:
    missing = sorted({name_of(module) for module in FILES.keys() - TOP} - LEVEL.keys())
    assert not missing, f"give each of these a place in LAYERS of {Path(__file__).name}: {missing}"


def test_imports_point_downwards() -> None:
    def allowed(found: Import) -> bool:
        if found.module in TOP:
            return True
        if found.target in TOP:
            return False
        importer, imported = name_of(found.module), name_of(found.target)
        # A name without a layer is the business of the test above.
        return importer == imported or LEVEL.get(imported, -1) < LEVEL.get(importer, len(LAYERS))

    wrong = [found for found in INTERNAL if not allowed(found)]
    assert not wrong, f"these do not import from a lower layer:\n{report(wrong)}"


def test_no_import_cycles() -> None:
    order: graphlib.TopologicalSorter[str] = graphlib.TopologicalSorter()
    for found in INTERNAL:
        if not found.in_function and not found.for_types:
            order.add(found.module, found.target)
    try:
        order.prepare()
    except graphlib.CycleError as error:
        pytest.fail("each of these is imported by the next: " + " < ".join(error.args[1]))


def test_hopgrad_is_imported_at_the_top_of_a_module() -> None:
    # The lazy attributes of the package itself are what may wait.
    hidden = [found for found in INTERNAL if found.in_function and found.module not in TOP]
    assert not hidden, f"these imports belong at the top of their module:\n{report(hidden)}"


def test_heavy_packages_are_imported_inside_functions() -> None:
    heavy = [found for found in IMPORTS if found.target.split(".")[0] in HEAVY]
    # A bridge to a package, which is there for it alone, has its name.
    bridges = [found for found in heavy if found.module == f"hopgrad.{found.target.split('.')[0]}"]
    early = [found for found in heavy if not (found.in_function or found.for_types or found in bridges)]
    assert not early, f"import these inside the functions that use them:\n{report(early)}"


def test_importing_hopgrad_loads_no_heavy_package() -> None:
    code = "import sys, hopgrad; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = HEAVY & set(done.stdout.split())
    assert not loaded, f"import hopgrad also loads {loaded}"
