"""Functions as ONNX files, to be run by onnxruntime and other engines.

The function is traced at example arguments, and each of its hops is written as operators of the ONNX standard
(https://onnx.ai/onnx/operators/, operator set 18). Shapes and dtypes are those of the example. Loops made by
`hopgrad.scan` (recurrent layers) become the operator Scan. A hop that the standard cannot express is refused by name.

Needs the package onnx: ``pip install 'hopgrad[onnx]'``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hopgrad.aval import Aval
from hopgrad.calling import NOTHING, Level, outer_guards, read_arguments, start_call
from hopgrad.errors import HopgradError
from hopgrad.files import replacing
from hopgrad.graph.builder import Builder
from hopgrad.graph.graph import Graph, reachable
from hopgrad.graph.hop import ITEM
from hopgrad.hops.shape import Operand, Slice, selection
from hopgrad.outside.world import outside_of
from hopgrad.trace.context import describe

__all__ = ["OPSET", "ExportError", "export"]

OPSET = 18
"""The version of ONNX's operators that is written."""
_IR = 9
"""The version of the file format that came with it, so that older engines can read it."""


class ExportError(HopgradError, NotImplementedError):
    """A function cannot be written as ONNX: the message names the hop and the line."""


def export(
    path: str | os.PathLike[str],
    f: Callable[..., Any],
    *args: Any,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
) -> Path:
    """Write a function as an ONNX model.

    Args:
        path: The file.
        f: The function, such as a trained model. Arrays that it holds or captures become initializers.
        *args: Example arguments: arrays (of floats, integers or booleans), or nested structures of them. Their shapes
            and dtypes become those of the model's inputs.
        input_names: One for each array among the arguments; None: the parameters' names.
        output_names: One for each array of the result; None: "output", or "output_0", "output_1", ….

    Returns:
        The path.

    Raises:
        ExportError: The function has a hop that ONNX cannot express, or takes a branch that depends on its arguments.
        ValueError: There are more or fewer names than arrays.

    >>> import numpy as np, tempfile, os
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = export(os.path.join(folder, "f.onnx"), lambda x: np.tanh(x) @ np.eye(3), np.ones((2, 3)))
    ...     path.name
    'f.onnx'
    """
    onnx = _package()
    graph, values, names = _traced(f, args)
    inputs = [n for n in graph.inputs if n not in values]
    chosen = _names(input_names, [names[n] for n in inputs], "input")
    default = ["output"] if len(graph.outputs) == 1 else [f"output_{k}" for k in range(len(graph.outputs))]
    results = _names(output_names, default, "output")
    writer = _Writer(onnx, set(chosen) | set(results))
    used = set(reachable(graph.builder, graph.outputs))
    known = {n: writer.constant(value, names[n]) for n, value in values.items() if n in used}
    known.update(zip(inputs, chosen, strict=True))
    found = writer.values(graph.builder, graph.outputs, known)
    _check_branches(graph, inputs)
    for name, result in zip(found, results, strict=True):
        writer.add("Identity", [name], [result])
    helper = onnx.helper
    made = helper.make_graph(
        writer.nodes,
        getattr(f, "__name__", type(f).__name__),
        [writer.described(name, graph.builder.avals[n]) for n, name in zip(inputs, chosen, strict=True)],
        [writer.described(name, graph.builder.avals[n]) for n, name in zip(graph.outputs, results, strict=True)],
        writer.initializers,
    )
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(made, producer_name="hopgrad", ir_version=_IR, opset_imports=[opset])
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"ONNX does not have these operators for all of these dtypes: {error}") from None
    target = Path(path)
    with replacing(target) as fresh:
        onnx.save_model(model, fresh)
    return target


def _package() -> Any:
    try:
        import onnx
        import onnx.checker
        import onnx.helper
        import onnx.numpy_helper
        import onnx.shape_inference
    except ImportError:
        raise ImportError("hopgrad.onnx needs a package: pip install 'hopgrad[onnx]'") from None
    return onnx


