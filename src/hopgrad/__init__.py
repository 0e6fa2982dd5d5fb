"""hopgrad: automatic differentiation of plain NumPy code that shows its work.

>>> import numpy as np
>>> import hopgrad as hg
>>> def f(x):
...     z = x + 1
...     h = z**2
...     y = np.sin(h)
...     return y
>>> hg.grad(f)(0.5)
-1.8845208681682175

`grad`, `value_and_grad`, `jvp`, `vjp`, `jacobian`, `hessian`, `hvp`, `elementwise_grad` and `check_grads`
differentiate; `graph_of` gives the graph; `explain` shows the work; ``hopgrad.numpy`` is the drop-in namespace for
the few calls that NumPy does not let traced values take part in.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# Where each public name lives. Loaded when first used: ``import hopgrad`` costs little more than NumPy.
_HOMES = {
    **dict.fromkeys(
        (
            "check_grads", "elementwise_grad", "grad", "hessian", "hvp", "jacobian", "jvp", "graph_of",
            "compile", "report", "value_and_grad", "vjp",
        ),
        "hopgrad.transforms",
    ),
    "use_backend": "hopgrad.backend",
    "vmap": "hopgrad.mapping",
    **dict.fromkeys(("sparse_hessian", "sparse_jacobian"), "hopgrad.sparse"),
    **dict.fromkeys(("get_num_threads", "set_num_threads"), "hopgrad.lower.pool"),
    **dict.fromkeys(("cond", "fori_loop", "scan", "switch", "while_loop"), "hopgrad.control"),
    **dict.fromkeys(("custom_jvp", "custom_vjp", "external", "stop_gradient"), "hopgrad.custom"),
    **dict.fromkeys(("Explanation", "explain"), "hopgrad.show.explanation"),
    **dict.fromkeys(("Graph", "Node"), "hopgrad.graph.graph"),
    **dict.fromkeys(
        (
            "DtypeError", "ExpressionError", "GraphError", "HopgradError", "LoopError", "NotDifferentiableError",
            "NativeCodeWarning", "RetraceWarning", "ShapeError", "TraceError",
        ),
        "hopgrad.errors",
    ),
}  # fmt: skip
_MODULES = ("custom", "data", "files", "nn", "numpy", "onnx", "optim", "random", "scipy", "train", "tree")

__all__ = [*_HOMES, *_MODULES, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"hopgrad.{name}")
    else:
        raise AttributeError(f"module 'hopgrad' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)


if TYPE_CHECKING:
    from hopgrad.backend import use_backend as use_backend
    from hopgrad.control import cond as cond
    from hopgrad.control import fori_loop as fori_loop
    from hopgrad.control import scan as scan
    from hopgrad.control import switch as switch
    from hopgrad.control import while_loop as while_loop
    from hopgrad.custom import custom_jvp as custom_jvp
    from hopgrad.custom import custom_vjp as custom_vjp
    from hopgrad.custom import external as external
    from hopgrad.custom import stop_gradient as stop_gradient
    from hopgrad.errors import (
        DtypeError as DtypeError,
    )
    from hopgrad.errors import (
        ExpressionError as ExpressionError,
    )
    from hopgrad.errors import (
        GraphError as GraphError,
    )
    from hopgrad.errors import (
        HopgradError as HopgradError,
    )
    from hopgrad.errors import (
        LoopError as LoopError,
    )
    from hopgrad.errors import (
        NativeCodeWarning as NativeCodeWarning,
    )
    from hopgrad.errors import (
        NotDifferentiableError as NotDifferentiableError,
    )
    from hopgrad.errors import (
        RetraceWarning as RetraceWarning,
    )
    from hopgrad.errors import (
        ShapeError as ShapeError,
    )
    from hopgrad.errors import (
        TraceError as TraceError,
    )
    from hopgrad.graph.graph import Graph as Graph
    from hopgrad.graph.graph import Node as Node
    from hopgrad.lower.pool import get_num_threads as get_num_threads
    from hopgrad.lower.pool import set_num_threads as set_num_threads
    from hopgrad.mapping import vmap as vmap
    from hopgrad.sparse import sparse_hessian as sparse_hessian
    from hopgrad.sparse import sparse_jacobian as sparse_jacobian
    from hopgrad.transforms import check_grads as check_grads
    from hopgrad.transforms import compile as compile
    from hopgrad.transforms import elementwise_grad as elementwise_grad
    from hopgrad.transforms import grad as grad
    from hopgrad.transforms import graph_of as graph_of
    from hopgrad.transforms import hessian as hessian
    from hopgrad.transforms import hvp as hvp
    from hopgrad.transforms import jacobian as jacobian
    from hopgrad.transforms import jvp as jvp
    from hopgrad.transforms import report as report
    from hopgrad.transforms import value_and_grad as value_and_grad
    from hopgrad.transforms import vjp as vjp
