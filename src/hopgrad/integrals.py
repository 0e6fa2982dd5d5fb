"""``quad``, ``solve_ivp`` and ``odeint`` of SciPy for traced functions: the function is traced once, as a graph.

Outside of traces SciPy's own functions run. The names are SciPy's; `hopgrad.scipy.integrate` hands them out.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import numpy as np

from hopgrad import tree
from hopgrad.aval import Aval, aval
from hopgrad.calling import Level
from hopgrad.control import (
    Body,
    Nest,
    Value,
    _captured,
    _closed,
    _finish,
    _function,
    _outputs,
    _placed,
    _trace_body,
    _value,
)
from hopgrad.errors import DtypeError, NotDifferentiableError, ShapeError
from hopgrad.graph.graph import Graph
from hopgrad.graph.hop import ITEM
from hopgrad.hops.control import emit
from hopgrad.hops.integrals import INTEGRAL, STEPS, TRAJECTORY
from hopgrad.hops.shape import concatenate, reshape, slice_axis, transposed
from hopgrad.hops.surface import cast, refused
from hopgrad.trace import context
from hopgrad.trace.context import Trace, UnknownValueError
from hopgrad.trace.tracer import ARRAY, PYTHON, Tracer, array, has_traced, with_place

_FLOAT = np.dtype(np.float64)
_NUMBER = aval((), _FLOAT)


def _own(name: str) -> Any:
    return getattr(importlib.import_module("scipy.integrate"), name)


def _refuse(trace: Trace, frame: FrameType | None, what: str, cure: str) -> None:
    trace.refuse(with_place(refused(what, cure), frame))


def _input(like: Aval, kind: int, name: str, title: str) -> tuple[Nest, str]:
    leaf = 0.0 if kind == PYTHON else np.zeros(1)
    return Nest([Value(-1, like, kind, name, title)], tree.flatten(leaf)[1]), name


def _traced(
    trace: Trace, f: Callable[..., Any], inputs: Sequence[tuple[Nest, str]], frame: FrameType | None, what: str
) -> tuple[Graph, list[int], Aval]:
    """A function of floats as a closed graph with one output, the values that it captured, and what it gives."""
    body: Body = _trace_body(trace, f, inputs, frame)
    results = _outputs(trace, body.result, what).leaves
    if len(results) != 1:
        raise ShapeError(f"{what} must be one array or number, not {len(results)}")
    like = results[0].like
    if like.dtype.kind == "c":
        raise NotDifferentiableError(f"{what} is complex: give real and imaginary part by themselves")
    if like.dtype.kind not in "fiub":
        raise DtypeError(f"{what} is of dtype {like.dtype}")
    node = cast(trace.builder.expr(results[0].node), _FLOAT).id
    captured = _captured(trace.builder, body, [node], hoist=True)
    return _closed(trace.builder, body, captured, [node]), captured, like


def _number(trace: Trace, value: Any, name: str) -> int:
    found = _value(trace, value, name)
    if found.like.shape:
        raise ShapeError(f"{name} has shape {found.like.shape}, but a single number is needed")
    return cast(trace.builder.expr(found.node), _FLOAT).id


# -- integrals -------------------------------------------------------------------------------------------------------


def quad(func: Any, a: Any, b: Any, args: Any = (), full_output: Any = 0, epsabs: float = 1.49e-8,
         epsrel: float = 1.49e-8, limit: int = 50, points: Any = None, weight: Any = None, wvar: Any = None,
         wopts: Any = None, maxp1: int = 50, limlst: int = 50, complex_func: bool = False) -> Any:  # fmt: skip
    """``scipy.integrate.quad``: the integral of a function and an estimate of its error.

    Differentiable by the limits, by `args` and by everything that `func` uses from outside: derivatives go under the
    integral, and are computed by adaptive integration with the same tolerances, to any order. ``weight``,
    ``full_output`` and ``complex_func`` are refused by name.

    Raises:
        ShapeError: the function gives no single number.

    >>> import hopgrad as hg
    >>> hg.grad(lambda x: quad(lambda t: x * t, 0.0, x)[0])(2.0)  # of x³/2
    6.0
    """
    own = {
        "full_output": full_output, "epsabs": epsabs, "epsrel": epsrel, "limit": limit, "points": points,
        "weight": weight, "wvar": wvar, "wopts": wopts, "maxp1": maxp1, "limlst": limlst, "complex_func": complex_func,
    }  # fmt: skip
    if context.current() is None:
        return _own("quad")(func, a, b, args, **own)
    frame = sys._getframe(1)
    with Level() as trace, _placed(frame):
        for name in ("full_output", "weight", "complex_func"):
            if own[name]:
                _refuse(trace, frame, f"scipy.integrate.quad({name}=…)", "leave it out")
        if has_traced((points, epsabs, epsrel, limit)):
            _refuse(trace, frame, "scipy.integrate.quad with traced points or tolerances", "give it plain ones")
        args = args if isinstance(args, tuple) else (args,)
        f = _function(trace, func, frame)
        graph, captured, like = _traced(
            trace, lambda t: f(t, *args), [_input(_NUMBER, PYTHON, "t", "t")], frame, "the integrand"
        )
        if like.shape:
            raise ShapeError(f"the integrand of quad gives shape {like.shape}, but a single number is needed")
        limits = [_number(trace, value, name) for value, name in ((a, "a"), (b, "b"))]
        given = {"epsabs": epsabs, "epsrel": epsrel, "limit": limit,
                 "points": None if points is None else tuple(float(p) for p in points)}  # fmt: skip
        number = Value(-1, _NUMBER, PYTHON, "quad")
        params = {"body": graph, "given": tuple(given.items())}
        return tuple(_finish(trace, INTEGRAL, [*captured, *limits], params, [number, number], frame))


# -- initial value problems ------------------------------------------------------------------------------------------

_METHODS = ("RK45", "RK23", "DOP853", "Radau", "BDF", "LSODA")


def _right_side(
    trace: Trace, fun: Any, start: int, args: Sequence[Any], t_first: bool, frame: FrameType | None
) -> tuple[Graph, list[int]]:
    like = trace.builder.avals[start]
    f = _function(trace, fun, frame)

    def speed(t: Any, y: Any) -> Any:
        found = f(t, y, *args) if t_first else f(y, t, *args)
        return array(found, copy=None) if isinstance(found, (list, tuple)) else found

    inputs = [_input(_NUMBER, PYTHON, "t", "t"), _input(like, ARRAY, "the state", "y")]
    graph, captured, result = _traced(trace, speed, inputs, frame, "the right-hand side")
    if result.shape != like.shape:
        if result.shape != () or like.shape != (1,):
            raise ShapeError(f"the right-hand side gives shape {result.shape}, but the state has {like.shape}")
        node = reshape(graph.builder.expr(graph.outputs[0]), shape=(1,)).id
        graph = Graph(graph.builder, graph.inputs, [node])
    return graph, captured


def _state(trace: Trace, y0: Any) -> int:
    value = np.atleast_1d(array(y0, copy=None) if has_traced(y0) else np.asarray(y0))
    found = _value(trace, value, "y0")
    if found.like.ndim != 1:
        raise ValueError("`y0` must be 1-dimensional.")
    if found.like.dtype.kind == "c":
        raise NotDifferentiableError("an initial value problem of complex numbers: give it real and imaginary parts")
    return cast(trace.builder.expr(found.node), _FLOAT).id


def _plain_options(trace: Trace, frame: FrameType | None, name: str, options: dict[str, Any]) -> tuple[Any, ...]:
    found = []
    for key, value in options.items():
        if value is None:
            continue
        if has_traced(value):
            _refuse(trace, frame, f"{name} with a traced {key}", "give it a plain number")
        array_like = isinstance(value, (list, tuple, np.ndarray)) and np.ndim(value)
        found.append((key, tuple(float(v) for v in value) if array_like else value))
    return tuple(found)


def solve_ivp(fun: Any, t_span: Any, y0: Any, method: Any = "RK45", t_eval: Any = None, dense_output: bool = False,
              events: Any = None, vectorized: bool = False, args: Any = None, **options: Any) -> Any:  # fmt: skip
    """``scipy.integrate.solve_ivp``: the solution of y′ = fun(t, y) from y0 on, by SciPy's own methods, all of them.

    Differentiable by `y0`, `args`, everything that `fun` uses from outside, and the times. The derivatives solve
    the variational equation beside the own one, with the same tolerances: they are about as accurate as the
    solution. In reverse mode it is that by all parameters together; of more than 64 components the adjoint
    equation, along the solution as it was found, so that stiff problems do no harm either way. The latter has no
    derivative in turn. Without `t_eval` the times are those of the solver's steps, and their number is a guard.
    ``events``, ``dense_output`` and complex numbers are refused by name. A Jacobian that is given is not needed.

    Source: Hairer, Nørsett and Wanner, Solving Ordinary Differential Equations I, 1993, section I.14.

    Raises:
        LoopError: the solver fails; SciPy's message.

    >>> import numpy as np
    >>> import hopgrad as hg
    >>> f = lambda k: solve_ivp(lambda t, y: -k * y, (0.0, 1.0), [1.0], rtol=1e-10, atol=1e-12).y[0, -1]
    >>> bool(abs(hg.grad(f)(2.0) + np.exp(-2.0)) < 1e-9)
    True
    """
    if context.current() is None:
        return _own("solve_ivp")(fun, t_span, y0, method, t_eval, dense_output, events, vectorized, args, **options)
    frame = sys._getframe(1)
    with Level() as trace, _placed(frame):
        if events is not None:
            _refuse(trace, frame, "scipy.integrate.solve_ivp(events=…)", "find the event's time from the solution")
        if dense_output:
            _refuse(trace, frame, "scipy.integrate.solve_ivp(dense_output=True)", "say the times with t_eval")
        name = method if isinstance(method, str) else getattr(method, "__name__", "")
        if name not in _METHODS:
            raise ValueError(f"`method` must be one of {', '.join(_METHODS)}.")
        for key in ("jac", "jac_sparsity", "lband", "uband"):
            options.pop(key, None)
        known = {"rtol", "atol", "max_step", "first_step", "min_step"}
        if unknown := options.keys() - known:
            raise TypeError(f"solve_ivp does not know {', '.join(sorted(unknown))}")
        given = _plain_options(trace, frame, "scipy.integrate.solve_ivp", options)
        start = _state(trace, y0)
        args = () if args is None else args if isinstance(args, tuple) else (args,)
        graph, captured = _right_side(trace, fun, start, args, True, frame)
        first, last = (_number(trace, value, "t_span") for value in t_span)
        params = {"body": graph, "method": name, "given": given}
        operands = [*captured, start]
        if t_eval is None:
            times = _steps(trace, operands, first, last, params, frame)
        else:
            asked = _value(trace, array(t_eval, copy=None) if has_traced(t_eval) else np.asarray(t_eval), "t_eval")
            if asked.like.ndim != 1:
                raise ValueError("`t_eval` must be 1-dimensional.")
            times = cast(trace.builder.expr(asked.node), _FLOAT).id
        return _solution(trace, operands, first, times, last, params, frame)


def _joined(trace: Trace, parts: Sequence[int]) -> int:
    """Numbers and lines of them as one line."""
    lines = [trace.builder.expr(n) for n in parts]
    found: int = concatenate(*[x if x.ndim else reshape(x, shape=(1,)) for x in lines], axis=0).id
    return found


def _steps(
    trace: Trace, operands: Sequence[int], first: int, last: int, params: dict[str, Any], frame: FrameType | None
) -> int:
    """The times of the solver's steps; the first and the last are the given ones."""
    builder = trace.builder
    handles = [builder.expr(n) for n in (*operands, _joined(trace, [first, last]))]
    asked = ITEM(emit(STEPS, handles, {**params, "count": -1}, builder), index=0)
    try:
        trace.concrete(asked.id)
    except UnknownValueError:
        error = refused("scipy.integrate.solve_ivp without t_eval, of values that are not known yet", "say t_eval")
        trace.refuse(with_place(error, frame))
    count = int(trace.settle(asked.id, frame))
    times = ITEM(emit(STEPS, handles, {**params, "count": count}, builder), index=0)
    if count < 2:
        return times.id
    return _joined(trace, [first, slice_axis(times, 0, 1, count - 1, 1).id, last])


