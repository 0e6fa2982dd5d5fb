"""How each tool is called: the function it makes of a case, and the arguments that its user would pass.

Every adapter gives back a `Call` that takes and returns NumPy arrays, but for `JaxDevice`, whose arrays stay on the
device. Nothing of a tool is imported before its adapter is made.
"""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np

from bench.case import Case, leaves, mapped


@dataclass(frozen=True)
class Call:
    """A function and the arguments to time it with."""

    function: Callable[..., Any]
    args: tuple[Any, ...]

    def __call__(self) -> Any:
        return self.function(*self.args)


class Unsupported(Exception):  # noqa: N818 - not an error: the tool has no way to write this case
    """Why a tool cannot run a case."""


@functools.cache
def over(function: Callable[..., Any], **namespaces: Any) -> Callable[..., Any]:
    """The same source over other namespaces: its module once more, with these names bound to other libraries."""
    spec = importlib.util.find_spec(function.__module__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for name, namespace in namespaces.items():
        if hasattr(module, name):
            setattr(module, name, namespace)
    return getattr(module, function.__name__)


class Tool:
    """One column of the table."""

    name = ""
    package = ""
    namespaces: dict[str, Any] = {}  # noqa: RUF012 - what each tool puts in place of a module's names

    @property
    def version(self) -> str:
        """The version of the package."""
        return version(self.package)

    def source(self, case: Case) -> Callable[..., Any]:
        """The function to differentiate, or the program that does it, over the tool's namespaces; kept."""
        return over(case.program or case.function, **self.namespaces, **case.instead.get(self.name, {}))

    def prepare(self, case: Case, args: tuple[Any, ...]) -> Call:
        """The call to time."""
        raise NotImplementedError

    def function(self, case: Case, args: tuple[Any, ...]) -> Call:
        """The call of the function alone, compiled."""
        raise Unsupported("compiles gradients only")

    def warm_up(self) -> None:
        """A first derivative of something else, so that the tool's own start is not billed to a case."""
        for x in (0.5, np.linspace(0.0, 1.0, 7)):
            case = Case("warm-up", cubes, make=lambda size, rng: (), sizes=(), casadi=cubes_casadi)
            self.prepare(case, (x,))()


def cubes(x: Any) -> Any:
    """What tools warm up on."""
    return np.sum(x * x * x)


def by_rows(jacobian: Callable[..., Any]) -> Callable[..., Any]:
    """A sparse Jacobian as three arrays: where rows begin, columns, values."""

    def parts(*args: Any) -> tuple[Any, ...]:
        found = jacobian(*args)
        return found.indptr, found.indices, found.data

    return parts


def cubes_casadi(x: Any) -> Any:
    """The same for CasADi."""
    import casadi

    return casadi.sum1(x * x * x)


class Hopgrad(Tool):
    """The NumPy function as it is."""

    name = "hopgrad"
    package = "hopgrad"

    def __init__(self) -> None:
        import hopgrad

        self.hg = hopgrad

    def source(self, case: Case) -> Callable[..., Any]:
        return case.program or case.function

    def prepare(self, case: Case, args: tuple[Any, ...]) -> Call:
        function = self.source(case)
        if case.want == "training":
            return Call(function(*args), args[-2:])
        if case.want == "hvp":
            return Call(self.hg.hvp(function), args)
        if case.want == "step":
            step = function(self.hg.value_and_grad)
            return Call(self.hg.compile(step) if hasattr(self.hg, "compile") else step, args)
        derivative = getattr(self.hg, case.want)(function, case.argnums)
        return Call(by_rows(derivative) if case.want == "sparse_jacobian" else derivative, args)

    def function(self, case: Case, args: tuple[Any, ...]) -> Call:
        return Call(self.hg.compile(case.function), case.of_function(args))


class ByHand(Tool):
    """A gradient derived by hand, in NumPy."""

    name = "by hand"
    package = "numpy"

    def prepare(self, case: Case, args: tuple[Any, ...]) -> Call:
        if case.by_hand is None:
            raise Unsupported("not derived by hand")
        return Call(case.by_hand() if case.want == "step" else case.by_hand, args)

    def warm_up(self) -> None:
        pass


class Cpp(Tool):
    """A gradient derived by hand, in scalar loops of C++ (`bench.cpp`), compiled for this machine."""

    name = "C++"
    package = "C++"

    def __init__(self) -> None:
        from bench import cpp

        self.cpp = cpp

    @property
    def version(self) -> str:
        return self.cpp.version()

    def prepare(self, case: Case, args: tuple[Any, ...]) -> Call:
        if case.cpp is None:
            raise Unsupported("not written in C++")
        if not self.cpp.LIBRARY.exists():
            raise Unsupported("there is no C++ compiler")
        return Call(case.cpp, args)

    def warm_up(self) -> None:
        pass


class Jax(Tool):
    """Compiled by ``jax.jit``; results turned into NumPy arrays, which waits for them."""

    name = "JAX"
    package = "jax"

    def __init__(self) -> None:
        import jax
        import jax.numpy
        import jax.scipy.special

        self.jax = jax
        self.namespaces = {"np": jax.numpy, "special": jax.scipy.special, "hg": jax.lax}

    def source(self, case: Case) -> Callable[..., Any]:
        if case.jax:
            return case.jax if case.want == "training" else over(case.jax, **self.namespaces)
        return super().source(case)

    def compiled(self, case: Case, args: tuple[Any, ...]) -> Callable[..., Any]:
        """The jitted derivative."""
        function = self.source(case)
        if case.want == "hvp":
            gradient = self.jax.grad(function)
            derivative = lambda x, v, *rest: self.jax.jvp(lambda x: gradient(x, *rest), (x,), (v,))[1]  # noqa: E731
        elif case.want == "step":
            derivative = function(self.jax.value_and_grad)
        elif case.want == "jacobian":
            derivative = self.jax.jacfwd(function, case.argnums)
        else:
            derivative = getattr(self.jax, case.want)(function, case.argnums)
        static = [i for i, arg in enumerate(args) if isinstance(arg, int)]
        return self.jax.jit(derivative, static_argnums=static)

    def prepare(self, case: Case, args: tuple[Any, ...]) -> Call:
        if case.want == "training":
            return Call(self.source(case)(*args), args[-2:])
        compiled = self.compiled(case, args)
        if case.want in ("grad", "hvp", "jacobian") and isinstance(case.argnums, int) and not isinstance(args[0], dict):
            return Call(lambda *args: np.asarray(compiled(*args)), args)
        return Call(lambda *args: mapped(np.asarray, compiled(*args)), args)

    def function(self, case: Case, args: tuple[Any, ...]) -> Call:
        args = case.of_function(args)
        static = [i for i, arg in enumerate(args) if isinstance(arg, int)]
        compiled = self.jax.jit(self.source(case), static_argnums=static)
        return Call(lambda *args: mapped(np.asarray, compiled(*args)), args)


class JaxDevice(Jax):
    """As `Jax`, with arguments and results on the device, waited for."""

    name = "JAX device"

    def prepare(self, case: Case, args: tuple[Any, ...]) -> Call:
        compiled, wait = self.compiled(case, args), self.jax.block_until_ready
        on_device = mapped(lambda x: x if isinstance(x, int) else self.jax.device_put(x), args)
        return Call(lambda *args: wait(compiled(*args)), on_device)


class Torch(Tool):
    """Eager PyTorch; tensors share the memory of the NumPy arrays."""

    name = "PyTorch"
    package = "torch"

    def __init__(self) -> None:
        import torch

        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
        self.torch = torch
        self.namespaces = {"np": torch, "special": torch.special}

    def warm_up(self) -> None:
        super().warm_up()
        weight = self.torch.zeros(1, requires_grad=True)
        weight.sum().backward()
        self.torch.optim.Adam([weight], fused=True).step()  # imports a second of modules when first used

    def source(self, case: Case) -> Callable[..., Any]:
        return case.torch or over(case.function, **self.namespaces, **case.instead.get(self.name, {}))

    def prepare(self, case: Case, args: tuple[Any, ...]) -> Call:
        torch, function = self.torch, self.source(case)
        if case.want in ("step", "training"):
            return Call(function(*args), args[-2:])  # the parameters stay with it

        def tensor(x: Any) -> Any:
            if isinstance(x, np.ndarray):
                return torch.from_numpy(x)
            return x if isinstance(x, int) else torch.tensor(x, dtype=torch.float64)

        def array(x: Any) -> Any:
            return x.numpy() if x.ndim else x.item()

        def leaf(x: Any) -> Any:
            return tensor(x).requires_grad_()

        if case.want == "hvp":

            def hvp(x: Any, v: Any, *rest: Any) -> Any:
                x, v = leaf(x), tensor(v)
                (gradient,) = torch.autograd.grad(function(x, *map(tensor, rest)), x, create_graph=True)
                return torch.autograd.grad(gradient, x, v)[0].numpy()

            return Call(hvp, args)

        if case.want == "jacobian":
            forward = torch.func.jacfwd(function, case.argnums)
            return Call(lambda *args: mapped(array, forward(*map(tensor, args))), args)

        argnums = (case.argnums,) if isinstance(case.argnums, int) else case.argnums

        def derivative(*args: Any) -> Any:
            inputs = [mapped(leaf if i in argnums else tensor, arg) for i, arg in enumerate(args)]
            value = function(*inputs)
            wanted = [inputs[i] for i in argnums]
            found = iter(torch.autograd.grad(value, list(leaves(wanted))))
            gradients = [mapped(lambda _: array(next(found)), part) for part in wanted]
            gradient = gradients[0] if isinstance(case.argnums, int) else tuple(gradients)
            return (value.item(), gradient) if case.want == "value_and_grad" else gradient

        return Call(derivative, args)


class TorchCompiled(Torch):
    """PyTorch's loss by ``torch.compile``, which needs a C++ compiler; takes up to a minute for each size."""

    name = "torch.compile"

    def prepare(self, case: Case, args: tuple[Any, ...]) -> Call:
        if case.want != "training":
            raise Unsupported("compiles training steps only, which others make too slow")
        self.torch.compiler.reset()
        return Call(functools.partial(self.source(case), compiler=self.torch.compile)(*args), args[-2:])

    def warm_up(self) -> None:
        Torch.warm_up(Torch())


class Autograd(Tool):
    """HIPS autograd: the NumPy source over ``autograd.numpy``."""

    name = "autograd"
    package = "autograd"

    def __init__(self) -> None:
        import autograd
        import autograd.numpy
        import autograd.scipy.special

        self.autograd = autograd
        self.namespaces = {"np": autograd.numpy, "special": autograd.scipy.special}

    def prepare(self, case: Case, args: tuple[Any, ...]) -> Call:
        function = self.source(case)
        if case.want == "hvp":
            product = self.autograd.hessian_vector_product(function)
            return Call(lambda x, v, *rest: product(x, *rest, v), args)
        if case.want == "step":
            return Call(function(self.autograd.value_and_grad), args)
        return Call(getattr(self.autograd, case.want)(function, case.argnums), args)


class Casadi(Tool):
    """CasADi's virtual machine on scalar expressions (SX), or on matrices (MX) above a thousand elements."""

    name = "CasADi"
    package = "casadi"

    def __init__(self) -> None:
        import casadi

        self.casadi = casadi

    def prepare(self, case: Case, args: tuple[Any, ...]) -> Call:
        ca = self.casadi
        function = case.casadi
        if function is None:
            raise Unsupported("not written for CasADi")
        arrays = [arg for arg in args if not isinstance(arg, int)]
        kind = ca.SX if sum(np.size(x) for x in leaves(arrays)) <= 1000 else ca.MX
        symbols = mapped(lambda x: x if isinstance(x, int) else kind.sym("x", *np.shape(x)), args)
        inputs = [x for x in leaves(symbols) if not isinstance(x, int)]
        if case.want == "hvp":
            x, v, *rest = symbols
            results = [ca.jtimes(ca.gradient(function(x, *rest), x), x, v)]
        else:
            value = function(*symbols)
            argnums = (case.argnums,) if isinstance(case.argnums, int) else case.argnums
            by = list(leaves([symbols[i] for i in argnums]))
            results = [ca.gradient(value, x) for x in by]
            if case.want == "value_and_grad":
                results.insert(0, value)
        evaluate = ca.Function("derivative", inputs, results)
        given = tuple(leaves(arrays))

        def array(x: Any) -> Any:
            return x.full() if x.numel() > 1 else float(x)

        def one(*args: Any) -> Any:
            return array(evaluate(*args))

        def many(*args: Any) -> Any:
            return [array(x) for x in evaluate(*args)]

        return Call(one if len(results) == 1 else many, given)


PEERS: tuple[type[Tool], ...] = (Cpp, Jax, Torch, TorchCompiled, Autograd, Casadi)
TOOLS: tuple[type[Tool], ...] = (Hopgrad, ByHand, Cpp, Jax, JaxDevice, Torch, TorchCompiled, Autograd, Casadi)
