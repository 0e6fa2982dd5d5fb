"""`explain`: the work behind a gradient, as text, formulas, pictures and pages."""

from __future__ import annotations

import gc
import inspect
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from hopgrad import tree
from hopgrad.calling import (
    NOTHING,
    Level,
    finished,
    float_arguments,
    outer_guards,
    parameter_names,
    positions,
    start_call,
    title_of,
)
from hopgrad.errors import DtypeError, ExpressionError
from hopgrad.files import replacing
from hopgrad.graph.graph import Graph
from hopgrad.graph.sites import Location
from hopgrad.notation import Infix, Symbol, Term, equation, latex, text, value_text
from hopgrad.outside import outside_of
from hopgrad.show import render
from hopgrad.show.analysis import Analysis
from hopgrad.show.export import dot, mermaid, tikz
from hopgrad.show.expression import Expression, parse
from hopgrad.show.guards import Condition, listed
from hopgrad.show.loops import written_out
from hopgrad.show.notebook import Explorer, static
from hopgrad.show.page import page
from hopgrad.show.picture import Direction, svg, svg_of_parts
from hopgrad.show.schema import to_json
from hopgrad.show.story import Line, Section, tell, troubles
from hopgrad.show.structure import parts
from hopgrad.trace.context import current
from hopgrad.trace.tracer import ARRAY
from hopgrad.transforms import grad

__all__ = ["Explanation", "explain"]


_MAX_SHOWN = 24
"""Beside its picture, a network's chain rule is shown in so many lines."""

FORMULA = "<formula>"
"""What locations in a text formula give instead of a file."""


