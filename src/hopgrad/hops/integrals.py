"""Integrals and initial value problems as hops: they own the integrand, or the right-hand side, as a graph.

Both are computed by SciPy's adaptive methods, at each call anew, and so are their derivatives: these are integrals and
initial value problems as well, of graphs made of the own one, and so have derivatives in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hopgrad.aval import Aval, aval
from hopgrad.errors import GraphError, LoopError, NotDifferentiableError
from hopgrad.graph.builder import Builder, Expr, Params, zeros
from hopgrad.graph.graph import Graph
from hopgrad.graph.hop import Compound, Function
from hopgrad.graph.operators import Cotangent
from hopgrad.hops.control import Stepper, closed, inline, pull_graph, push_graph, reached
from hopgrad.hops.products import einsum, matmul
from hopgrad.hops.reduce import sum_
from hopgrad.hops.shape import Slice, concatenate, index, reshape, slice_axis

_FLOAT = np.dtype(np.float64)
_NUMBER = aval((), _FLOAT)


def _scipy(name: str) -> Callable[..., Any]:
    import scipy.integrate

    found: Callable[..., Any] = getattr(scipy.integrate, name)
    return found


def _element(x: Expr, k: int) -> Any:
    return index(x, items=(k,))


def _dot(a: Expr, b: Expr) -> Any:
    return sum_(a * b, axes=tuple(range(a.ndim)), keepdims=False)


def _flat(x: Any) -> Any:
    return reshape(x, shape=(x.size,))


def _stepper(graph: Graph, count: int, wanted: Sequence[int]) -> Stepper:
    """How a body is computed whose first `count` inputs do not change on the way; made once for each graph."""
    key = ("stepper", count, tuple(wanted))
    found = graph.cache.get(key)
    if found is None:
        outputs = [graph.outputs[k] for k in wanted]
        found = graph.cache[key] = Stepper(graph, outputs, count, graph.inputs[count:])
    made: Stepper = found
    return made


# -- integrals -------------------------------------------------------------------------------------------------------


class Integral(Compound):
    """The integrals from a to b of all outputs of `body`, a graph of (captured values, t), and their estimated error.

    Operands: the captured values, a, b. ``given``: the tolerances and bounds of ``scipy.integrate.quad``.
    """

    takes = frozenset({"body", "given"})

    def results(self, *avals: Aval, **params: Any) -> Sequence[Aval]:
        body: Graph = params["body"]
        expected = [*avals[:-2], _NUMBER]
        if [body.builder.avals[n] for n in body.inputs] != expected or any(x is not _NUMBER for x in avals[-2:]):
            raise GraphError(f"integral: the integrand does not fit operands {list(avals)}")
        return [*[body.builder.avals[n] for n in body.outputs], _NUMBER]

    def shown(self, params: Params) -> int:
        return len(dict(params)["body"].outputs) + 1

    def reach(self, params: Params, active: Sequence[bool]) -> Sequence[bool]:
        body: Graph = dict(params)["body"]
        if any(active[-2:]):
            return [True] * len(body.outputs) + [False]
        return [*reached(body, [*active[:-2], False]), False]

    def bind(self, params: Params, wanted: Sequence[int]) -> Callable[..., Sequence[Any]]:
        body: Graph = dict(params)["body"]
        options = dict(dict(params)["given"])
        count = len(body.outputs)
        numbers = [k for k in wanted if k < count] or list(range(count))

        def run(*args: Any) -> Sequence[Any]:
            *consts, a, b = args
            stepper = _stepper(body, len(consts), numbers)
            step = stepper.start(consts, quiet=False)
            likes = [body.builder.avals[body.outputs[k]] for k in numbers]
            found: list[Any] = [None] * (count + 1)
            if len(likes) == 1 and not likes[0].shape:
                values, error = _quad(lambda t: float(step([np.float64(t)])[0]), float(a), float(b), options)
                parts = [np.asarray(values)]
            else:
                values, error = _quad_of_many(step, float(a), float(b), options)
                ends = np.cumsum([0, *[like.size for like in likes]])
                parts = [values[ends[k] : ends[k + 1]].reshape(like.shape) for k, like in enumerate(likes)]
            for k, part in zip(numbers, parts, strict=True):
                found[k] = part.astype(_FLOAT)
            found[count] = np.float64(error)
            return found

        return run

    def pull_all(
        self,
        args: Sequence[Expr],
        out: Expr,
        params: Params,
        cotangents: Sequence[Cotangent | None],
        active: Sequence[bool],
    ) -> Sequence[Cotangent | None]:
        body: Graph = dict(params)["body"]
        *consts, a, b = args
        count = len(body.outputs)
        there = {k: c[0] for k, c in enumerate(cotangents[:count]) if c is not None}
        found: list[Cotangent | None] = [None] * len(args)
        if not there:
            return found
        moving = [k for k in range(len(consts)) if active[k]]
        if moving:
            numbers = list(there)
            flags = [k in moving for k in range(len(consts))]
            used: list[int] = []

            def shares(builder: Builder, inputs: list[Expr]) -> list[Expr]:
                *rest, place = inputs
                seeds = dict(zip(numbers, rest[len(consts) :], strict=True))
                given = [(seeds[k], None) if k in seeds else None for k in range(count)]
                parts = pull_graph(body, builder, [*rest[: len(consts)], place], given, [*flags, False])
                kept = {k: part[0] for k in moving if (part := parts[k]) is not None}
                used[:] = kept
                return list(kept.values())

            graph = closed([*[x.aval for x in consts], *[ct.aval for ct in there.values()], _NUMBER], shares)
            if used:
                whole = self(*consts, *there.values(), a, b, body=graph, given=dict(params)["given"])
                for k, share in zip(used, whole[:-1], strict=True):
                    found[k] = share, None
        for number, end, sign in ((len(consts), a, -1.0), (len(consts) + 1, b, 1.0)):
            if active[number]:
                heights = inline(body, [*consts, end], out.builder)
                terms = [_dot(heights[k], ct) for k, ct in there.items()]
                total = terms[0]
                for term in terms[1:]:
                    total = total + term
                found[number] = sign * total, None
        return found

    def push_all(
        self, args: Sequence[Expr], out: Expr, params: Params, tangents: Sequence[Expr | None]
    ) -> Sequence[Expr | None]:
        body: Graph = dict(params)["body"]
        *consts, a, b = args
        count = len(body.outputs)
        total: list[Any] = [None] * (count + 1)
        moving = [k for k in range(len(consts)) if tangents[k] is not None]
        if moving:
            used: list[int] = []

            def changes(builder: Builder, inputs: list[Expr]) -> list[Expr]:
                *rest, place = inputs
                ways = dict(zip(moving, rest[len(consts) :], strict=True))
                given = [ways.get(k) for k in range(len(consts))]
                _, moved = push_graph(body, builder, [*rest[: len(consts)], place], [*given, None])
                kept = {k: t for k in range(count) if (t := moved[k]) is not None}
                used[:] = kept
                return list(kept.values())

            graph = closed([*[x.aval for x in consts], *[consts[k].aval for k in moving], _NUMBER], changes)
            if used:
                everything = [*consts, *[t for k in moving if (t := tangents[k]) is not None], a, b]
                whole = self(*everything, body=graph, given=dict(params)["given"])
                for k, value in zip(used, whole[:-1], strict=True):
                    total[k] = value
        for end, change, sign in ((a, tangents[-2], -1.0), (b, tangents[-1], 1.0)):
            if change is None:
                continue
            for k, height in enumerate(inline(body, [*consts, end], out.builder)):
                term = height * (sign * change)
                total[k] = term if total[k] is None else total[k] + term
        return total


def _quad(f: Callable[[float], float], a: float, b: float, options: dict[str, Any]) -> tuple[Any, Any]:
    return _scipy("quad")(f, a, b, **options)[:2]


def _quad_of_many(step: Any, a: float, b: float, options: dict[str, Any]) -> tuple[Any, Any]:
    def f(t: float) -> Any:
        return np.concatenate([np.ravel(v) for v in step([np.float64(t)])])

    if a == b:
        return 0.0 * f(a), 0.0
    given = {k: options[k] for k in ("epsabs", "epsrel", "limit", "points") if options.get(k) is not None}
    # (It may cut the interval more often than quad, since all components have to be good enough.)
    given["limit"] = 200 * given.get("limit", 50)
    found = _scipy("quad_vec")(f, a, b, norm="max", **given)
    return found[0], found[1]


INTEGRAL = Integral(
    "integral",
    Function("∫", r"\int", "integral"),
    "Under the integral: its derivative by a parameter is the integral of the integrand's. By a limit it is the"
    " integrand there (Leibniz's rule).",
)


# -- initial value problems ------------------------------------------------------------------------------------------


class Trajectory(Compound):
    """The solution of y′ = f(t, y) at some times. ``body`` is f, a graph of (captured values, t, y).

    Operands: the captured values, y at the start, and the times: that of the start, those asked for, and up to which
    time is integrated. The result has a column for each time asked for. ``method``, ``given``: what SciPy is told.
    """

    takes = frozenset({"body", "method", "given"})

    def results(self, *avals: Aval, **params: Any) -> Sequence[Aval]:
        body: Graph = params["body"]
        *consts, y, times = avals
        expected = [*consts, _NUMBER, y]
        if [body.builder.avals[n] for n in body.inputs] != expected or y.ndim != 1 or times.ndim != 1 or times.size < 2:
            raise GraphError(f"trajectory: the right-hand side does not fit operands {list(avals)}")
        if [body.builder.avals[n] for n in body.outputs] != [y]:
            raise GraphError("trajectory: the right-hand side does not give one derivative for each component")
        return (aval((y.size, times.size - 2), _FLOAT),)

    def shown(self, params: Params) -> int:
        return 1

    def reach(self, params: Params, active: Sequence[bool]) -> Sequence[bool]:
        return [any(active)]

    def bind(self, params: Params, wanted: Sequence[int]) -> Callable[..., Sequence[Any]]:
        given = dict(params)

        def run(*args: Any) -> Sequence[Any]:
            return (_solved(given["body"], given["method"], dict(given["given"]), *args),)

        return run

    def push_all(
        self, args: Sequence[Expr], out: Expr, params: Params, tangents: Sequence[Expr | None]
    ) -> Sequence[Expr | None]:
        """The variational equation beside the own one: v′ = ∂f/∂y v + ∂f/∂c dc."""
        body: Graph = dict(params)["body"]
        *consts, y, times = args
        (values,) = self.split(out, params)
        moving = [k for k in range(len(consts)) if tangents[k] is not None]
        of_start, of_times = tangents[-2:]
        start = zeros(out.builder, y.aval) if of_start is None else of_start
        if of_times is not None:
            (speed,) = inline(body, [*consts, _element(times, 0), y], out.builder)
            start = start - speed * _element(of_times, 0)
        total: Any = None
        if moving or of_start is not None or of_times is not None:
            n, m = y.size, len(consts)
            kinds = [*[x.aval for x in consts], *[consts[k].aval for k in moving], _NUMBER]

            def change(builder: Builder, inputs: list[Expr]) -> list[Expr]:
                *rest, place, now, way = inputs
                ways = dict(zip(moving, rest[m:], strict=True))
                given = [ways.get(k) for k in range(m)]
                (speed,), (moved,) = push_graph(body, builder, [*rest[:m], place, now], [*given, None, way])
                return [speed, zeros(builder, y.aval) if moved is None else moved]

            joint = closed([*kinds, y.aval, y.aval], change)

            def beside(builder: Builder, inputs: list[Expr]) -> list[Expr]:
                *rest, state = inputs
                halves = [slice_axis(state, 0, 0, n, 1), slice_axis(state, 0, n, 2 * n, 1)]
                return [concatenate(*inline(joint, [*rest, *halves], builder), axis=0)]

            graph = closed([*kinds, aval((2 * n,), _FLOAT)], beside)
            operands = [*consts, *[t for k in moving if (t := tangents[k]) is not None]]
            (both,) = self(*operands, concatenate(y, start, axis=0), times, **{**dict(params), "body": graph})
            total = slice_axis(both, 0, n, 2 * n, 1)
        if of_times is not None and values.shape[1]:
            count = values.shape[1]
            changes = slice_axis(of_times, 0, 1, count + 1, 1)
            total = total + self._speeds(body, consts, values, times, out.builder) * reshape(changes, shape=(1, count))
        return [total]

    def _speeds(self, body: Graph, consts: Sequence[Expr], values: Expr, times: Expr, builder: Builder) -> Any:
        """f at the times asked for, as columns."""
        columns = []
        for k in range(values.shape[1]):
            now = index(values, items=(Slice(None, None, None), k))
            (speed,) = inline(body, [*consts, _element(times, k + 1), now], builder)
            columns.append(reshape(speed, shape=(speed.size, 1)))
        return concatenate(*columns, axis=1)

    def pull_all(
        self,
        args: Sequence[Expr],
        out: Expr,
        params: Params,
        cotangents: Sequence[Cotangent | None],
        active: Sequence[bool],
    ) -> Sequence[Cotangent | None]:
        """By the sensitivities S = ∂y/∂(y₀, c), with S′ = ∂f/∂y S + ∂f/∂c: they are integrated beside y, forwards.

        Of many components by the adjoint equation, backwards along the solution.
        """
        body: Graph = dict(params)["body"]
        *consts, y, times = args
        found: list[Cotangent | None] = [None] * len(args)
        if cotangents[0] is None:
            return found
        ct = cotangents[0][0]
        n, m = y.size, len(consts)
        moving = [k for k in range(m) if active[k]]
        from_start = active[m] or active[m + 1]
        sizes = [n if from_start else 0, *[consts[k].size for k in moving]]
        width = sum(sizes)
        (values,) = self.split(out, params)
        shares: Any = None
        if width and n > _MOST:
            shares = self._adjoint(consts, y, times, ct, params, moving)
        elif width:
            graph = self._sensitivities(body, consts, n, moving, from_start, width)
            first = np.zeros((n, width))
            first[:, : sizes[0]] = np.eye(n, sizes[0])
            state = concatenate(y, out.builder.constant(first.ravel()), axis=0)
            (both,) = self(*consts, state, times, **{**dict(params), "body": graph})
            changes = reshape(slice_axis(both, 0, n, n + n * width, 1), shape=(n, width, ct.shape[1]))
            shares = einsum(changes, ct, subscripts="ipt,it->p")
        if width:
            place = sizes[0]
            for k, size in zip(moving, sizes[1:], strict=True):
                part = slice_axis(shares, 0, place, place + size, 1)
                found[k] = reshape(part, shape=consts[k].shape), None
                place += size
            if active[m]:
                found[m] = slice_axis(shares, 0, 0, n, 1), None
        if active[m + 1]:
            (speed,) = inline(body, [*consts, _element(times, 0), y], out.builder)
            parts = [reshape(-_dot(slice_axis(shares, 0, 0, n, 1), speed), shape=(1,))]
            if ct.shape[1]:
                parts.append(
                    sum_(ct * self._speeds(body, consts, values, times, out.builder), axes=(0,), keepdims=False)
                )
            parts.append(zeros(out.builder, aval((1,), _FLOAT)))
            found[m + 1] = concatenate(*parts, axis=0), None
        return found

    def _adjoint(
        self, consts: Sequence[Expr], y: Expr, times: Expr, ct: Expr, params: Params, moving: Sequence[int]
    ) -> Any:
        """Cotangents of the start and of the values numbered in `moving`, in a line."""
        body: Graph = dict(params)["body"]
        m = len(consts)
        flags = [k in moving for k in range(m)]

        def shares(builder: Builder, inputs: list[Expr]) -> list[Expr]:
            *rest, place, now, adjoint = inputs
            parts = pull_graph(body, builder, [*rest, place, now], [(adjoint, None)], [*flags, False, True])
            found = []
            for k in (m + 1, *moving):
                like = y.aval if k > m else consts[k].aval
                part = parts[k]
                found.append(_flat(zeros(builder, like) if part is None else part[0]))
            return [concatenate(*found, axis=0) if len(found) > 1 else found[0]]

        graph = closed([*[x.aval for x in consts], _NUMBER, y.aval, y.aval], shares)
        given = {k: v for k, v in dict(params).items() if k != "body"}
        (line,) = ADJOINT(*consts, y, times, ct, body=body, back=graph, **given)
        return line

    def _sensitivities(
        self, body: Graph, consts: Sequence[Expr], n: int, moving: Sequence[int], from_start: bool, width: int
    ) -> Graph:
        """The right-hand side of y and S together."""
        key = ("sensitivities", tuple(moving), from_start)
        made: Graph | None = body.cache.get(key)
        if made is not None:
            return made
        m = len(consts)
        kinds = [*[x.aval for x in consts], _NUMBER]
        flags = [k in moving for k in range(m)]
        like = aval((n,), _FLOAT)

        def slopes(builder: Builder, inputs: list[Expr]) -> list[Expr]:
            by_state: list[Any] = []
            by_rest: list[Any] = []
            for k in range(n):
                unit = builder.constant(np.eye(1, n, k).ravel())
                shares = pull_graph(body, builder, inputs, [(unit, None)], [*flags, False, True])
                parts = [None if share is None else _flat(share[0]) for share in shares]
                by_state.append(zeros(builder, like) if parts[-1] is None else parts[-1])
                row = [zeros(builder, like)] if from_start else []
                for number in moving:
                    part = parts[number]
                    row.append(zeros(builder, aval((consts[number].size,), _FLOAT)) if part is None else part)
                by_rest.append(concatenate(*row, axis=0) if len(row) > 1 else row[0])
            (speed,) = inline(body, inputs, builder)
            return [speed, *[_stacked(rows) for rows in (by_state, by_rest)]]

        local = closed([*kinds, like], slopes)

        def beside(builder: Builder, inputs: list[Expr]) -> list[Expr]:
            *rest, state = inputs
            now = slice_axis(state, 0, 0, n, 1)
            changes = reshape(slice_axis(state, 0, n, n + n * width, 1), shape=(n, width))
            speed, by_state, by_rest = inline(local, [*rest, now], builder)
            moved = matmul(by_state, changes) + by_rest
            return [concatenate(speed, reshape(moved, shape=(n * width,)), axis=0)]

        made = body.cache[key] = closed([*kinds, aval((n + n * width,), _FLOAT)], beside)
        return made


def _stacked(rows: Sequence[Any]) -> Any:
    found = [reshape(row, shape=(1, row.size)) for row in rows]
    return concatenate(*found, axis=0) if len(found) > 1 else found[0]


_MOST = 64
"""Of so many components the rows of ∂f/∂y are written out."""


class Adjoint(Compound):
    """The transpose of a trajectory's derivative: λ′ = −(∂f/∂y)ᵀ λ, backwards; cotangents are added at their times.

    Operands: those of the trajectory and its cotangent. ``back`` gives (∂f/∂y)ᵀ λ and (∂f/∂c)ᵀ λ in a line, of
    (captured values, t, y, λ). The solution is interpolated as it was found forwards: to integrate it backwards as well
    would not be stable. Source: Cao, Li, Petzold and Serban, Adjoint sensitivity analysis for differential-algebraic
    equations, 2003.
    """

    takes = frozenset({"body", "back", "method", "given"})

    def results(self, *avals: Aval, **params: Any) -> Sequence[Aval]:
        back: Graph = params["back"]
        return (back.builder.avals[back.outputs[0]],)

    def shown(self, params: Params) -> int:
        return 1

    def reach(self, params: Params, active: Sequence[bool]) -> Sequence[bool]:
        return [any(active)]

    def bind(self, params: Params, wanted: Sequence[int]) -> Callable[..., Sequence[Any]]:
        given = dict(params)

        def run(*args: Any) -> Sequence[Any]:
            return (_pulled_back(given["body"], given["back"], given["method"], dict(given["given"]), *args),)

        return run

    def pull_all(self, *args: Any, **keywords: Any) -> Any:
        raise NotDifferentiableError(
            f"a second derivative of an initial value problem of more than {_MOST} components in reverse mode: use"
            " forward mode for one of both (hessian of fewer components, jvp of jvp)"
        )

    push_all = pull_all


ADJOINT = Adjoint(
    "adjoint",
    Function("adjoint", r"\operatorname{adjoint}", "differential equation"),
    "Linear in the cotangent; its derivatives are not known here.",
)


def _right_side(body: Graph, consts: Sequence[Any]) -> Callable[[float, Any], Any]:
    step = _stepper(body, len(consts), [0]).start(consts, quiet=False)
    return lambda t, y: step([np.float64(t), y])[0]


def _solved(body: Graph, method: str, options: dict[str, Any], *args: Any) -> Any:
    *consts, y, times = args
    f = _right_side(body, consts)
    asked = np.asarray(times[1:-1], float)
    y = np.asarray(y, float)
    if not asked.size:
        return np.zeros((y.size, 0))
    if not y.size:
        return np.zeros((0, asked.size))
    if method == "odeint":
        found = _scipy("odeint")(f, y, np.asarray(times[:-1], float), tfirst=True, **options)
        return np.ascontiguousarray(found[1:].T)
    tolerance = options.get("atol")
    if isinstance(tolerance, tuple):
        # Of derivatives beside the solution none is known: they get the mildest.
        options["atol"] = np.concatenate([tolerance, np.full(y.size - len(tolerance), max(tolerance))])
    first, last = float(times[0]), float(times[-1])
    found = _scipy("solve_ivp")(f, (first, last), y, method, asked, **options)
    if found.status < 0 or found.y.shape[1:] != asked.shape:
        raise LoopError(f"scipy.integrate.solve_ivp: {found.message}")
    return np.ascontiguousarray(found.y)


def _pulled_back(body: Graph, back: Graph, method: str, options: dict[str, Any], *args: Any) -> Any:
    *consts, y, times, ct = args
    n = y.size
    total = np.zeros(back.builder.avals[back.outputs[0]].size)
    if not ct.shape[1]:
        return total
    if method == "odeint":
        method = "LSODA"
        options = {"rtol": options.get("rtol", 1.49e-8), "atol": options.get("atol", 1.49e-8)}
    tolerance = options.get("atol")
    first, last = float(times[0]), float(times[-2])
    f = _right_side(body, consts)
    if last == first:
        total[:n] = ct.sum(1)
        return total
    solve = _scipy("solve_ivp")
    ahead = solve(f, (first, last), np.asarray(y, float), method, dense_output=True, **options)
    if ahead.status < 0:
        raise LoopError(f"scipy.integrate.solve_ivp: {ahead.message}")
    step = _stepper(back, len(consts), [0]).start(consts, quiet=False)

    def change(t: float, state: Any) -> Any:
        return -step([np.float64(t), ahead.sol(t), state[:n]])[0]

    if isinstance(tolerance, tuple):
        options["atol"] = np.concatenate([tolerance, np.full(total.size - n, max(tolerance))])
    options.pop("first_step", None)
    end = last
    for k in range(ct.shape[1] - 1, -1, -1):
        place = float(times[k + 1])
        if place != end:
            total = _solved_back(solve, change, end, place, total, method, options)
            end = place
        total = total + np.concatenate([ct[:, k], np.zeros(total.size - n)])
    return total if end == first else _solved_back(solve, change, end, first, total, method, options)


def _solved_back(
    solve: Any, change: Any, start: float, end: float, state: Any, method: str, options: dict[str, Any]
) -> Any:
    found = solve(change, (start, end), state, method, **options)
    if found.status < 0:
        raise LoopError(f"scipy.integrate.solve_ivp, backwards: {found.message}")
    return found.y[:, -1]


TRAJECTORY = Trajectory(
    "trajectory",
    Function("solve", r"\operatorname{solve}", "differential equation"),
    "The derivatives of the solution solve a differential equation of their own, the variational one, which is linear;"
    " it is solved beside the own one, with the same tolerances. By a time, the derivative is the right-hand side.",
)


def steps_of(body: Graph, method: str, options: dict[str, Any], *args: Any) -> Any:
    """The times of all steps that ``scipy.integrate.solve_ivp`` makes."""
    *consts, y, times = args
    f = _right_side(body, consts)
    found = _scipy("solve_ivp")(f, (float(times[0]), float(times[-1])), np.asarray(y, float), method, **options)
    if found.status < 0:
        raise LoopError(f"scipy.integrate.solve_ivp: {found.message}")
    return found.t


def _step_count(*args: Any, body: Graph, method: str, given: Any) -> Any:
    return np.int64(len(steps_of(body, method, dict(given), *args)))


def _step_times(*args: Any, body: Graph, method: str, given: Any, count: int) -> Any:
    found = steps_of(body, method, dict(given), *args)
    return found if len(found) == count else np.full(count, np.nan)  # a guard tells that it is another number


class Steps(Compound):
    """The times of the solver's steps: numbers that depend on all operands, but which the solution does not follow.

    ``count``: how many there are; before that is known, -1 asks for it.
    """

    takes = frozenset({"body", "method", "given", "count"})

    def results(self, *avals: Aval, **params: Any) -> Sequence[Aval]:
        return (aval((), np.int64) if params["count"] < 0 else aval((params["count"],), _FLOAT),)

    def shown(self, params: Params) -> int:
        return 1

    def bind(self, params: Params, wanted: Sequence[int]) -> Callable[..., Sequence[Any]]:
        given = dict(params)
        rest = {k: v for k, v in given.items() if k != "count"}
        if given["count"] < 0:
            return lambda *args: (_step_count(*args, **rest),)
        return lambda *args: (_step_times(*args, **given),)

    def reach(self, params: Params, active: Sequence[bool]) -> Sequence[bool]:
        return [False]

    def pull_all(self, *args: Any, **keywords: Any) -> Any:
        raise GraphError("the times of steps have no derivative")

    push_all = pull_all


STEPS = Steps(
    "steps",
    Function("steps", r"\operatorname{steps}"),
    "The solver chooses them; the solution at a given time does not depend on them but for its error.",
    traits=frozenset({"flat"}),
)
