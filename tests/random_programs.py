"""Random Python programs over NumPy, as source text: the way people write, with every way to write in place.

`program` grows the text of a module from a source of choices, so that Hypothesis can shrink it: the first of all
options is the simplest one. Shapes are followed while the text grows, hence most programs run; one that NumPy refuses
to run is a test as well. A module has captured state (global arrays, a dict, a list, objects, cells of a closure),
helper functions, and a function ``f`` whose result depends on every array that there is at its end.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

Choose = Callable[[int], int]
"""Gives a number from 0 to n - 1."""

Shape = tuple[int, ...]

_MODULES = """import functools
import itertools
import math
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from numpy import sin, zeros

import hopgrad as hg

"""

_HELPERS = {
    "total": """
def total(a, k):
    return np.sum(np.cos(np.arange(a.size) * 0.37 + k).reshape(a.shape) * a)

""",
    "traced": """
def traced(function):
    @functools.wraps(function)
    def wrapper(*args, **keywords):
        return function(*args, **keywords)

    return wrapper

""",
    "doubled": """
def doubled(values, factor=2.0):
    for value in values:
        yield value * factor

""",
    "HISTORY": """
HISTORY = []
""",
    "CACHE": """
CACHE = {}
""",
    "kept": """
def kept(value, seen=[]):
    seen.append(value)
    return seen[0]

""",
    "State": """
@dataclass
class State:
    w: np.ndarray
    rate: float

""",
    "Layer": """
class Layer:
    gain = 0.9

    def __init__(self, weight):
        self.weight = weight
        self.calls = 0

    def __call__(self, x):
        self.calls += 1
        return np.tanh(x * self.gain) + np.sum(self.weight)

    @property
    def last(self):
        return self.weight.flat[-1]

    def decay(self, rate):
        self.weight *= rate