@contextmanager
def _no_collection() -> Iterator[None]:
    """Without the search for cyclic garbage.

    What is written of a large computation is a million objects, which all live: searching them again and again takes
    a third of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class Explanation:
    """A function's value and gradient at a point, with the work shown. Made by `explain`.

    Shown by itself in a notebook, where `explore` gives the explorer; ``print`` gives the text.

    Attributes:
        value: The result.
        gradient: The derivatives by the chosen arguments, in their structure.
        captured: Those by the modules that the function captured, by the names under which it reads them. Each has its
            module's structure.
        graph: The traced graph.
        zeros: For inputs whose derivative is structurally zero the reason, by name.
    """

    def __init__(self, analysis: Analysis, title: Term, gradient: Any, captured: dict[str, Any]) -> None:
        self._analysis = analysis
        self._title = title
        self.graph = analysis.graph
        self.value: Any = analysis.value(analysis.output)
        self.gradient = gradient
        self.captured = captured
        names = analysis.names
        self.zeros = {names[n]: str(z) for n in analysis.wrt if (z := analysis.zero(n)) is not None}

    @cached_property
    def sections(self) -> list[Section]:
        """The story as data."""
        with _no_collection():
            return tell(self._analysis)

    @property
    def conditions(self) -> list[Condition]:
        """The branches that the code took, as conditions under which the gradient holds: empty if it took none.

        >>> [c.text for c in explain(lambda x: x * x if x > 0 else -x)(2.0).conditions]
        ['x > 0']
        """
        return self._analysis.conditions

    @property
    def troubles(self) -> list[Line]:
        """Where infinite values or NaN are born out of finite ones: for each a sentence and the value.

        Those among the values come first, in the order of computation, then those among the derivatives.

        >>> import numpy as np
        >>> with np.errstate(divide="ignore"):
        ...     print(explain(lambda x: np.log(x) * 2)(0.0).troubles[0].prose)
        infinity is born at z = log(x), where x = 0 (...)
        """
        return troubles(self._analysis).lines

    @property
    def title(self) -> str:
        """What is explained, in one line."""
        known = self._analysis.reached if self._analysis.layers else {}  # a network has too many parameters
        where = [
            f"{text(self._analysis.symbol(n))} = {value_text(self._analysis.inputs[n], 6)}"
            for n in self._analysis.graph.inputs
            if n not in known
        ]
        at = ", ".join(where[:4]) + (", …" if len(where) > 4 else "")
        return f"{text(self._title)}" + (f"   at {at}" if at else "")

    def text(self, *, paint: render.Paint = render.plain, columns: int = 110) -> str:
        """The story as plain text; `paint` may colour it."""
        return render.as_text(self.title, self.sections, paint, columns)

    def __str__(self) -> str:
        return self.text().rstrip("\n")

    def __repr__(self) -> str:
        return f"<Explanation of {self.title}>"

    def latex(self, *, standalone: bool = False) -> str:
        """The story in LaTeX (amsmath); a whole document if `standalone`."""
        return render.as_latex(self.title, self.sections, standalone)

    def markdown(self) -> str:
        """The story in Markdown with dollar-sign mathematics."""
        return render.as_markdown(self.title, self.sections)

    def svg(
        self,
        *,
        direction: Direction | None = None,
        adjoints: bool = False,
        theme: Literal["auto", "light", "dark"] = "auto",
        layers: bool | None = None,
        opened: Sequence[str] = (),
    ) -> str:
        """The picture: nodes with name, hop and value, edges with local derivatives.

        A network is drawn by layers: each with what it gives, the result's derivative by that, and the derivatives by
        its own parameters.

        Args:
            direction: Where the computation runs to, "right" or "down"; None: down if it is long.
            adjoints: Whether the adjoints flowing back are drawn as well.
            theme: "auto" follows the reader's light or dark setting.
            layers: Whether to draw by layers; None: if there are modules.
            opened: Which layers to draw hop by hop: names, such as ``model[0]``, or kinds, such as ``cross_entropy``.

        >>> import numpy as np
        >>> from hopgrad import nn
        >>> model = nn.Sequential(nn.Linear(2, 3, rng=0), nn.tanh, nn.Linear(3, 1, rng=1))
        >>> story = explain(model)(np.ones((4, 2), np.float32))
        >>> "model[0]: Linear" in story.svg(), "model[0]: Linear" in story.svg(opened=["model[0]"])
        (True, False)
        """
        return svg(self._analysis, self.title, direction, adjoints, theme, layers, opened)

    def html(self) -> str:
        """One self-contained page that works offline: picture, story in MathML, table of values."""
        with _no_collection():
            return page(self._analysis, self.title, self.sections)

    def dot(self) -> str:
        """The picture for Graphviz."""
        return dot(self._analysis)

    def tikz(self) -> str:
        """The picture for TikZ: a tikzpicture environment."""
        return tikz(self._analysis)

    def mermaid(self) -> str:
        """The picture for Mermaid."""
        return mermaid(self._analysis)

    def json(self) -> str:
        """Graph, values, adjoints and sources in the versioned schema of ``hopgrad.show.schema``."""
        with _no_collection():
            return to_json(self._analysis, self.title, self.sections)

    _FORMATS: ClassVar[dict[str, Callable[[Explanation], str]]] = {
        ".svg": lambda e: e.svg(),
        ".html": lambda e: e.html(),
        ".tex": lambda e: e.latex(standalone=True),
        ".tikz": lambda e: e.tikz(),
        ".dot": lambda e: e.dot(),
        ".mmd": lambda e: e.mermaid(),
        ".md": lambda e: e.markdown(),
        ".json": lambda e: e.json(),
        ".txt": lambda e: e.text(),
    }

    def render(self, format: str) -> str:
        """The explanation in a format named by its suffix, with or without the dot: "svg", "html", "tex", …."""
        wanted = "." + format.lower().lstrip(".")
        wanted = {
            ".latex": ".tex",
            ".markdown": ".md",
            ".text": ".txt",
            ".mermaid": ".mmd",
            ".gv": ".dot",
        }.get(wanted, wanted)
        if wanted not in self._FORMATS:
            known = ", ".join(f.lstrip(".") for f in self._FORMATS)
            raise ValueError(f"unknown format {format!r}: choose one of {known}")
        return self._FORMATS[wanted](self)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the explanation in the format that the suffix names; the file is whole or not there at all."""
        target = Path(path)
        words = self.render(target.suffix or target.name)
        with replacing(target, durable=False) as fresh:
            fresh.write_text(words, encoding="utf-8")
        return target

    def _repr_svg_(self) -> str:
        return self.svg()

    def _formulas(self) -> list[str]:
        """The derivation in LaTeX, line by line, and for what inputs it holds."""
        of_network = bool(self._analysis.layers)
        wanted = ("chain",) if of_network else ("chain", "whole")
        sections = [s for s in self.sections if s.key in wanted and not (of_network and len(s.lines) > _MAX_SHOWN)]
        found = [latex(line.formula) for s in sections for line in s.lines if line.formula is not None]
        for k, condition in enumerate(listed(self.conditions)):
            found.append(rf"\text{{{'and' if k else 'for'} }} {latex(condition)}")
        return found

    def _repr_latex_(self) -> str:
        body = r" \\ ".join(f"& {formula}" for formula in self._formulas())
        return rf"$\begin{{align*}}{body}\end{{align*}}$"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        picture = self.svg()
        return {
            "text/plain": self.text(),
            "text/html": static(self.title, picture, self._formulas()),
            "image/svg+xml": picture,
            "text/latex": self._repr_latex_(),
        }

    def explore(self, *, height: int = 720) -> Explorer:
        """The explorer, as the output of a notebook's cell: the page of `html` in a frame, `height` pixels high.

        Raises:
            ValueError: if the height is not positive.

        >>> explain("x^2", x=3).explore()
        <Explorer of f(x) = x²   at x = 3>
        """
        if height <= 0:
            raise ValueError(f"height is a number of pixels, not {height}")
        return Explorer(self.html(), self.title, height)