def _solution(
    trace: Trace, operands: Sequence[int], first: int, times: int, last: int, params: dict[str, Any],
    frame: FrameType | None,
) -> Any:  # fmt: skip
    builder = trace.builder
    whole = _joined(trace, [first, times, last])
    like = aval((builder.avals[operands[-1]].size, builder.avals[times].size), _FLOAT)
    (y,) = _finish(trace, TRAJECTORY, [*operands, whole], params, [Value(-1, like, ARRAY, "y")], frame)
    result = importlib.import_module("scipy.optimize").OptimizeResult
    return result(
        t=Tracer(trace, times, ARRAY), y=y, sol=None, t_events=None, y_events=None, status=0, success=True,
        message="The solver successfully reached the end of the integration interval.",
    )  # fmt: skip


def odeint(func: Any, y0: Any, t: Any, args: Any = (), Dfun: Any = None, col_deriv: Any = 0, full_output: Any = 0,
           ml: Any = None, mu: Any = None, rtol: Any = None, atol: Any = None, tcrit: Any = None, h0: float = 0.0,
           hmax: float = 0.0, hmin: float = 0.0, ixpr: Any = 0, mxstep: int = 0, mxhnil: int = 0, mxordn: int = 12,
           mxords: int = 5, printmessg: Any = 0, tfirst: bool = False) -> Any:  # fmt: skip
    """``scipy.integrate.odeint``: the solution of y′ = func(y, t) at the times t, by LSODA; see `solve_ivp`.

    ``full_output`` is refused by name. A Jacobian that is given is not needed.

    >>> import numpy as np
    >>> import hopgrad as hg
    >>> bool(abs(hg.grad(lambda y: odeint(lambda y, t: -y, y, [0.0, 1.0])[1, 0])(1.0) - np.exp(-1.0)) < 1e-6)
    True
    """
    own = {
        "Dfun": Dfun, "col_deriv": col_deriv, "full_output": full_output, "ml": ml, "mu": mu, "rtol": rtol,
        "atol": atol, "tcrit": tcrit, "h0": h0, "hmax": hmax, "hmin": hmin, "ixpr": ixpr, "mxstep": mxstep,
        "mxhnil": mxhnil, "mxordn": mxordn, "mxords": mxords, "printmessg": printmessg, "tfirst": tfirst,
    }  # fmt: skip
    if context.current() is None:
        return _own("odeint")(func, y0, t, args, **own)
    frame = sys._getframe(1)
    with Level() as trace, _placed(frame):
        for name in ("full_output", "tcrit"):
            if own[name] is not None and own[name] != 0:
                _refuse(trace, frame, f"scipy.integrate.odeint({name}=…)", "leave it out")
        kept = {k: own[k] for k in ("rtol", "atol", "h0", "hmax", "hmin", "mxstep", "mxordn", "mxords")}
        given = _plain_options(trace, frame, "scipy.integrate.odeint", kept)
        if any(isinstance(value, tuple) for _, value in given):
            _refuse(trace, frame, "scipy.integrate.odeint with a tolerance for each component", "give it one number")
        start = _state(trace, y0)
        args = args if isinstance(args, tuple) else (args,)
        graph, captured = _right_side(trace, func, start, args, tfirst, frame)
        asked = _value(trace, array(t, copy=None) if has_traced(t) else np.asarray(t), "t")
        if asked.like.ndim != 1 or not asked.like.size:
            raise ValueError("the times of odeint must be one-dimensional, and at least one")
        builder = trace.builder
        times = cast(builder.expr(asked.node), _FLOAT)
        n, count = builder.avals[start].size, asked.like.size
        whole = concatenate(times, slice_axis(times, 0, count - 1, count, 1), axis=0)
        params = {"body": graph, "method": "odeint", "given": given}
        later = ITEM(
            emit(TRAJECTORY, [builder.expr(k) for k in (*captured, start, whole.id)], params, builder), index=0
        )
        rows = concatenate(reshape(builder.expr(start), shape=(1, n)), transposed(later, (1, 0)), axis=0)
        trace.site(rows.id, frame)
        return Tracer(trace, rows.id, ARRAY)