def _traced(f: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Graph, dict[int, Any], dict[int, str]]:
    """(the graph, values of the inputs that stand for captured arrays, names of all inputs)."""
    read = read_arguments(f, NOTHING, args, {})
    if read.key is None:
        raise ExportError("arguments must be arrays, numbers, and nested structures of them")
    with Level() as running:
        call = start_call(f, running, NOTHING, args, {}, False, read)
        outside = outside_of(running)
        data = list(outside.data)
        captured = {n: running.known[n] for array, n in outside.arrays if n not in data}
        guards = outer_guards(running)
    outputs = [o.node for o in call.outputs if o.node is not None]
    if len(outputs) != len(call.outputs) or not outputs:
        raise ExportError(f"the function returned {call.structure.text}: all of it has to be arrays that it computes")
    builder = call.builder
    graph = Graph(builder, [*data, *captured], outputs, guards)
    names = {n: str(dict(builder.params(n)).get("name", f"input_{n}")) for n in graph.inputs}
    return graph, captured, names


def _check_branches(graph: Graph, inputs: Sequence[int]) -> None:
    """Refuse a graph that holds for some arguments only."""
    builder = graph.builder
    for guard in graph.guards:
        if not set(inputs).isdisjoint(reachable(builder, [guard.node])):
            place = builder.sites.location(guard.site)
            at = f" at {describe(place)}" if place else ""
            raise ExportError(f"the function takes a branch{at}, which depends on its arguments: use np.where there")


def _names(given: Sequence[str] | None, default: list[str], what: str) -> list[str]:
    """Names that are all different."""
    found = list(given) if given is not None else []
    if given is None:
        for name in default:
            found.append(name if name not in found else f"{name}_{len(found)}")
    if len(found) != len(default):
        raise ValueError(f"there are {len(default)} {what}s, but {len(found)} {what}_names")
    if len(set(found)) != len(found):
        raise ValueError(f"two of the {what}_names are the same: {', '.join(found)}")
    return found