def explain(
    f: Callable[..., Any] | str,
    /,
    *args: Any,
    wrt: str | int | Sequence[str | int] | None = None,
    order: int = 1,
    **values: Any,
) -> Any:
    """Explain a function and its gradient.

    ``explain(f)`` returns a function of the same arguments that gives the `Explanation`, an `Explainer`;
    ``explain("sin((x+1)**2)", x=0.5)`` explains a text formula (``^`` also means power) at once.

    Args:
        f: A function of NumPy values, or a formula as text.
        args: There are none; the arguments of `f` are given in a second call.
        wrt: Which arguments to differentiate by, as names or positions; None: all floating-point ones. Names of modules
            that the function captures will do, too.
        order: 1 explains the gradient, 2 the derivative of the derivative, and so on; above 1 choose one argument.
        **values: For a formula, the values of its variables.

    Raises:
        ExpressionError: the formula cannot be read, or a variable has no value.

    >>> import numpy as np
    >>> story = explain("sin((x+1)^2)", x=0.5)
    >>> round(story.gradient, 6)
    -1.884521
    >>> print(explain(lambda x: x * x)(3.0).graph)
    graph(x: float64) -> y:
      y: float64 = multiply(x, x)
    """
    if order < 1:
        raise ValueError(f"order is 1 or more, not {order}")
    if isinstance(f, str):
        if args:
            raise TypeError('the values of a formula are given by name: explain("x^2", x=3)')
        return _explain_formula(parse(f, values), wrt, order, values)
    if not callable(f):
        raise TypeError(f"explain needs a function or a formula as text, not {type(f).__name__}")
    if args or values:
        given = ", ".join(["…"] * len(args) + [f"{name}=…" for name in values])
        raise TypeError(f"explain(f) takes the arguments of f in a second call: explain(f)({given})")
    return Explainer(f, wrt, order)


class Explainer:
    """A function of the same arguments as `f` that gives the `Explanation`. Made by `explain`.

    Of a model it shows, before there are data, what that is made of: layers, parameters and their shapes.

    >>> from hopgrad import nn
    >>> explain(nn.Sequential(nn.Linear(2, 3, rng=0), nn.relu))
    model: Sequential (9 parameters)
      model[0]: Linear  weight 3×2  bias 3
      relu
    To see values and gradients, give it data: explain(model)(x)
    >>> explain(abs)
    <explain(abs): call it with the arguments of abs>
    """

    def __init__(self, f: Callable[..., Any], wrt: Any, order: int) -> None:
        self._f, self._wrt, self._order = f, wrt, order

    def __call__(self, *args: Any, **keywords: Any) -> Explanation:
        if self._is_model:
            return _explain(_of_module(self._f), self._wrt, self._order, (self._f, *args), keywords)
        return _explain(self._f, self._wrt, self._order, args, keywords)

    @property
    def _is_model(self) -> bool:
        return not tree.is_leaf(self._f)

    @property
    def _hint(self) -> str:
        """What to do next."""
        if not self._is_model:
            name = title_of(self._f)
            return f"<explain({name}): call it with the arguments of {name}>"
        names = ", ".join(parameter_names(self._f)[:1]) or "…"
        return f"To see values and gradients, give it data: explain(model)({names})"

    def __repr__(self) -> str:
        return "\n".join([*(parts(self._f).text() if self._is_model else ()), self._hint])

    def svg(self, *, theme: Literal["auto", "light", "dark"] = "auto") -> str:
        """A model's layers, one in the other, with the shapes of their parameters.

        Raises:
            TypeError: it is a function that is explained: it has no picture before it is called.
        """
        if not self._is_model:
            name = title_of(self._f)
            raise TypeError(
                f"there is nothing to draw of a function alone: explain({name})(…).svg() draws a call of it"
            )
        return svg_of_parts(parts(self._f), self._hint, theme)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/plain": repr(self), **({"image/svg+xml": self.svg()} if self._is_model else {})}