""",
}
"""What programs may use besides; a program has the parts that it names."""

_SHAPES: list[Shape] = [
    (3,), (2, 2), (2,), (2, 3), (4,), (3, 3), (), (1,), (3, 2), (1, 3), (2, 2, 2), (3, 1), (2, 1, 3), (0,), (0, 2),
]  # fmt: skip
_MOST = 36  # elements of an array


@dataclass(frozen=True, repr=False)
class Program:
    """A module that defines ``f``; its arguments, and statements that change its captured state, are text too.

    Attributes: ``argnums`` are the arguments to differentiate by; ``later`` are further calls of the same function,
    each with a statement that is run in the module before it. In the text of an argument ``first`` is the one before
    all others.
    """

    source: str
    arguments: tuple[str, ...]
    argnums: tuple[int, ...]
    later: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def __str__(self) -> str:
        lines = [self.source, "", f"f({', '.join(self.arguments)})  # by the arguments {self.argnums}"]
        for change, arguments in self.later:
            lines += [*([change] if change else []), f"f({', '.join(arguments)})"]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(f"\n{self}\n")  # as Hypothesis shows it


@dataclass
class Array:
    """A name (or an expression such as ``d["w"]``) that stands for an array."""

    text: str
    shape: Shape
    integer: bool = False
    writable: bool = True
    own: bool = True
    """Whether it is a plain name that may be assigned to."""


@dataclass
class Function:
    """A function that later code may call."""

    name: str
    parameters: list[Shape | None]
    """Shapes of array parameters; None is a number."""
    result: Shape | str
    """The shape of an array, "number" or "nothing"."""
    writes: bool = False
    depth: bool = False
    """Whether it is recursive, with a counter as the last parameter."""


@dataclass
class Scope:
    """What can be named at a place of the program."""

    arrays: list[Array] = field(default_factory=list)
    numbers: list[str] = field(default_factory=list)
    own: list[str] = field(default_factory=list)
    integers: list[tuple[str, int]] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)
    loops: int = 0
    breaks: bool = False
    returns: Callable[[Scope], str] | None = None

    def inside(self, **changes: Any) -> Scope:
        """A block: what is named in it is not known after it."""
        lists = {name: list(getattr(self, name)) for name in ("arrays", "numbers", "own", "integers", "functions")}
        return replace(self, **lists, **changes)

    def function(self) -> Scope:
        """The body of a nested function: names of the outer one can be used, but not assigned to."""
        arrays = [replace(a, own=False) for a in self.arrays]
        return replace(self.inside(breaks=False, returns=None), arrays=arrays, own=[])


class Grower:
    """Grows one program."""

    def __init__(self, choose: Choose, statements: int) -> None:
        self.choose = choose
        self.left = statements
        self.counter = itertools.count()
        self.lines: list[str] = []
        self.indent = 0

    # -- choices -----------------------------------------------------------------------------------------------------

    def pick(self, options: Sequence[Any]) -> Any:
        return options[self.choose(len(options))]

    def chance(self, percent: int) -> bool:
        return self.choose(100) >= 100 - percent

    def new(self, prefix: str) -> str:
        return f"{prefix}{next(self.counter)}"

    def put(self, line: str) -> None:
        self.lines.append("    " * self.indent + line)

    def constant(self) -> str:
        return self.pick(["0.5", "1.3", "-0.7", "2.0", "0.9", "-1.6", "0.25", "1"])

    def shape(self) -> Shape:
        return self.pick(_SHAPES)

    # -- expressions -------------------------------------------------------------------------------------------------

    def number(self, scope: Scope, depth: int = 1) -> str:
        """A number that may depend on the arguments: a Python or a NumPy one."""
        options: list[Callable[[], str]] = [self.constant]
        some = [a for a in scope.arrays if np.prod(a.shape) > 0]
        if scope.numbers:
            options += [lambda: self.pick(scope.numbers)] * 3
        if some:
            options += [lambda: self.element(scope, self.pick(some))] * 3
            options += [lambda: self.reduced(scope, self.pick(some))] * 2
        if depth > 0:
            n = lambda: self.number(scope, depth - 1)  # noqa: E731
            options += [
                lambda: f"({n()} {self.pick(['+', '-', '*'])} {n()})",
                lambda: f"{self.pick(['np.sin', 'np.cos', 'np.tanh', 'abs', 'np.abs', 'sin'])}({n()})",
                lambda: f"{self.pick(['max', 'min', 'np.maximum', 'np.minimum'])}({n()}, {n()})",
                lambda: f"({n()} / (2.5 + np.cos({n()})))",
                lambda: f"({n()} if {self.truth(scope, depth - 1)} else {n()})",
                lambda: f"({n()}) ** 2",
                lambda: f"{self.pick(['sum', 'max', 'min', 'np.sum', 'np.max'])}([{n()}, {n()}, {n()}])",
                lambda: f"sorted([{n()}, {n()}, {n()}])[{self.choose(3)}]",
                lambda: f"math.{self.pick(['sin', 'exp', 'sqrt', 'fabs'])}(0.3 + np.tanh({n()}) ** 2)",
                lambda: f"float({n()})",
                lambda: f"divmod({n()}, 0.8)[{self.choose(2)}]",
                lambda: f"({n()}) % 0.7",
                lambda: f"round({n()}{self.pick(['', ', 1'])})",
                lambda: f"int({n()})",
                lambda: f"0.3 * {self.integer(scope, 3)}",
                lambda: f"({self.truth(scope, depth - 1)}) * {n()}",
                lambda: f"float(format({n()}, '.1f'))",
                lambda: f"0.1 * len(str({n()}))",
                lambda: (
                    f"(0.3 if isinstance({n()}, {self.pick(['np.floating', 'float', 'int', 'np.ndarray'])}) else 0.2)"
                ),
                lambda: f"(0.3 if type({n()}) {self.pick(['is float', 'is np.float64', 'in (int, bool)'])} else 0.2)",
                lambda: f"(0.3 if hasattr({n()}, 'dtype') else 0.2)",
                lambda: f"[{n()}, {n()}].index({n()}) if False else {n()}",
                lambda: f"math.hypot({n()}, 0.5)",
                lambda: f"math.fsum([{n()}, {n()}])",
                lambda: f"np.float64({n()})",
                lambda: f"np.mean([{n()}, {n()}])",
                lambda: f"pow({n()}, 2)",
                lambda: f"({n()}) // 0.5",
                lambda: f"-({n()})",
                lambda: f"math.floor({n()})",
                lambda: f"sum([[{n()}], [{n()}]], [])[1]",
                lambda: f"max([{n()}, {n()}], default=0.0)",
                lambda: f"dict(p={n()}, q={n()})['q']",
                lambda: f"sorted([(1, {n()}), (0, {n()})])[0][1]",
                lambda: f"(lambda *p, **q: p[0] + q['r'])({n()}, r={n()})",
                lambda: f"math.copysign({n()}, {n()})",
            ]
            lines = [a for a in some if len(a.shape) == 1]
            if lines:
                a = lambda: self.pick(lines).text  # noqa: E731
                options += [
                    lambda: f"sum({a()})",
                    lambda: f"{self.pick(['max', 'min'])}({a()})",
                    lambda: f"sorted({a()}{self.pick(['', ', reverse=True', ', key=abs', ', key=lambda v: -v'])})[0]",
                    lambda: f"sum(v * {self.constant()} for v in {a()} if v {self.pick(['>', '<', '!='])} {n()})",
                    lambda: f"float({a()}[0])",
                    lambda: f"sum(doubled({a()}))",
                    lambda: f"sum(doubled({a()}, factor={n()}))",
                    lambda: f"functools.reduce(lambda p, q: p * 0.5 + q, {a()})",
                    lambda: f"list(itertools.accumulate({a()}))[-1]",
                    lambda: f"sum(map(lambda v: v ** 2, {a()}))",
                    lambda: f"next(iter({a()}))",
                    lambda: f"max({a()}, key=lambda v: abs(v - 0.3))",
                    lambda: f"{a()}.tolist()[0]",
                    lambda: f"np.dot({(one := a())}, {one})",
                    lambda: f"np.linalg.norm({a()})",
                    lambda: f"{a()}[{a()} > {n()}].sum()",
                    lambda: f"sum(p * q for p, q in zip({a()}, {a()}))",
                    lambda: f"(lambda first, *rest: first + 0.5 * len(rest))(*{a()})",
                    lambda: f"[*{a()}][-1]",
                    lambda: f"list(reversed({a()}))[0]",
                    lambda: f"list(map(np.sin, {a()}))[-1]",
                    lambda: f"list(filter(lambda v: v < 9.0, {a()}))[0]",
                    lambda: f"min(enumerate({a()}), key=lambda pair: pair[1])[0]",
                    lambda: f"{{k: v for k, v in enumerate({a()})}}[0]",
                    lambda: f"len({{int(v) for v in {a()}}})",
                    lambda: f"[f for f in [lambda v=v: v * 0.5 for v in {a()}]][0]()",
                    lambda: f"next((v for v in {a()} if v > {n()}), 0.1)",
                    lambda: f"(0.3 if type({a()}) is np.ndarray else 0.2)",
                    lambda: f"np.interp({n()}, [-1.0, 0.0, 1.0], [0.5, {n()}, 2.0])",
                    lambda: f"np.trapezoid({a()})",
                    lambda: f"np.ptp({a()})",
                    lambda: f"np.median({a()})",
                    lambda: f"np.std({a()} + np.arange({a()}.size)[0])",
                ]
            calls = [f for f in scope.functions if f.result == "number"]
            if calls:
                options += [lambda: self.called(scope, self.pick(calls), depth - 1)] * 2
        return self.pick(options)()

    def element(self, scope: Scope, a: Array) -> str:
        if not a.shape:
            return self.pick([f"{a.text}[()]", f"float({a.text})", f"{a.text}.item()", a.text])
        key = ", ".join(self.integer(scope, n) for n in a.shape)
        text = f"{a.text}[{key}]"
        flat = self.choose(int(np.prod(a.shape)))
        return self.pick([text] * 5 + [f"{a.text}.item({flat})", f"{a.text}.flat[{flat}]", f"{a.text}.ravel()[{flat}]"])

    def reduced(self, scope: Scope, a: Array) -> str:
        name = self.pick(["sum", "mean", "max", "min", "prod"])
        return self.pick([f"{a.text}.{name}()", f"np.{name}({a.text})", f"np.{name}({a.text} * {self.constant()})"])

    def integer(self, scope: Scope, n: int, negative: bool = True) -> str:
        """An index into an axis of this length."""
        k = self.choose(n)
        options: list[Callable[[], str]] = [lambda: str(k)] * 6
        if negative:
            options += [lambda: str(k - n)] * 2
        loops = [text for text, bound in scope.integers if bound <= n]
        if loops:
            options += [lambda: self.pick(loops)] * 6
        any_loop = [text for text, _ in scope.integers]
        if any_loop:
            options += [lambda: f"{self.pick(any_loop)} % {n}"]
        short = [a for a in scope.arrays if 0 < np.prod(a.shape) <= n]
        if short:
            a = lambda: self.pick(short).text  # noqa: E731
            options += [lambda: f"{self.pick(['np.argmax', 'np.argmin'])}({a()})", lambda: f"int(np.argmax({a()}))"]
        some = [a for a in scope.arrays if len(a.shape) == 1 and a.shape[0]]
        if some:
            options += [
                lambda: f"int(abs({self.element(scope, self.pick(some))}) * 3) % {n}",
                lambda: f"sum(v > 0.2 for v in {self.pick(some).text}) % {n}",
                lambda: f"round(np.sum({self.pick(some).text})) % {n}",
            ]
        return self.pick(options)()

    def truth(self, scope: Scope, depth: int = 1) -> str:
        n = lambda: self.number(scope, 0)  # noqa: E731
        options: list[Callable[[], str]] = [lambda: f"{n()} {self.pick(['>', '<', '>=', '<=', '!='])} {n()}"] * 4
        some = [a for a in scope.arrays if np.prod(a.shape) > 0]
        options += [lambda: f"-1.0 < {n()} < {n()}", lambda: f"not {n()} > {n()}"]
        if depth > 0:
            t = lambda: self.truth(scope, depth - 1)  # noqa: E731
            options += [lambda: f"({t()} {self.pick(['and', 'or'])} {t()})"] * 2
        if some:
            a = lambda: self.pick(some).text  # noqa: E731
            options += [
                lambda: f"np.{self.pick(['any', 'all'])}({a()} > {n()})",
                lambda: f"({a()} < {n()}).{self.pick(['any', 'all'])}()",
                lambda: f"any(v > {n()} for v in {a()}.ravel())",
                lambda: f"np.isfinite({n()})",
                lambda: f"np.allclose({a()}, {n()})",
                lambda: f"bool({n()})",
                lambda: f"isinstance({a()}, np.ndarray)",
                lambda: f"{a()} is {a()}",
                lambda: f"len(np.shape({a()})) > 1",
                lambda: f"np.count_nonzero({a()} > {n()}) > 1",
                lambda: f"{n()} in {a()}",
                lambda: f"(w := {n()}) > {n()}",
                lambda: f"np.array_equal({a()}, {a()})",
                lambda: f"{a()}.dtype == np.float64 and {a()}.ndim == 1",
                lambda: f"np.shape({a()}) == {a()}.shape",
                lambda: f"{a()}.size > 2 or {n()} > 0",
                lambda: f"np.sign({n()}) == 1",
                lambda: f"str({n()}).startswith('-')",
                lambda: f"int(np.argmax({a()})) == 0",
            ]
        return self.pick(options)()

    def array(self, scope: Scope, shape: Shape, depth: int = 1) -> str:
        """An expression of exactly this shape."""
        size = int(np.prod(shape))
        exact = [a.text if not a.integer else f"({a.text} * 0.5)" for a in scope.arrays if a.shape == shape]
        options: list[Callable[[], str]] = [lambda: f"np.full({shape}, {self.number(scope, 0)})"]
        options += [lambda: self.pick(exact)] * (4 if exact else 0)
        if depth <= 0:
            if not exact:
                options += [
                    lambda: f"np.ones({shape})",
                    lambda: f"(np.arange({size}) * 0.3).reshape({shape})",
                ]
            return self.pick(options)()
        e = lambda: self.array(scope, shape, depth - 1)  # noqa: E731
        o = lambda: self.operand(scope, shape, depth - 1)  # noqa: E731
        m = lambda: self.mask(scope, shape)  # noqa: E731
        options += [
            lambda: f"({e()} {self.pick(['+', '-', '*'])} {o()})",
            lambda: f"({o()} {self.pick(['+', '-', '*'])} {e()})",
            lambda: f"({e()} * {self.constant()})",
            lambda: f"np.{self.pick(['sin', 'cos', 'tanh', 'abs', 'arctan', 'square', 'negative'])}({e()})",
            lambda: f"np.{self.pick(['maximum', 'minimum', 'multiply', 'add'])}({e()}, {o()})",
            lambda: f"({e()} / (2.5 + np.cos({o()})))",
            lambda: f"np.where({self.mask(scope, shape)}, {e()}, {o()})",
            lambda: f"({e()} if {self.truth(scope)} else {e()})",
            lambda: f"np.sqrt(1.0 + {e()} ** 2)",
            lambda: f"{e()}.copy()",
            lambda: f"np.clip({e()}, -1.0, 1.0)",
            lambda: f"np.array({e()})",
            lambda: f"(-{e()})",
            lambda: f"np.exp(-{e()} ** 2)",
            lambda: f"({e()} > {o()}) * {o()}",
            lambda: f"np.heaviside({e()}, 0.5) * {e()}",
            lambda: f"np.nan_to_num({e()})",
            lambda: f"np.asarray({e()}, dtype=float)",
            lambda: f"np.array({e()}, copy=True, dtype=np.float64)",
            lambda: f"Layer({o()})({e()})" if shape else e(),
            lambda: f"traced(np.sin)({e()})",
            lambda: f"functools.partial(np.add, {o()})({e()})",
            lambda: f"(lambda p, q=0.5: p * q)({e()})",
            lambda: f"np.vectorize(lambda v: v * 2 if v > 0.1 else -v)({e()})" if size else e(),
            lambda: f"np.where({e()} > 0, {e()}, 0.0)",
            lambda: f"np.select([{m()}, {m()}], [{e()}, {e()}], {self.number(scope, 0)})",
            lambda: f"np.lib.stride_tricks.as_strided({e()})" if self.chance(2) else e(),
            lambda: (
                f"np.take({e()}, {[self.choose(max(size, 1)) for _ in range(size)]}).reshape({shape})" if size else e()
            ),
        ]
        if shape:
            rest = shape[1:]
            options += [
                lambda: (
                    f"np.stack([{', '.join(self.array(scope, rest, 0) for _ in range(shape[0]))}])" if shape[0] else e()
                ),
                lambda: (
                    f"np.array([{', '.join(self.number(scope, 0) for _ in range(shape[0]))}])"
                    if len(shape) == 1 and shape[0]
                    else e()
                ),
                lambda: f"np.{self.pick(['cumsum', 'sort', 'flip', 'roll'])[:]}({e()}, {-1})" if shape[-1] else e(),
                lambda: f"{e()}[::-1]",
                lambda: f"{e()}[{[self.choose(shape[0]) for _ in range(shape[0])]}]" if shape[0] else e(),
                lambda: f"np.{self.pick(['sum', 'mean', 'max'])}({self.array(scope, (2, *shape), 0)}, axis=0)",
                lambda: (
                    f"np.array([{self.pick(['v * 0.5', 'np.sin(v)', 'v if v > 0 else -v'])} for v in {e()}])"
                    if len(shape) == 1 and shape[0]
                    else e()
                ),
            ]
        if len(shape) == 2 and size:
            options += [
                lambda: f"({self.array(scope, (shape[0], 2), 0)} @ {self.array(scope, (2, shape[1]), 0)})",
                lambda: f"np.einsum('ij,ij->ij', {e()}, {e()})",
                lambda: f"np.einsum('ij,jk->ik', {self.array(scope, (shape[0], 2), 0)}, np.ones((2, {shape[1]})))",
                lambda: f"np.apply_along_axis(lambda v: v * 0.5, 0, {e()})",
                lambda: f"np.array([[v * 0.5 for v in row] for row in {e()}])",
                lambda: f"np.array([row if row[0] > 0 else -row for row in {e()}])",
                lambda: f"np.concatenate([{e()}[1:], {e()}[:1]])",
                lambda: f"np.vstack(list({e()}))",
                lambda: f"np.triu({e()})",
                lambda: f"np.outer({self.array(scope, shape[:1], 0)}, {self.array(scope, shape[1:], 0)})",
                lambda: f"{self.array(scope, shape[::-1], 0)}.T",
            ]
        calls = [f for f in scope.functions if f.result == shape]
        if calls:
            options += [lambda: self.called(scope, self.pick(calls), depth - 1)] * 3
        return self.pick(options)()

    def operand(self, scope: Scope, shape: Shape, depth: int = 0) -> str:
        """Something that broadcasts to a shape."""
        fitting = []
        for a in scope.arrays:
            try:
                if np.broadcast_shapes(a.shape, shape) == shape:
                    fitting.append(a.text)
            except ValueError:
                continue
        options = [lambda: self.number(scope, depth)] * 2 + [lambda: self.array(scope, shape, depth)] * 2
        options += [lambda: self.pick(fitting)] * (2 if fitting else 0)
        return self.pick(options)()

    def mask(self, scope: Scope, shape: Shape) -> str:
        """A boolean array of exactly this shape."""
        exact = [a.text for a in scope.arrays if a.shape == shape]
        fixed = [bool(self.choose(2)) for _ in range(int(np.prod(shape)))]
        options: list[Callable[[], str]] = [lambda: f"np.array({fixed}, dtype=bool).reshape({shape})"]
        if exact:
            compared = lambda: f"({self.pick(exact)} {self.pick(['>', '<'])} {self.number(scope, 0)})"  # noqa: E731
            options += [compared] * 2 + [lambda: f"({compared()} {self.pick('&|')} {compared()})"]
        return self.pick(options)()

    def called(self, scope: Scope, function: Function, depth: int = 0) -> str:
        given = []
        for shape in function.parameters:
            if shape is None:
                given.append(self.number(scope, depth))
                continue
            names = [a.text for a in scope.arrays if a.shape == shape and a.writable and not a.integer]
            name = self.pick(names) if names else ""
            given.append(name if names and (function.writes or self.chance(60)) else self.array(scope, shape, depth))
        if function.depth:
            given.append(str(1 + self.choose(3)))
        return f"{function.name}({', '.join(given)})"

    # -- views -------------------------------------------------------------------------------------------------------

    def key(self, scope: Scope, shape: Shape, views: bool = True) -> tuple[str, str]:
        """A key of basic indexing, and one of the same effect on shapes without names in it."""
        parts, probes = [], []
        for n in shape:
            if self.chance(15):
                break
            options = [":", "::-1", "1:", ":-1", "::2", "-2:", "1::2", "::-2", "0:2"]
            if n and (not views or self.chance(35)):
                text = self.integer(scope, n)
                parts.append(text)
                probes.append("0")
            else:
                parts.append(self.pick(options))
                probes.append(parts[-1])
        if self.chance(8):
            parts.append("None")
            probes.append("None")
        if not parts or self.chance(12):
            place = self.choose(len(parts) + 1) if len(parts) < len(shape) or not parts else len(parts)
            parts.insert(place, "...")
            probes.insert(place, "...")
        return ", ".join(parts), ", ".join(probes)

    def view(self, scope: Scope, a: Array) -> Array | None:
        """An expression that gives a view of an array (or, at times, a copy)."""
        shape, size = a.shape, int(np.prod(a.shape))
        key, probe = self.key(scope, shape)
        keyed = ("{}[" + key + "]", "{}[" + probe + "]")
        divisors = [k for k in range(1, size + 1) if size % k == 0] or [1]
        split = self.pick(divisors)
        forms = [keyed] * 5
        same = ["{}[:]" if shape else "{}[...]", "{}[...]", "np.asarray({})", "{}.view()"]
        same += [
            "{}.reshape(-1)",
            "{}.ravel()",
            "np.atleast_1d({})",
            "{}[None]",
            "np.broadcast_to({}, (2, *np.shape({})))",
        ]
        same += [f"{{}}.reshape({split}, -1)"] * 2 if size else []
        if shape:
            same += ["np.flip({}, 0)", "np.expand_dims({}, -1)", "{}[::-1]", "np.split({}, 1)[0]", "{}.flatten()"]
        if len(shape) > 1:
            same += ["{}.T", "np.swapaxes({}, 0, 1)", "{}.swapaxes(0, -1)", "np.moveaxis({}, 0, -1)", "{}.T.ravel()"]
            same += ["np.diagonal({})", "{}.diagonal()", "np.transpose({})", "{}.T[::-1]", "{}.T.reshape(-1)"]
            same += ["{}.ravel('F')", "np.rot90({})", "{}.squeeze()", "{}.T.copy()"]
        forms += [(text, text) for text in same]
        text, probe = self.pick(forms)
        try:
            found = eval(probe.replace("{}", "_"), {"np": np, "_": np.zeros(shape)})
        except (ValueError, IndexError):
            return None
        if not isinstance(found, np.ndarray) or found.size > _MOST or found.ndim > 4:
            return None
        writable = a.writable and found.flags.writeable
        return Array(text.replace("{}", a.text), found.shape, a.integer, writable, own=False)

    def place(self, scope: Scope) -> Array | None:
        """Something that can be written to with an index: a name, or a view of one."""
        names = [a for a in scope.arrays if a.writable]
        if not names:
            return None
        a = self.pick(names)
        if self.chance(25):
            found = self.view(scope, a)
            if found is not None and found.writable:
                return found
        return a

    # -- statements --------------------------------------------------------------------------------------------------

    def block(self, scope: Scope, most: int) -> None:
        """Statements, at least one."""
        before = len(self.lines)
        for _ in range(1 + self.choose(most)):
            if self.left <= 0:
                break
            self.left -= 1
            self.statement(scope)
        if len(self.lines) == before:
            self.put("pass")

    def statement(self, scope: Scope) -> None:
        kinds = [self.assign_view] * 3 + [self.assign_array] * 2 + [self.assign_number] * 2
        kinds += [self.write_item] * 4 + [self.write_more] * 5 + [self.write_name] * 2
        kinds += [self.containers] * 2 + [self.rows] * 2 + [self.call_statement, self.outer_state]
        if self.indent < 4:
            kinds += [self.branch] * 3 + [self.loop] * 3 + [self.inner_function, self.attempt, self.nested_gradient]
            kinds += [self.with_block, self.objects]
        if scope.returns is not None and self.indent > 1:
            kinds += [self.early_return]
        if scope.breaks:
            kinds += [self.leave_loop] * 2
        self.pick(kinds)(scope)

    def define(self, scope: Scope, text: str, shape: Shape, writable: bool = True, integer: bool = False) -> None:
        """A new name for an array, or a new meaning of an old one."""
        old = [a for a in scope.arrays if a.own and a.shape == shape and a.integer == integer]
        if old and self.chance(30):
            a = self.pick(old)
            a.writable = a.writable and writable
            self.put(f"{a.text} = {text}")
            return
        name = self.new("a")
        self.put(f"{name} = {text}")
        scope.arrays.append(Array(name, shape, integer, writable))

    def assign_array(self, scope: Scope) -> None:
        shape = self.pick([a.shape for a in scope.arrays]) if scope.arrays and self.chance(50) else self.shape()
        size = int(np.prod(shape))
        names = [a.text for a in scope.arrays if a.shape == shape and not a.integer]
        options: list[Callable[[], str]] = [
            lambda: f"np.zeros({shape})",
            lambda: f"np.ones({shape})",
            lambda: f"np.full({shape}, {self.number(scope)})",
            lambda: f"np.arange({float(size)}).reshape({shape})",
            lambda: f"zeros({shape})",
            lambda: f"np.zeros({shape}, dtype=np.float32)",
            lambda: f"np.zeros({shape}, order='F')",
        ]
        if names:
            like = lambda: self.pick(names)  # noqa: E731
            options += [
                lambda: f"np.zeros_like({like()})",
                lambda: f"np.ones_like({like()})",
                lambda: f"np.full_like({like()}, {self.number(scope, 0)})",
                lambda: f"{like()}.astype(np.float32)",
                lambda: f"{like()}.copy('F')",
                lambda: f"np.array({like()}, copy={self.pick(['True', 'None'])})",
                lambda: f"np.empty_like({like()})",
            ]
        if shape:
            options += [lambda: self.array(scope, shape, 2)] * 6
        if size and self.chance(12):
            self.define(scope, self.pick([f"np.zeros({shape}, dtype=int)", f"np.arange({size}).reshape({shape})"]),
                        shape, integer=True)  # fmt: skip
            return
        text = self.pick(options)()
        self.define(scope, text, shape)
        if "empty" in text:
            name = self.lines[-1].split(" = ")[0].strip()
            self.put(f"{name}.fill({self.constant()})")

    def assign_view(self, scope: Scope) -> None:
        if not scope.arrays:
            return self.assign_array(scope)
        a = self.pick(scope.arrays)
        found = self.view(scope, a) if not self.chance(15) else replace(a)
        if found is not None:
            self.define(scope, found.text, found.shape, found.writable, found.integer)

    def assign_number(self, scope: Scope) -> None:
        own = [n for n in scope.numbers if n in scope.own]
        if own and self.chance(50):
            self.put(f"{self.pick(own)} {self.pick(['+=', '=', '-=', '*='])} {self.number(scope)}")
            return
        name = self.new("s")
        self.put(f"{name} = {self.number(scope, 2)}")
        scope.numbers.append(name)
        scope.own.append(name)

    def write_item(self, scope: Scope) -> None:
        """An assignment, plain or augmented, to a part that an index names."""
        a = self.place(scope)
        if a is None:
            return self.assign_array(scope)
        key, probe = self.key(scope, a.shape, views=self.chance(70))
        try:
            shape = np.shape(eval(f"_[{probe}]", {"_": np.zeros(a.shape)}))
        except IndexError:
            return None
        operator = "=" if a.integer else self.pick(["=", "=", "=", "+=", "-=", "*=", "/="])
        value = (
            self.operand(scope, shape, 1)
            if operator in ("=", "+=", "-=")
            else f"(2.0 + np.cos({self.operand(scope, shape)}))"
        )
        self.put(f"{a.text}[{key}] {operator} {value}")
        return None

    def write_name(self, scope: Scope) -> None:
        """``a += b``."""
        names = [a for a in scope.arrays if a.writable and a.own and not a.integer]
        if not names:
            return self.assign_array(scope)
        a = self.pick(names)
        operator = self.pick(["+=", "*=", "-=", "/=", "**="])
        value = self.operand(scope, a.shape, 1)
        if operator in ("*=", "/="):
            value = f"(1.5 + 0.4 * np.sin({value}))"
        self.put(f"{a.text} {operator} {value if operator != '**=' else 2}")
        return None

    def write_more(self, scope: Scope) -> None:
        """All the other ways to write to an array."""
        a = self.place(scope)
        if a is None or a.integer:
            return self.assign_array(scope)
        t, shape, size = a.text, a.shape, int(np.prod(a.shape))
        number = lambda: self.number(scope, 0)  # noqa: E731
        value = lambda: self.operand(scope, shape)  # noqa: E731
        mask = lambda: self.mask(scope, shape)  # noqa: E731
        where = self.pick(["", "", "[...]"]) if shape else "[...]"
        exact = [b.text for b in scope.arrays if b.shape == shape and not b.integer] or [f"np.ones({shape})"]
        other = lambda: self.pick(exact)  # noqa: E731
        options: list[Callable[[], str]] = [
            lambda: f"{t}[{mask()}] = {number()}",
            lambda: f"{t}[{mask()}] {self.pick(['+=', '*=', '-='])} {number()}",
            lambda: f"m = {mask()}; {t}[m] = {other()}[m]",
            lambda: f"m = {mask()}; {t}[m] += {other()}[m] * {self.constant()}",
            lambda: f"{t}[{t} > {number()}] = {number()}",
            lambda: f"np.add({t}, {value()}, out={t}{where})",
            lambda: f"np.multiply({other()}, {value()}, out={t}{where})",
            lambda: f"np.{self.pick(['sin', 'cos', 'tanh'])}({other()}, out={t})",
            lambda: f"np.maximum({t}, {value()}, out={t}, where={mask()})",
            lambda: f"np.copyto({t}, {value()})",
            lambda: f"np.copyto({t}, {value()}, where={mask()})",
            lambda: f"np.putmask({t}, {mask()}, {self.pick([number, other])()})",
            lambda: f"np.place({t}, {mask()}, [{number()}, {number()}])",
            lambda: f"{t}.fill({number()})",
            lambda: f"np.clip({t}, -0.9, 0.9, out={t})",
            lambda: f"{t}[...] = {value()}",
            lambda: f"np.negative({t}, {t})",
        ]  # fmt: skip
        if size:
            k, j = self.choose(size), self.choose(size)
            options += [
                lambda: f"{t}.flat[{k}] = {number()}",
                lambda: f"{t}.flat[{k}] += {number()}",
                lambda: f"{t}.flat = {value()}",
                lambda: f"np.put({t}, [{k}, {j}], [{number()}, {number()}])",
                lambda: f"{t}.put([{k}], {number()})",
                lambda: f"{t}.flat[[{k}, {j}]] = {number()}",
            ]
        if shape and shape[0]:
            n, rest = shape[0], shape[1:]
            places = [self.choose(n) for _ in range(1 + self.choose(3))]
            line = lambda: self.operand(scope, rest)  # noqa: E731
            many = lambda: self.operand(scope, (len(places), *rest))  # noqa: E731
            p, q = self.integer(scope, n), self.integer(scope, n)
            options += [
                lambda: f"np.add.at({t}, {places}, {many()})",
                lambda: f"np.subtract.at({t}, {places}, {line()})",
                lambda: f"np.multiply.at({t}, {places}, {number()})",
                lambda: f"{t}[{places}] = {many()}",
                lambda: f"{t}[{places}] += {many()}",
                lambda: f"{t}[np.array({places})] *= {number()}",
                lambda: f"{t}[[{p}, {q}]] = {t}[[{q}, {p}]]",
                lambda: f"{t}[{p}], {t}[{q}] = {t}[{q}], {t}[{p}]",
                lambda: f"{t}[{p}], {t}[{q}] = {t}[{q}]{'.copy()' if rest else ''}, {t}[{p}]",
                lambda: f"{t}[1:] = {t}[:-1]",
                lambda: f"{t}[:-1] = {t}[1:]",
                lambda: f"{t}[:] = {t}[::-1]",
                lambda: f"{t}[1:] += {t}[:-1]",
                lambda: f"{t}[::2] {self.pick(['=', '+=', '-='])} {number()}",
                lambda: f"{t}[::-1] = {t} * {self.constant()}",
                lambda: f"np.sum({self.array(scope, (2, *shape), 0)}, axis=0, out={t})",
                lambda: f"np.cumsum({t}, axis=0, out={t})",
                lambda: f"{t}.sort()",
                lambda: f"{t}.sort(axis=0)",
                lambda: f"{t}[np.argsort({self.array(scope, (n,), 0)})] = {t}.copy()",
                lambda: f"{t}[np.argmax({self.array(scope, (n,), 0)})] = {line()}",
                lambda: f"np.take({t}, {[self.choose(n) for _ in range(n)]}, axis=0, out={t})",
                lambda: f"np.put_along_axis({t}, np.zeros({(1, *rest)}, dtype=int), {number()}, axis=0)",
            ]
        if len(shape) == 2 and size:
            options += [
                lambda: f"np.fill_diagonal({t}, {number()})",
                lambda: f"{t}[:, 0] = {self.operand(scope, shape[:1])}",
                lambda: f"{t}.T[0] {self.pick(['=', '+='])} {self.operand(scope, shape[:1])}",
                lambda: f"{t}[np.diag_indices({min(shape)})] = {number()}",
                lambda: f"{t}[{[0] * 2}, {[shape[1] - 1, 0]}] += {number()}",
                lambda: (
                    f"np.matmul({self.array(scope, (shape[0], 2), 0)}, {self.array(scope, (2, shape[1]), 0)}, out={t})"
                ),
                lambda: f"{t}[np.triu_indices({shape[0]}, 0, {shape[1]})] = {number()}",
                lambda: f"{t}[:, ::-1][0] = {self.operand(scope, shape[1:])}",
            ]
            if shape[0] == shape[1]:
                options += [
                    lambda: f"{t}[...] += {t}.T",
                    lambda: f"{t}[:] = {t}.T",
                    lambda: f"{t}[...] = {t} @ {t} * 0.5",
                ]
        self.put(self.pick(options)())
        return None

    def containers(self, scope: Scope) -> None:
        """Arrays in lists, dicts, tuples and objects; written to through them, or taken out again."""
        names = [a for a in scope.arrays if a.writable and not a.integer]
        if not names:
            return self.assign_array(scope)
        a, b = self.pick(names), self.pick(names)
        kind = self.choose(7)
        if kind == 6:
            name, entry = self.new("n"), ".w"
            self.put(f"{name} = State({a.text}, {self.number(scope, 0)})")
            scope.numbers.append(f"{name}.rate")
        elif kind == 0:
            name, entry = self.new("d"), '["p"]'
            self.put(f'{name} = {{"p": {a.text}, "q": {b.text}}}')
        elif kind == 1:
            name, entry = self.new("l"), "[0]"
            self.put(f"{name} = [{a.text}, {b.text}]")
        elif kind == 2:
            name, entry = self.new("n"), ".p"
            self.put(f"{name} = SimpleNamespace(p={a.text}, q={b.text})")
        elif kind == 3:
            name = self.new("t")
            self.put(f"{name} = ({a.text}, {b.text})")
            self.put(f"{name}[0][...] += {self.operand(scope, a.shape)}")
            return None
        elif kind == 4:
            row = self.new("r")
            self.put(f"for {row} in ({a.text}, {b.text}):")
            self.put(f"    {row} *= {self.number(scope, 0)}")
            return None
        else:
            one, two = self.new("a"), self.new("a")
            self.put(f"{one}, {two} = {b.text}, {self.array(scope, a.shape)}")
            scope.arrays += [Array(one, b.shape, False, b.writable), Array(two, a.shape, False, writable=False)]
            return None
        item = f"{name}{entry}"
        if self.chance(15) and scope.own:
            self.put(f"{item.removesuffix(entry)}.rate += {self.number(scope, 0)}" if kind == 6 else "pass")
        self.put(self.pick([
            lambda: f"{item} {self.pick(['+=', '-='])} {self.operand(scope, a.shape)}",
            lambda: f"{item}[...] = {self.operand(scope, a.shape)}",
            lambda: f"{item} = {item} * {self.constant()}",
        ])())  # fmt: skip
        scope.arrays.append(Array(item, a.shape, a.integer, a.writable, own=False))
        return None

    def outer_state(self, scope: Scope) -> None:
        """Changes of captured containers and objects, by assignment and by methods."""
        options: list[Callable[[], str]] = [
            lambda: f"HISTORY.append({self.number(scope)})",
            lambda: f'CACHE["last"] = {self.number(scope)}',
            lambda: 'CACHE["count"] = CACHE.get("count", 0) + 1',
            lambda: f'CACHE.setdefault("first", {self.number(scope)})',
            lambda: "HISTORY[:] = HISTORY[-2:]",
            lambda: f"kept({self.number(scope)})",
            lambda: f'CACHE["array"] = {self.pick(scope.arrays).text}' if scope.arrays else "pass",
            lambda: f'CACHE["array"] = {self.array(scope, (2,))}',
            lambda: f'CACHE["arrays"] = [{self.array(scope, (2,))}]',
            lambda: f"f.last = {self.pick(scope.arrays).text}" if scope.arrays else "pass",
            lambda: "kept.calls = getattr(kept, 'calls', 0) + 1",
        ]
        texts = [(a, a.text) for a in scope.arrays]
        for a, text in texts:
            if text in ('CONFIG["shift"]', "MODEL.w", "STATE.w", "LAYER.weight", "LAYERS[0]") or text.endswith('["w"]'):
                options += [
                    lambda a=a: (
                        f"{a.text} = {self.array(scope, a.shape) if a.shape else f'{a.text} * 0.5 + np.zeros(())'}"
                    ),
                    lambda a=a: f"{a.text} = {a.text} * {self.constant()}" if a.shape else "pass",
                ]
            if text == "LAYERS[0]":
                options += [lambda: "LAYERS.reverse()", lambda: "LAYERS[0], LAYERS[1] = LAYERS[1], LAYERS[0]"]
        for number in ("MODEL.rate", "STATE.rate", "LAYER.gain", 'CONFIG["rate"]'):
            if number in scope.numbers:
                options += [lambda number=number: f"{number} {self.pick(['=', '*=', '+='])} {self.number(scope)}"] * 2
        self.put(self.pick(options)())
        if self.chance(40):
            scope.numbers.append(
                self.pick(["sum(HISTORY)", 'CACHE.get("last", 0.5)', "len(HISTORY)", 'CACHE.get("first", 0)'])
            )

    def objects(self, scope: Scope) -> None:
        """An object with state, whose methods write to arrays."""
        names = [a for a in scope.arrays if a.writable and not a.integer and np.prod(a.shape)]
        if not names:
            return self.assign_array(scope)
        a = self.pick(names)
        name = self.new("layer")
        self.put(f"{name} = Layer({a.text})")
        self.put(self.pick([
            lambda: f"{name}.decay({self.number(scope, 0)})",
            lambda: f"{name}.weight[...] = {self.operand(scope, a.shape)}",
            lambda: f"{name}.weight = {name}({self.array(scope, a.shape)})",
            lambda: f"{name}.gain = {self.number(scope, 0)}",
            lambda: f"Layer.gain = {self.number(scope, 0)}",
        ])())  # fmt: skip
        scope.numbers += [f"{name}.last", f"{name}(0.3)", f"{name}.calls", f"{name}.gain"]
        if a.shape:
            scope.arrays.append(Array(f"{name}.weight", a.shape, False, a.writable, own=False))
        return None

    def with_block(self, scope: Scope) -> None:
        self.put("with np.errstate(all='ignore'):")
        self.nest(scope.inside())

    def rows(self, scope: Scope) -> None:
        """Loops over the rows or elements of an array."""
        names = [a for a in scope.arrays if a.shape and a.shape[0] and a.writable and not a.integer]
        if not names or scope.loops > 1:
            return self.write_item(scope)
        a = self.pick(names)
        t, n, rest = a.text, a.shape[0], a.shape[1:]
        v = self.new("v")
        pairs = [b for b in scope.arrays if b.shape == a.shape]
        b = self.pick(pairs)
        if rest:
            form = self.choose(3)
            if form == 0:
                self.put(f"for {v} in {t}:")
            elif form == 1:
                self.put(f"for {v}, w in zip({t}, {b.text}):")
            else:
                self.put(f"for i, {v} in enumerate({t}):")
            value = "w" if form == 1 else "i * 0.5" if form == 2 else self.operand(scope, rest)
            self.put("    " + self.pick([
                lambda: f"{v} {self.pick(['+=', '-='])} {value}",
                lambda: f"{v}[...] = {value}",
                lambda: f"{v}[0] = {self.number(scope, 0)}",
                lambda: f"{v}[{v} > {self.number(scope, 0)}] = 0.5",
            ])())  # fmt: skip
            return None
        i = self.new("i")
        form = self.choose(8)
        if form == 5:
            one, rest_of = self.new("s"), self.new("l")
            self.put(f"{one}, *{rest_of} = {t}")
            scope.numbers += [one, *[f"{rest_of}[{k}]" for k in range(n - 1)]]
            scope.own.append(one)
        elif form == 6:
            self.put(f"for ({i},), {v} in np.ndenumerate({t}):")
            self.put(f"    {t}[{i}] = {v} * {self.number(scope, 0)}")
        elif form == 7:
            name = self.new("a")
            self.put(f"{name} = np.fromiter(({v} * {self.number(scope, 0)} for {v} in {t}), float)")
            scope.arrays.append(Array(name, a.shape))
        elif form == 0:
            self.put(f"for {i} in range({n}):")
            self.put(f"    {t}[{i}] = {t}[{i} - 1] * {self.number(scope, 0)}")
        elif form == 1:
            self.put(f"for {i}, {v} in enumerate({b.text}):")
            self.put(f"    if {v} > {self.number(scope, 0)}:")
            self.put(f"        {t}[{i}] = {v} * {self.constant()}")
        elif form == 2:
            self.put(f"for {i} in reversed(range({n})):")
            self.put(f"    {t}[{i}] += {b.text}[{i} - 1]")
        elif form == 3:
            name = self.new("s")
            self.put(f"{name} = 0.0")
            self.put(f"for {v}, {i} in zip({t}, {b.text}):")
            self.put(f"    {name} += {v} * {i}")
            scope.numbers.append(name)
            scope.own.append(name)
        else:
            name = self.new("a")
            self.put(f"{name} = np.array([{v} * {self.number(scope, 0)} for {v} in {t} if {v} > -9.0])")
            scope.arrays.append(Array(name, a.shape))
        return None

    def call_statement(self, scope: Scope) -> None:
        calls = [f for f in scope.functions if f.result == "nothing"]
        if not calls:
            return self.write_more(scope)
        self.put(self.called(scope, self.pick(calls)))
        return None

    def branch(self, scope: Scope) -> None:
        self.put(f"if {self.truth(scope)}:")
        self.nest(scope.inside())
        if self.chance(30):
            self.put(f"elif {self.truth(scope)}:")
            self.nest(scope.inside())
        if self.chance(50):
            self.put("else:")
            self.nest(scope.inside())

    def nest(self, scope: Scope, most: int = 2) -> None:
        self.indent += 1
        self.block(scope, most)
        self.indent -= 1

    def loop(self, scope: Scope) -> None:
        if scope.loops > 1:
            return self.write_item(scope)
        n = 2 + self.choose(2)
        i = self.new("i")
        inner = scope.inside(loops=scope.loops + 1, breaks=True)
        inner.integers.append((i, n))
        if self.chance(60):
            self.put(f"for {i} in range({n}):")
            self.nest(inner)
            if self.chance(10):
                self.put("else:")
                self.nest(scope.inside())
            return None
        self.put(f"{i} = -1")
        self.put(f"while {i} < {n - 1} and ({self.truth(scope)}):")
        self.put(f"    {i} += 1")
        self.nest(inner)
        return None

    def leave_loop(self, scope: Scope) -> None:
        self.put(f"if {self.truth(scope)}:")
        self.put(f"    {self.pick(['break', 'continue'])}")

    def early_return(self, scope: Scope) -> None:
        assert scope.returns is not None
        self.put(f"return {scope.returns(scope)}")

    def attempt(self, scope: Scope) -> None:
        """Something that raises, and is caught."""
        names = [a for a in scope.arrays if a.shape]
        self.put("try:")
        if names and self.chance(60):
            a = self.pick(names)
            self.nest(scope.inside(), 1)
            self.put(f"    {a.text}[{self.pick(['7', '9, 9', '[5, 6]'])}] {self.pick(['=', '+='])} 1.0")
        else:
            self.put(f"    if {self.truth(scope)}:")
            self.put(f"        raise {self.pick(['ValueError', 'IndexError'])}('no')")
            self.nest(scope.inside(), 1)
        self.put("except (ValueError, IndexError):")
        self.nest(scope.inside(), 1)
        if self.chance(20):
            self.put("finally:")
            self.nest(scope.inside(), 1)

    def inner_function(self, scope: Scope) -> None:
        """A closure, with nonlocal numbers."""
        name, t = self.new("g"), self.new("t")
        shape = self.pick([None, *[a.shape for a in scope.arrays]])
        inner = scope.function()
        inner.loops = max(1, scope.loops)
        if shape is None:
            inner.numbers.append(t)
        else:
            inner.arrays.append(Array(t, shape))
        default = ""
        if self.chance(20):
            default = f", u={self.number(scope, 0)}"
            inner.numbers.append("u")
        if self.chance(10):
            self.put("@traced")
        self.put(f"def {name}({t}{default}):")
        if scope.own and self.chance(60):
            free = self.pick(scope.own)
            self.put(f"    nonlocal {free}")
            inner.own.append(free)
            self.indent += 1
            self.put(f"{free} {self.pick(['+=', '='])} {self.number(inner)}")
            self.indent -= 1
        self.nest(inner)
        number = shape is None or self.chance(40)
        self.put(f"    return {self.number(inner) if number or not shape else self.array(inner, shape)}")
        scope.functions.append(Function(name, [shape], "number" if number or not shape else shape))

    def nested_gradient(self, scope: Scope) -> None:
        """The gradient of a function inside the function, and its use."""
        names = [a for a in scope.arrays if not a.integer and a.shape]
        if not names:
            return self.inner_function(scope)
        a = self.pick(names)
        name, t = self.new("energy"), self.new("t")
        inner = scope.function()
        inner.loops = 2
        inner.arrays = [Array(t, a.shape), *[replace(b, writable=False) for b in inner.arrays]]
        self.put(f"def {name}({t}):")
        if self.chance(70):
            self.nest(inner)
        self.put(f"    return {self.number(inner, 2)} + np.sum(np.sin({t}) * {self.array(inner, a.shape)})")
        self.define(scope, f"hg.grad({name})({a.text}{self.pick(['.copy()', '.copy()', ''])})", a.shape)
        return None

    # -- functions ---------------------------------------------------------------------------------------------------

    def helper(self, scope: Scope) -> None:
        """A function at the level of the module."""
        name = self.new("helper")
        parameters: list[Shape | None] = []
        inner = scope.function()
        inner.loops = 1
        names = []
        for _ in range(1 + self.choose(2)):
            shape = None if parameters and self.chance(40) else self.shape()
            parameters.append(shape)
            names.append(self.new("p"))
            if shape is None:
                inner.numbers.append(names[-1])
                inner.own.append(names[-1])
            else:
                inner.arrays.insert(0, Array(names[-1], shape))
        first = parameters[0]
        result: Shape | str = self.pick(["number", *([first] if first else []), "nothing"])
        recursive = result != "nothing" and self.chance(30)
        names += ["n"] if recursive else []

        def answer(where: Scope) -> str:
            return self.number(where) if result == "number" else self.array(where, result)  # type: ignore[arg-type]

        self.put(f"def {name}({', '.join(names)}):")
        self.indent += 1
        if recursive:
            self.put(f"if n <= 0 or {self.truth(inner)}:")
            self.put(f"    return {answer(inner)}")
        if result != "nothing":
            inner.returns = answer
        self.block(inner, 3)
        if recursive:
            again = [*self.called(inner, Function(name, parameters, result)).removesuffix(")").split("\n")]
            self.put(f"return {again[0]}, n - 1) * 0.7 + {answer(inner)}")
        elif result != "nothing":
            self.put(f"return {answer(inner)}")
        self.indent -= 1
        self.put("")
        scope.functions.append(Function(name, parameters, result, writes=result == "nothing", depth=recursive))


def _values(choose: Choose, shape: Shape) -> str:
    """An array in text, of numbers without special properties."""
    rng = np.random.default_rng(choose(50))
    values = np.round(rng.uniform(-2.0, 2.0, shape), 3)
    flat = [float(v) for v in values.ravel()]
    if len(shape) == 1:
        return f"np.array({flat})" if flat else "np.zeros(0)"
    return f"np.array({flat}).reshape({shape})" if flat else f"np.zeros({shape})"


def _layout(choose: Choose, text: str, shape: Shape) -> str:
    """The same array, perhaps with other strides."""
    options = ["{}", "{}", "{}", "{}", "{}"]
    if shape:
        options += ["{}[::-1]"]
    if len(shape) > 1:
        options += ["np.asfortranarray({})", "{}.swapaxes(0, -1).copy().swapaxes(0, -1)"]
    return options[choose(len(options))].format(text)


def program(choose: Choose, statements: int, copies: int = 20) -> Program:
    """A random program of about so many statements; in so many percent of the cases it copies what it is given."""
    grow = Grower(choose, statements)
    outer = Scope()
    changes: list[Callable[[], str]] = []
    # Captured state.
    if grow.chance(50):
        shape = grow.shape()
        grow.put(f"TABLE = {_layout(choose, _values(choose, shape), shape)}")
        outer.arrays.append(Array("TABLE", shape, own=False))
        changes.append(lambda: f"TABLE = {_values(choose, shape)}")
        if grow.chance(15):  # two names for the same memory
            part = grow.view(Scope(), outer.arrays[-1])
            if part is not None:
                grow.put(f"PART = {part.text}")
                outer.arrays.append(replace(part, text="PART"))
        if np.prod(shape):
            changes += [lambda: f"TABLE.flat[0] = {grow.constant()}", lambda: "TABLE *= 0.8"]
    if grow.chance(40):
        grow.put(f"SCALE = {grow.constant()}")
        outer.numbers.append("SCALE")
        changes.append(lambda: f"SCALE = {grow.constant()}")
    if grow.chance(25):
        shape2 = grow.shape()
        grow.put(f'CONFIG = {{"rate": {grow.constant()}, "shift": {_values(choose, shape2)}}}')
        outer.arrays.append(Array('CONFIG["shift"]', shape2, own=False))
        outer.numbers.append('CONFIG["rate"]')
        changes.append(lambda: f'CONFIG["rate"] = {grow.constant()}')
        changes.append(lambda: f'CONFIG["shift"] = {_values(choose, shape2)}')
    if grow.chance(20):
        shape3 = grow.shape()
        grow.put(f"MODEL = SimpleNamespace(rate={grow.constant()}, w={_values(choose, shape3)})")
        outer.arrays.append(Array("MODEL.w", shape3, own=False))
        outer.numbers.append("MODEL.rate")
        changes.append(lambda: f"MODEL.rate = {grow.constant()}")
        changes.append(lambda: f"MODEL.w = {_values(choose, shape3)}")
    if grow.chance(20):
        shape7 = grow.shape()
        grow.put(f"LAYER = Layer({_values(choose, shape7)})")
        outer.arrays.append(Array("LAYER.weight", shape7, own=False))
        outer.numbers += ["LAYER.gain", "LAYER(0.3)", *(["LAYER.last"] if np.prod(shape7) else [])]
        changes.append(lambda: f"LAYER.gain = {grow.constant()}")
        changes.append(lambda: f"LAYER.weight = {_values(choose, shape7)}")
        changes.append(lambda: f"Layer.gain = {grow.constant()}")
        changes.append(lambda: "LAYER.decay(0.8)")
    if grow.chance(15):
        shape8 = grow.shape()
        grow.put(f"STATE = State({_values(choose, shape8)}, {grow.constant()})")
        outer.arrays.append(Array("STATE.w", shape8, own=False))
        outer.numbers += ["STATE.rate"]
        changes.append(lambda: f"STATE.rate = {grow.constant()}")
        changes.append(lambda: f"STATE = State({_values(choose, shape8)}, {grow.constant()})")
    if grow.chance(20):
        shape4 = grow.shape()
        grow.put(f"LAYERS = [{_values(choose, shape4)}, {_values(choose, shape4)}]")
        outer.arrays += [Array(f"LAYERS[{k}]", shape4, own=False) for k in range(2)]
        changes.append(lambda: "LAYERS.reverse()")
        changes.append(lambda: f"LAYERS[0] = {_values(choose, shape4)}")
    # Cells.
    cells: list[str] = []
    in_cells = outer.inside()
    if grow.chance(25):
        shape5 = grow.shape()
        cells.append(_values(choose, shape5))
        in_cells.arrays.append(Array("weights", shape5, own=False))
        in_cells.numbers.append("count")
        cells.append(grow.constant())
    grow.put("")
    for _ in range(choose(3)):
        grow.helper(outer)
    in_cells.functions = outer.functions
    if cells:
        grow.put("def make(weights, count):")
        grow.indent += 1
    # The function.
    scope = in_cells.function()
    shapes: list[Shape | None] = []
    mappings: set[int] = set()
    names = []
    for k in range(1 + choose(3)):
        shape6 = grow.shape() if not k or not grow.chance(25) else None
        shapes.append(shape6)
        names.append("xyz"[k])
        if shape6 is None:
            scope.numbers.append(names[-1])
            scope.own.append(names[-1])
        elif grow.chance(12):
            mappings.add(k)
            scope.arrays[:0] = [Array(f'{names[-1]}["{key}"]', shape6, own=False) for key in "wb"]
        else:
            scope.arrays.insert(0, Array(names[-1], shape6))
    argnums = tuple(range(len(names)))
    if len(names) > 1 and grow.chance(20):
        argnums = argnums[:-1]
    count = itertools.count()

    def answer(where: Scope) -> str:
        terms = [f"total({a.text}, {next(count)})" for a in where.arrays]
        return " + ".join([*terms, *[f"0.1 * {n}" for n in where.numbers]])

    scope.returns = answer
    grow.put(f"def f({', '.join(names)}):")
    grow.indent += 1
    changes_scale, changes_count = "SCALE" in scope.numbers and grow.chance(20), bool(cells) and grow.chance(50)
    if changes_scale:
        grow.put("global SCALE")
    if changes_count:
        grow.put("nonlocal count")
    if changes_scale:
        grow.put(f"SCALE {grow.pick(['*=', '='])} {grow.pick(['0.9', grow.number(scope)])}")
    if changes_count:
        grow.put(f"count {grow.pick(['+=', '='])} {grow.number(scope)}")
    for a in scope.arrays:
        if grow.chance(copies):
            if not a.own:
                a.writable = False
            else:
                grow.put(f"{a.text} = {a.text}.copy()")
    grow.left = max(grow.left, statements // 2)
    grow.block(scope, statements)
    grow.put(f"return {answer(scope)}")
    if cells:
        grow.indent -= 1
        grow.put("return f")
        grow.indent -= 1
        grow.put("")
        grow.put(f"f = make({', '.join(cells)})")

    def arguments() -> tuple[str, ...]:
        found = []
        for k, shape in enumerate(shapes):
            if shape is None:
                found.append(f"{_number(choose)}")
            elif k in mappings:
                found.append(f'{{"w": {_values(choose, shape)}, "b": {_values(choose, shape)}}}')
            elif k and shape == shapes[0] and 0 not in mappings and grow.chance(10):
                found.append(grow.pick(["first", "first[...]"]))
            else:
                found.append(_layout(choose, _values(choose, shape), shape))
        return tuple(found)

    first = arguments()
    later = []
    for _ in range(choose(4)):
        change = grow.pick(["", *changes])
        later.append((change if isinstance(change, str) else change(), arguments() if choose(4) else first))
    text = "\n".join(grow.lines)
    parts = [part for name, part in _HELPERS.items() if name in text or any(name in change for change, _ in later)]
    return Program(_MODULES + "".join(parts) + "\n" + text, first, argnums, tuple(later))


def _number(choose: Choose) -> float:
    return round(float(np.random.default_rng(choose(50)).uniform(-2.0, 2.0)), 3)