class _Writer:
    """Nodes and constants of an ONNX graph, and of the graphs inside of it."""

    def __init__(self, onnx: Any, taken: set[str]) -> None:
        self.onnx = onnx
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self._taken = taken
        self._constants: dict[tuple[Any, ...], str] = {}

    def fresh(self, wanted: str) -> str:
        """A name that nothing has yet."""
        name, count = wanted, 0
        while name in self._taken:
            count += 1
            name = f"{wanted}_{count}"
        self._taken.add(name)
        return name

    def add(self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> None:
        """Write a node."""
        self.nodes.append(self.onnx.helper.make_node(operator, list(inputs), list(outputs), **attributes))

    def emit(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Write a node with one result; its name."""
        name = self.fresh(operator.lower())
        self.add(operator, inputs, [name], **attributes)
        return name

    def constant(self, value: Any, name: str = "constant") -> str:
        """The name of an initializer; equal ones are written once."""
        array = np.asarray(value, order="C")
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._constants[key] = self.fresh(name)
            self.initializers.append(self.onnx.numpy_helper.from_array(array, self._constants[key]))
        return self._constants[key]

    def integers(self, *values: int) -> str:
        """A list of integers: axes, shapes, places."""
        return self.constant(np.array(values, np.int64))

    def type_of(self, dtype: np.dtype[Any]) -> Any:
        """ONNX's number of a dtype."""
        return self.onnx.helper.np_dtype_to_tensor_dtype(dtype)

    def described(self, name: str, like: Aval) -> Any:
        """An input or output with its type."""
        return self.onnx.helper.make_tensor_value_info(name, self.type_of(like.dtype), list(like.shape))

    def inside(self) -> _Writer:
        """A writer for a graph inside of this one; it shares names and constants."""
        made = _Writer(self.onnx, self._taken)
        made.initializers, made._constants = self.initializers, self._constants
        return made

    def values(self, builder: Builder, outputs: Sequence[int], known: dict[int, str]) -> list[str]:
        """Write everything that some values need; their names."""
        results: dict[int, Sequence[str]] = {}
        for node in reachable(builder, outputs, known=known):
            if node in known:
                continue
            if node in builder.constants:
                known[node] = self.constant(builder.constants[node])
                continue
            hop, args = builder.hop(node), builder.args(node)
            params = dict(builder.params(node))
            if hop is ITEM:
                shown = results[args[0]]
                if params["index"] >= len(shown):
                    raise ExportError("values that only a derivative needs cannot be exported")
                known[node] = shown[params["index"]]
                continue
            use = _Use(self, [known[a] for a in args], [builder.avals[a] for a in args], builder.avals[node], params)
            try:
                if hop.name == "scan":
                    results[node] = _scan(use)
                    known[node] = ""
                elif hop.name in _WRITERS:
                    known[node] = _WRITERS[hop.name](use)
                elif hop.parts is not None:
                    known[node] = self._made_of_parts(hop.parts, use)
                else:
                    raise ExportError("has no counterpart in ONNX")
            except ExportError as error:
                site = builder.site[node]
                place = builder.sites.location(site) if site else None
                at = f" (at {describe(place)})" if place else ""
                raise ExportError(f"the hop {hop.name} of {_shapes(use.avals)}{at}: {error}") from None
        return [known[n] for n in outputs]

    def _made_of_parts(self, parts: Callable[..., Any], use: _Use) -> str:
        """Write a hop as the simpler ones that it is made of."""
        builder = Builder()
        operands = [builder.input(like, f"x{k}") for k, like in enumerate(use.avals)]
        found = parts(*operands, **use.params)
        known = {operand.id: name for operand, name in zip(operands, use.args, strict=True)}
        return self.values(builder, [found.id], known)[0]


def _shapes(avals: Sequence[Any]) -> str:
    return ", ".join(map(repr, avals))


class _Use:
    """A hop to be written: names, shapes and dtypes of its operands, its result, its parameters."""

    def __init__(
        self, writer: _Writer, args: Sequence[str], avals: Sequence[Any], out: Any, params: dict[str, Any]
    ) -> None:
        self.writer, self.args, self.avals, self.out, self.params = writer, args, avals, out, params
        self.emit = writer.emit
        self.integers = writer.integers

    def number(self, value: float) -> str:
        """A constant of the first operand's dtype."""
        return self.writer.constant(np.asarray(value, self.avals[0].dtype))

    def cast(self, name: str, dtype: Any) -> str:
        """A value in another dtype."""
        return self.emit("Cast", name, to=self.writer.type_of(np.dtype(dtype)))


_Write = Callable[[_Use], str]
_WRITERS: dict[str, _Write] = {}


def _writes(*hops: str) -> Callable[[_Write], _Write]:
    """Say how some hops are written."""

    def note(write: _Write) -> _Write:
        _WRITERS.update(dict.fromkeys(hops, write))
        return write

    return note


def _same(operator: str) -> _Write:
    return lambda use: use.emit(operator, *use.args)


_WRITERS.update({
    hop: _same(operator)
    for hop, operator in {
        "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "negative": "Neg", "absolute": "Abs",
        "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "sin": "Sin", "cos": "Cos", "tan": "Tan", "tanh": "Tanh",
        "sinh": "Sinh", "cosh": "Cosh", "arcsin": "Asin", "arccos": "Acos", "arctan": "Atan", "arcsinh": "Asinh",
        "arccosh": "Acosh", "arctanh": "Atanh", "erf": "Erf", "expit": "Sigmoid", "floor": "Floor", "ceil": "Ceil",
        "rint": "Round", "sign": "Sign", "isnan": "IsNaN", "isinf": "IsInf", "stop_gradient": "Identity",
        "maximum": "Max", "minimum": "Min", "power": "Pow", "exponent": "Pow", "where": "Where", "matmul": "MatMul",
        "less": "Less", "less_equal": "LessOrEqual", "greater": "Greater", "greater_equal": "GreaterOrEqual",
        "equal": "Equal", "logical_and": "And", "logical_or": "Or", "logical_xor": "Xor", "logical_not": "Not",
        "det": "Det",
    }.items()
})  # fmt: skip


# -- element by element ------------------------------------------------------------------------------------------------


@_writes("not_equal")
def _not_equal(use: _Use) -> str:
    return use.emit("Not", use.emit("Equal", *use.args))


@_writes("isfinite")
def _isfinite(use: _Use) -> str:
    return use.emit("Not", use.emit("Or", use.emit("IsNaN", *use.args), use.emit("IsInf", *use.args)))


@_writes("constant_power")
def _constant_power(use: _Use) -> str:
    exponent = use.params["exponent"]
    if exponent == 2:
        return use.emit("Mul", use.args[0], use.args[0])
    return use.emit("Pow", use.args[0], use.number(exponent))


@_writes("exp2")
def _exp2(use: _Use) -> str:
    return use.emit("Pow", use.number(2), use.args[0])


@_writes("expm1")
def _expm1(use: _Use) -> str:
    # eˣ − 1 = tanh(x/2)·(eˣ + 1), which keeps the digits where x is small.
    half = use.emit("Tanh", use.emit("Mul", use.args[0], use.number(0.5)))
    exact = use.emit("Mul", half, use.emit("Add", use.emit("Exp", use.args[0]), use.number(1)))
    far = use.emit("Sub", use.emit("Exp", use.args[0]), use.number(1))
    return use.emit("Where", use.emit("Less", use.emit("Abs", use.args[0]), use.number(1)), exact, far)


@_writes("log1p")
def _log1p(use: _Use) -> str:
    # 2 artanh(x/(2 + x)) keeps the digits where x is small.
    ratio = use.emit("Div", use.args[0], use.emit("Add", use.args[0], use.number(2)))
    near = use.emit("Mul", use.emit("Atanh", ratio), use.number(2))
    far = use.emit("Log", use.emit("Add", use.args[0], use.number(1)))
    return use.emit("Where", use.emit("Less", use.emit("Abs", use.args[0]), use.number(0.5)), near, far)


_WRITERS["log2"] = lambda use: use.emit("Mul", use.emit("Log", *use.args), use.number(1 / np.log(2)))
_WRITERS["log10"] = lambda use: use.emit("Mul", use.emit("Log", *use.args), use.number(1 / np.log(10)))


@_writes("logaddexp")
def _logaddexp(use: _Use) -> str:
    # max + log(1 + exp(−|a − b|)); Softplus is the logarithm.
    apart = use.emit("Neg", use.emit("Abs", use.emit("Sub", *use.args)))
    return use.emit("Add", use.emit("Max", *use.args), use.emit("Softplus", apart))


@_writes("log_expit")
def _log_expit(use: _Use) -> str:
    return use.emit("Neg", use.emit("Softplus", use.emit("Neg", *use.args)))


@_writes("hypot")
def _hypot(use: _Use) -> str:
    squares = [use.emit("Mul", a, a) for a in use.args]
    return use.emit("Sqrt", use.emit("Add", *squares))


@_writes("cbrt")
def _cbrt(use: _Use) -> str:
    root = use.emit("Pow", use.emit("Abs", *use.args), use.number(1 / 3))
    return use.emit("Mul", use.emit("Sign", *use.args), root)


@_writes("trunc")
def _trunc(use: _Use) -> str:
    return use.emit("Mul", use.emit("Sign", *use.args), use.emit("Floor", use.emit("Abs", *use.args)))


@_writes("clip")
def _clip(use: _Use) -> str:
    x, low, high = use.args
    return use.emit("Min", use.emit("Max", x, low), high)


@_writes("fmod")
def _fmod(use: _Use) -> str:
    return use.emit("Mod", *use.args, fmod=1)


@_writes("remainder")
def _remainder(use: _Use) -> str:
    if use.avals[0].dtype.kind != "f":
        return use.emit("Mod", *use.args)
    whole = use.emit("Floor", use.emit("Div", *use.args))
    return use.emit("Sub", use.args[0], use.emit("Mul", whole, use.args[1]))


@_writes("floor_divide")
def _floor_divide(use: _Use) -> str:
    if use.avals[0].dtype.kind == "f":
        return use.emit("Floor", use.emit("Div", *use.args))
    # Division of integers is cut off towards zero there: (a − a mod b)/b is exact.
    return use.emit("Div", use.emit("Sub", use.args[0], use.emit("Mod", *use.args)), use.args[1])


@_writes("convert")
def _convert(use: _Use) -> str:
    return use.cast(use.args[0], use.out.dtype)


# -- reductions --------------------------------------------------------------------------------------------------------


def _reduced(operator: str) -> _Write:
    def write(use: _Use) -> str:
        axes = use.params["axes"]
        if not axes:
            return use.args[0]
        keep = int(use.params["keepdims"])
        if use.out.dtype != use.avals[0].dtype:
            use.args = [use.cast(use.args[0], use.out.dtype)]
        return use.emit(operator, use.args[0], use.integers(*axes), keepdims=keep)

    return write


_WRITERS.update({
    hop: _reduced(operator)
    for hop, operator in {
        "sum": "ReduceSum", "mean": "ReduceMean", "prod": "ReduceProd", "max": "ReduceMax", "min": "ReduceMin",
        "logsumexp": "ReduceLogSumExp",
    }.items()
})  # fmt: skip


def _truth(operator: str) -> _Write:
    def write(use: _Use) -> str:
        if not use.params["axes"]:
            return use.args[0]
        numbers = use.cast(use.args[0], np.int32)
        found = use.emit(operator, numbers, use.integers(*use.params["axes"]), keepdims=int(use.params["keepdims"]))
        return use.cast(found, bool)

    return write


_WRITERS.update({"any": _truth("ReduceMax"), "all": _truth("ReduceMin")})


def _place(operator: str) -> _Write:
    def write(use: _Use) -> str:
        axes, rank = use.params["axes"], len(use.avals[0].shape)
        keep = int(use.params["keepdims"])
        if len(axes) == 1:
            return use.emit(operator, use.args[0], axis=axes[0], keepdims=keep)
        if len(axes) != rank:
            raise ExportError("only one axis, or all, can be searched")
        flat = use.emit("Reshape", use.args[0], use.integers(-1))
        return use.emit("Reshape", use.emit(operator, flat, axis=0, keepdims=0), use.integers(*use.out.shape))

    return write


_WRITERS.update({"argmax": _place("ArgMax"), "argmin": _place("ArgMin")})


@_writes("einsum")
def _einsum(use: _Use) -> str:
    return use.emit("Einsum", *use.args, equation=use.params["subscripts"])


@_writes("cumsum")
def _cumsum(use: _Use) -> str:
    return use.emit("CumSum", use.args[0], use.writer.constant(np.int64(use.params["axis"])))


# -- shapes ------------------------------------------------------------------------------------------------------------


@_writes("reshape")
def _reshape(use: _Use) -> str:
    # A zero means zero elements, not "as it was".
    return use.emit("Reshape", use.args[0], use.integers(*use.out.shape), allowzero=1)


@_writes("transpose")
def _transpose(use: _Use) -> str:
    return use.emit("Transpose", use.args[0], perm=list(use.params["axes"]))


@_writes("broadcast_to")
def _broadcast_to(use: _Use) -> str:
    return use.emit("Expand", use.args[0], use.integers(*use.out.shape))


@_writes("concatenate")
def _concatenate(use: _Use) -> str:
    return use.emit("Concat", *use.args, axis=use.params["axis"])


@_writes("triangle")
def _triangle(use: _Use) -> str:
    place = use.writer.constant(np.int64(use.params["k"]))
    return use.emit("Trilu", use.args[0], place, upper=int(not use.params["lower"]))


@_writes("index")
def _index(use: _Use) -> str:
    items = use.params["items"]
    arrays = [item for item in items if isinstance(item, Operand)]
    if not arrays:
        return _sliced(use, use.args[0], items)
    if any(isinstance(item, int) for item in items):
        raise ExportError("index arrays beside integers have no counterpart in ONNX: take the integers first")
    if any(item is None or item is Ellipsis for item in items):
        raise ExportError("index arrays beside None or ... have no counterpart in ONNX: reshape instead")
    # Plain slices are taken first; full ones keep the axes where they are.
    plain = tuple(Slice(None, None, None) if isinstance(item, Operand) else item for item in items)
    x = _sliced(use, use.args[0], plain)
    if len(arrays) == 1:
        return use.emit("Gather", x, use.args[1 + arrays[0].number], axis=items.index(arrays[0]))
    if any(not isinstance(item, Operand) for item in items[: len(arrays)]):
        raise ExportError("several index arrays are written only where they come first")
    avals = [use.avals[1 + item.number] for item in arrays]
    shape = np.broadcast_shapes(*[a.shape for a in avals])
    columns = [use.emit("Expand", use.args[1 + item.number], use.integers(*shape)) for item in arrays]
    stacked = [use.emit("Unsqueeze", column, use.integers(len(shape))) for column in columns]
    return use.emit("GatherND", x, use.cast(use.emit("Concat", *stacked, axis=len(shape)), np.int64))


def _sliced(use: _Use, x: str, items: tuple[Any, ...]) -> str:
    """Basic indexing."""
    shape = use.avals[0].shape
    taken = sum(item is not None and item is not Ellipsis for item in items)
    if Ellipsis in items:
        at = items.index(Ellipsis)
        items = (*items[:at], *[Slice(None, None, None)] * (len(shape) - taken), *items[at + 1 :])
    starts, stops, axes, steps = [], [], [], []
    dropped, added = [], []
    axis = place = 0
    for item in items:
        if item is None:
            added.append(place)
            place += 1
            continue
        size = shape[axis]
        if isinstance(item, int):
            start, stop, step = item % size, item % size + 1, 1
            dropped.append(axis)
        else:
            start, stop, step = slice(*item).indices(size)
            place += 1
        if (start, stop, step) != (0, size, 1):
            starts.append(start)
            stops.append(stop if stop >= 0 else -size - 1)  # −1 would count from the end
            axes.append(axis)
            steps.append(step)
        axis += 1
    if axes:
        x = use.emit("Slice", x, *[use.integers(*part) for part in (starts, stops, axes, steps)])
    if dropped:
        x = use.emit("Squeeze", x, use.integers(*dropped))
    return use.emit("Unsqueeze", x, use.integers(*added)) if added else x


@_writes("scatter", "put")
def _scatter(use: _Use) -> str:
    """A value among zeros, or written into another one, at places that are known beforehand."""
    items, shape = use.params["items"], use.out.shape
    if any(isinstance(item, Operand) for item in items):
        raise ExportError("writing to computed places is not exported")
    value, size = use.args[-1], int(np.prod(shape))
    if len(use.args) == 1 and len(items) == len(shape) and all(isinstance(i, Slice) and i.step == 1 for i in items):
        ranges = [slice(*item).indices(n) for item, n in zip(items, shape, strict=True)]
        before = [start for start, _, _ in ranges]
        after = [n - stop for (_, stop, _), n in zip(ranges, shape, strict=True)]
        return use.emit("Pad", value, use.integers(*before, *after))
    places = np.arange(size).reshape(shape)[selection(items)].reshape(-1)
    base = use.number(0) if len(use.args) == 1 else use.emit("Reshape", use.args[0], use.integers(size))
    if len(use.args) == 1:
        base = use.emit("Expand", base, use.integers(size))
    flat = use.emit("Reshape", value, use.integers(len(places)))
    written = use.emit("ScatterElements", base, use.writer.constant(places.astype(np.int64)), flat, axis=0)
    return use.emit("Reshape", written, use.integers(*shape))


# -- loops -------------------------------------------------------------------------------------------------------------


def _scan(use: _Use) -> Sequence[str]:
    """A loop as Scan: carries become its states; what all steps share is seen from inside."""
    params = use.params
    if params["counted"]:
        raise ExportError("loops whose number of steps is computed are not exported")
    consts, carries = params["consts"], params["carries"]
    body: Graph = params["body"]
    inner = use.writer.inside()
    names = [use.writer.fresh(f"step_{k}") for k in range(len(body.inputs))]
    names[:consts] = use.args[:consts]
    known = dict(zip(body.inputs, names, strict=True))
    results = [use.writer.fresh("result") for _ in body.outputs]
    for name, result in zip(inner.values(body.builder, body.outputs, known), results, strict=True):
        inner.add("Identity", [name], [result])
    graph = use.writer.onnx.helper.make_graph(
        inner.nodes,
        "step",
        [inner.described(names[k], body.builder.avals[body.inputs[k]]) for k in range(consts, len(names))],
        [inner.described(name, body.builder.avals[n]) for name, n in zip(results, body.outputs, strict=True)],
    )
    slices, rows = len(names) - consts - carries, len(results) - carries
    reverse = int(params["reverse"])
    found = [use.writer.fresh("scan") for _ in results]
    use.writer.add(
        "Scan",
        use.args[consts:],
        found,
        body=graph,
        num_scan_inputs=slices,
        scan_input_directions=[reverse] * slices,
        scan_output_directions=[reverse] * rows,
    )
    return found