def _of_module(module: Any) -> Callable[..., Any]:
    """A function of a module, which is its first argument, and of what that is called with."""

    def run(model: Any, *args: Any, **keywords: Any) -> Any:
        return model(*args, **keywords)

    run.__name__ = type(module).__name__
    own = list(inspect.signature(type(module).__call__).parameters.values())[1:]
    model = inspect.Parameter("model", inspect.Parameter.POSITIONAL_ONLY)
    with suppress(ValueError):  # if an argument is called model, too
        run.__signature__ = inspect.Signature([model, *own])  # type: ignore[attr-defined]
    return run


def _explain_formula(formula: Expression, wrt: Any, order: int, values: dict[str, Any]) -> Explanation:
    missing = [n for n in formula.names if n not in values]
    if taken := [n for n in missing if n in ("order", "wrt")]:
        raise ExpressionError(f"{taken[0]} is an option of explain: give the variable another name", formula.text)
    if missing:
        raise ExpressionError(f"{missing[0]} needs a value: {', '.join(f'{n}=…' for n in missing)}", formula.text)
    extra = [n for n in values if n not in formula.names]
    if extra:
        known = ", ".join(formula.names) or "none"
        raise ExpressionError(f"the formula has no variable {extra[0]} (its variables: {known})", formula.text)
    if not formula.names:
        raise ExpressionError("the formula has no variable to differentiate by", formula.text)

    def run(**given: Any) -> Any:
        return formula.evaluate(given, at=_placing(formula, given))

    run.__name__ = "f"
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # so that names count as parameters
        [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in formula.names]
    )
    numbers = {n: _as_value(n, values[n]) for n in formula.names}
    return _explain(run, wrt, order, (), numbers, {FORMULA: formula.text})


def _as_value(name: str, value: Any) -> Any:
    """A variable's value: ints become floats, lists arrays."""
    if type(value) in (int, float):
        return float(value)
    try:
        array = np.asarray(value)
    except ValueError:
        raise DtypeError(f"{name} is no array: its rows differ in length") from None
    if array.dtype.kind in "iub":
        array = array.astype(float)
    if array.dtype.kind != "f":
        raise DtypeError(f"{name} must be a number or an array of numbers, not {type(value).__name__}")
    return array if array.ndim else array[()]


def _placing(formula: Expression, given: dict[str, Any]) -> Any:
    """Records which part of the text a value comes from, and the name assigned to it."""
    trace = current()
    assert trace is not None

    @contextmanager
    def at(start: int, end: int) -> Iterator[None]:
        line = formula.text.count("\n", 0, start)
        column = start - (formula.text.rfind("\n", 0, start) + 1)
        place = Location(FORMULA, line + 1, line + 1, column, column + end - start, "")
        trace.explicit = trace.builder.sites.explicit(place, formula.assignments.get((start, end)))
        try:
            yield
        finally:
            trace.explicit = None

    return at


def _explain(
    f: Callable[..., Any],
    wrt: Any,
    order: int,
    args: tuple[Any, ...],
    keywords: dict[str, Any],
    texts: Mapping[str, str] | None = None,
) -> Explanation:
    known = parameter_names(f)
    wished = [] if wrt is None else [wrt] if isinstance(wrt, (str, int)) else list(wrt)
    others = [w for w in wished if isinstance(w, str) and w not in keywords and w not in known]  # captured modules?
    everything = _float_places(args, keywords)
    chosen = everything if wrt is None else [w for w in wished if w not in others]
    with Level() as running:
        running.builder.sites.modules = {}
        names = positions(f, everything or NOTHING, args, keywords)
        wanted = positions(f, chosen or NOTHING, args, keywords)
        both = [*names, *[p for p in wanted if p not in names]]
        target = f
        for _ in range(order - 1):
            if len(wanted) != 1:
                raise ValueError(
                    f"order={order} explains the derivative of a derivative by one argument: choose it with wrt="
                )
            target = grad(target, wanted[0])
        call = start_call(target, running, both or NOTHING, args, keywords)
        guards = outer_guards(running)
        outside = outside_of(running)
    if unknown := [name for name in others if name not in outside.modules]:
        positions(f, unknown, args, keywords)  # tells that there are none
    parameters = outside.parameters()
    if not everything and not parameters:
        float_arguments([*args, *keywords.values()])  # tells that there is nothing to differentiate by
    call_outputs = [o for o in call.outputs if o.node is not None]
    if len(call_outputs) != 1 or len(call.outputs) != 1:
        raise TypeError(
            f"explain needs a function with one result; this one returned {call.structure.text}. Explain one of them:"
            " explain(lambda …: f(…)[0])"
        )
    output = call_outputs[0].node
    assert output is not None
    if call.builder.avals[output].dtype.kind != "f":
        dtype = call.builder.avals[output].dtype
        cure = ": explain a real number made of it, y.real or np.abs(y)" if dtype.kind == "c" else ""
        raise DtypeError(f"the result has dtype {dtype}, which has no derivative{cure}")
    rest = iter(call.leaves)
    groups = {p: [next(rest) for _ in range(s.num_leaves)] for p, s in zip(both, call.structures, strict=True)}
    graph = Graph(call.builder, [*call.inputs, *parameters], [output], guards)
    told, at = written_out(graph) if running.builder.sites.modules else (graph, {n: n for n in graph.inputs})
    reached = {
        at[leaf.node]: tree.format_path(path, place if isinstance(place, str) else known[place])
        for place, structure in zip(both, call.structures, strict=True)
        if isinstance(place, str) or place < len(known)
        for leaf, path in zip(groups[place], tree.paths(structure), strict=True)
        if path
    }
    modules = outside.modules if wrt is None else {name: outside.modules[name] for name in others}
    inputs_of = {
        name: [at[n] if (n := outside.input_of(array)) in parameters else None for array in tree.flatten(module)[0]]
        for name, module in modules.items()
    }
    of_modules = dict.fromkeys(node for nodes in inputs_of.values() for node in nodes if node is not None)
    with _no_collection():
        analysis = Analysis(
            told,
            told.outputs[0],
            (*[at[leaf.node] for place in wanted for leaf in groups[place]], *of_modules),
            {at[node]: call.known[node] for node in graph.inputs},  # copies: f may write to its arguments
            order=order,
            texts=texts or {},
            reached={**reached, **{at[node]: path for node, path in parameters.items()}},
        )
        structures = dict(zip(both, call.structures, strict=True))
        gradients = tuple(
            tree.unflatten(structures[p], [finished(analysis.adjoint(at[leaf.node]), leaf.kind) for leaf in groups[p]])
            for p in wanted
        )
        captured = {name: _derivative(analysis, module, inputs_of[name]) for name, module in modules.items()}
    if order > 1 and analysis.output not in told.inputs:
        analysis.names[analysis.output] = f"y{'′' * (order - 1)}"
    found = [*gradients, *[captured[name] for name in (others if wanted or others else captured)]]
    gradient = found[0] if len(found) == 1 else tuple(found)
    return Explanation(analysis, _title(f, analysis, order, [at[n] for n in call.inputs]), gradient, captured)


def _derivative(analysis: Analysis, module: Any, inputs: Sequence[int | None]) -> Any:
    """The derivative by a captured module, of whose arrays these are the inputs: zeros for those that are not used."""
    leaves, structure = tree.flatten(module)
    found = [
        np.zeros_like(leaf) if node is None else finished(analysis.adjoint(node), ARRAY)
        for leaf, node in zip(leaves, inputs, strict=True)
    ]
    return tree.unflatten(structure, found)


def _float_places(args: tuple[Any, ...], keywords: dict[str, Any]) -> list[int | str]:
    """Arguments that hold floating-point values (Python ints too, if nothing else does)."""
    keys: list[int | str] = [*range(len(args)), *keywords]
    try:
        return [keys[k] for k in float_arguments([*args, *keywords.values()])]
    except DtypeError:
        return []


def _title(f: Any, analysis: Analysis, order: int, inputs: Sequence[int]) -> Term:
    """y = sin((x+1)²), or f(W, b) where that is too long."""
    name = getattr(f, "__name__", "f")
    name = "f" if name == "<lambda>" else name
    symbols = [analysis.symbol(n) for n in inputs]
    if analysis.layers:  # a network by its name alone
        roots = [analysis.reached.get(n, "") for n in inputs]
        symbols = [Symbol(re.split(r"[.\[]", path)[0]) if path else s for path, s in zip(roots, symbols, strict=True)]
        symbols = list(dict.fromkeys(symbols))
    inside = Infix(",", ",", tuple(symbols), 0)
    marks = "′" * (order - 1)
    head = Symbol(f"{name}{marks}({text(inside).replace(' , ', ', ')})")
    whole = analysis.expanded(analysis.output, 60)
    return equation(head, whole) if analysis.scalar and not isinstance(whole, Symbol) else head
