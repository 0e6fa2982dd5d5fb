"""The graph: equal subexpressions once, the checker, the order, the view, and where values come from."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import hopgrad as hg
import hopgrad.hops  # fills the catalogue
from hopgrad.aval import aval
from hopgrad.differentiate import pull
from hopgrad.errors import DtypeError, GraphError, ShapeError, TraceError
from hopgrad.evaluate import evaluate
from hopgrad.graph.builder import Builder, catalogue, ones
from hopgrad.graph.graph import Graph, reachable

SCALAR = aval((), np.float64)


@pytest.fixture
def builder() -> Builder:
    return Builder()


def hops(graph: Graph) -> list[str]:
    return [graph.node(n).hop.name for n in graph.hops]


# -- interning ---------------------------------------------------------------------------------------------------------


def test_equal_subexpressions_exist_once(builder: Builder) -> None:
    x, y = builder.input(SCALAR, "x"), builder.input(SCALAR, "y")
    assert (x + y).id == (x + y).id
    assert (x * y).id != (y * x).id  # no algebra: what the user wrote is what is shown
    assert (x**2).id != (x**3).id
    assert catalogue["where"](x > y, x, y).id == catalogue["where"](x > y, x, y).id
    size = len(builder)
    catalogue["sin"](x + y * y)
    assert len(builder) == size + 3
    catalogue["sin"](x + y * y)
    assert len(builder) == size + 3


def test_inputs_are_never_the_same(builder: Builder) -> None:
    first, second = builder.input(SCALAR, "x"), builder.input(SCALAR, "x")
    assert first.id != second.id
    assert (first + 1).id != (second + 1).id


def test_constants_are_interned_by_their_bits(builder: Builder) -> None:
    assert builder.constant(1.0).id == builder.constant(1.0).id
    assert builder.constant(0.0).id != builder.constant(-0.0).id
    assert builder.constant(np.nan).id == builder.constant(np.nan).id
    assert builder.constant(1.0).id != builder.constant(1).id
    assert builder.constant(1.0).id != builder.constant(np.float32(1)).id
    assert builder.constant([1.0]).id != builder.constant(1.0).id
    assert builder.constant(np.zeros(100)).id == builder.constant(np.zeros(100)).id
    assert builder.constant(np.zeros(100)).id != builder.constant(np.zeros((10, 10))).id


def test_a_constant_is_a_copy_that_nobody_can_write_to(builder: Builder) -> None:
    source = np.array([1.0, 2.0])
    held = builder.constant(source)
    source[0] = 100
    assert held.constant is not None
    assert held.constant[0] == 1
    assert not held.constant.flags.writeable
    assert builder.constant(source).id != held.id


def test_traced_functions_share_subexpressions() -> None:
    graph = hg.graph_of(lambda x: np.sin(x + 1) * np.sin(x + 1))(0.5)
    assert hops(graph) == ["add", "sin", "multiply"]


def test_shapes_and_dtypes_must_fit(builder: Builder) -> None:
    x, y = builder.input(aval((2,), float), "x"), builder.input(aval((3,), float), "y")
    with pytest.raises(ShapeError, match=r"\(2,\) and \(3,\)"):
        x + y
    with pytest.raises(DtypeError, match="float64 and float32"):
        x + builder.input(aval((2,), "float32"), "z")
    with pytest.raises(ShapeError, match=r"cannot reshape \(2,\) into \(3,\)"):
        catalogue["reshape"](x, shape=(3,))
    with pytest.raises(ShapeError, match="inner lengths 2 and 3"):
        catalogue["matmul"](x, y)


def test_formulas_compute_on_arrays_too() -> None:
    assert catalogue["add"](np.ones(2), 1.0).tolist() == [2, 2]


# -- the view ----------------------------------------------------------------------------------------------------------


def test_order_is_topological_and_holds_what_is_needed(builder: Builder) -> None:
    x = builder.input(SCALAR, "x")
    unused = x * 5
    a = x + 1
    b = a * a
    graph = Graph(builder, [x.id], [b.id])
    assert unused.id not in graph.order
    assert graph.order[0] == x.id
    seen: set[int] = set()
    for node in graph:
        assert seen.issuperset(node.args)
        seen.add(node.id)
    assert reachable(builder, []) == []
    assert reachable(builder, [b.id], stop=a.id) == [a.id, b.id]
    assert x.id not in reachable(builder, [b.id], known={a.id})
    assert graph.uses[a.id] == [(b.id, 0), (b.id, 1)]
    assert graph.uses[b.id] == []


def test_appending_does_not_change_a_graph(builder: Builder) -> None:
    x = builder.input(SCALAR, "x")
    y = catalogue["sin"](x) * 2
    graph = Graph(builder, [x.id], [y.id])
    before = (graph.order, graph.hops, str(graph), repr(graph))
    pull(builder, {y.id: ones(builder, y.aval)}, [x.id])
    y + 1
    again = Graph(builder, [x.id], [y.id])
    assert (again.order, again.hops, str(again), repr(again)) == before
    assert evaluate(builder, graph.outputs, {x.id: 0.5}) == [np.sin(0.5) * 2]


def test_hops_and_avals_survive_pickling() -> None:
    assert pickle.loads(pickle.dumps(catalogue["sin"])) is catalogue["sin"]
    assert pickle.loads(pickle.dumps(aval((2,), "float32"))) is aval((2,), "float32")


def test_reprs_name_what_they_show(builder: Builder) -> None:
    x = builder.input(aval((2,), "float32"), "x")
    y = catalogue["sin"](x)
    assert repr(y) == "Expr(sin %1: float32[2])"
    graph = Graph(builder, [x.id], [y.id])
    assert repr(graph.node(y.id)) == "Node(%1: float32[2] = sin(%0))"
    assert repr(graph) == "<Graph: 1 inputs, 1 hops, 1 outputs>"


# -- the checker -------------------------------------------------------------------------------------------------------


def small(builder: Builder) -> tuple[Graph, int]:
    x = builder.input(aval((2, 3), float), "x")
    y = catalogue["transpose"](x * 2, axes=(1, 0))
    return Graph(builder, [x.id], [y.id]), y.id


def test_the_checker_accepts_what_was_built(builder: Builder) -> None:
    small(builder)[0].check()
    hg.graph_of(lambda x: hg.grad(lambda y: np.sum(np.sin(y) ** 2))(x))(np.ones(3)).check()


def test_the_checker_finds_a_wrong_shape(builder: Builder) -> None:
    graph, y = small(builder)
    builder.avals[y] = aval((2, 3), float)
    with pytest.raises(GraphError, match=r"transpose has float64\[2, 3\], but its rule gives float64\[3, 2\]"):
        graph.check()


def test_the_checker_finds_operands_that_come_later(builder: Builder) -> None:
    graph, y = small(builder)
    builder.args_flat[builder.start[y]] = y
    with pytest.raises(GraphError, match="do not all come before"):
        graph.check()


def test_the_checker_finds_inputs_and_outputs_that_do_not_fit(builder: Builder) -> None:
    graph, y = small(builder)
    with pytest.raises(GraphError, match="an input that the graph does not list"):
        Graph(builder, [], [y]).check()
    with pytest.raises(GraphError, match="occurs twice"):
        Graph(builder, graph.inputs * 2, [y]).check()
    with pytest.raises(GraphError, match="%99 is not a value"):
        Graph(builder, graph.inputs, [99]).check()


def test_the_checker_finds_a_lost_constant(builder: Builder) -> None:
    graph, _ = small(builder)
    builder.constants.clear()
    with pytest.raises(GraphError, match="a constant without a value"):
        graph.check()


def test_an_input_without_a_value_is_named(builder: Builder) -> None:
    x = builder.input(SCALAR, "x")
    with pytest.raises(TraceError, match="an input has no value here: x"):
        evaluate(builder, [(x + 1).id], {})


# -- sites -------------------------------------------------------------------------------------------------------------


def two_layers(x: Any) -> Any:
    z = x + 1
    h, width = z**2, 3.0

    def layer(t: Any) -> Any:
        return np.sin(t) * width

    y = layer(h)
    return y + layer(h)


def node_of(graph: Graph, name: str) -> Any:
    return next(node for node in graph if node.hop.name == name)


def test_variables_and_scopes() -> None:
    graph = hg.graph_of(two_layers)(0.5)
    assert hops(graph) == ["add", "constant_power", "sin", "multiply", "add"]
    assert node_of(graph, "add").variable == "z"
    assert node_of(graph, "sin").variable is None
    assert node_of(graph, "multiply").variable == "y"  # what the function returned is the caller's y
    assert node_of(graph, "add").scope == ("two_layers",)
    assert [place.rpartition(".")[2] for place in node_of(graph, "sin").scope] == ["two_layers", "layer"]
    assert node_of(graph, "input").variable is None
    assert node_of(graph, "input").location is None


def test_locations_have_lines_and_columns() -> None:
    first = two_layers.__code__.co_firstlineno
    graph = hg.graph_of(two_layers)(0.5)
    place = node_of(graph, "sin").location
    assert (place.line, place.line_end) == (first + 5, first + 5)
    assert place.span == "np.sin(t)"
    assert place.source == "return np.sin(t) * width"
    assert place.file == __file__
    assert str(place) == f"test_graph.py:{first + 5} in layer"
    assert node_of(graph, "constant_power").location.span == "z**2"


def test_an_expression_over_several_lines() -> None:
    def f(x: Any) -> Any:
        y = np.exp(
            x * 2  # the inner hop
        )
        return y

    graph = hg.graph_of(f)(0.5)
    outer, inner = node_of(graph, "exp").location, node_of(graph, "multiply").location
    assert outer.line_end == outer.line + 2
    assert outer.span == "y = np.exp("
    assert inner.span == "x * 2"
    assert node_of(graph, "exp").variable == "y"


def test_a_value_computed_twice_has_two_places() -> None:
    def f(x: Any) -> Any:
        a = np.sin(x)
        b = np.cos(x)
        c = np.sin(x)
        return a * b * c

    graph = hg.graph_of(f)(0.5)
    first = f.__code__.co_firstlineno
    sine = node_of(graph, "sin")
    assert [place.line for place in sine.locations] == [first + 1, first + 3]
    assert sine.variable == "a"
    assert len(node_of(graph, "cos").locations) == 1


def test_loops_are_one_place_with_many_values() -> None:
    def f(x: Any) -> Any:
        for _ in range(3):
            x = np.sin(x)
        return x

    graph = hg.graph_of(f)(0.5)
    assert len({node.location for node in graph if node.hop.name == "sin"}) == 1
    assert hops(graph) == ["sin"] * 3


def test_parts_of_a_call_belong_to_its_place() -> None:
    """np.average is made of several hops; all of them stand at the user's call."""

    def f(x: Any) -> Any:
        center = np.average(x, weights=np.arange(3.0) * x)
        return center

    graph = hg.graph_of(f)(np.ones(3))
    line = f.__code__.co_firstlineno + 1
    assert len(graph.hops) > 3
    assert {graph.node(n).location.line for n in graph.hops} == {line}
    assert [graph.node(n).variable for n in graph.hops].count("center") == 1


def test_gradient_values_know_what_they_were_made_for() -> None:
    def f(x: Any) -> Any:
        y = np.sin(x)
        return y * x

    graph = hg.graph_of(hg.grad(f))(0.5)
    names = {node.hop.name: node for node in graph}
    pass_name, value = names["cos"].made_for
    assert pass_name == "gradient"
    assert graph.node(value).hop.name == "sin"
    assert names["cos"].location.span == "np.sin(x)"
    assert names["sin"].made_for is None
    tangents = hg.graph_of(lambda x: hg.jvp(f, (x,), (1.0,))[1])(0.5)
    assert {node.made_for[0] for node in tangents if node.made_for} == {"tangent"}


# -- evaluation --------------------------------------------------------------------------------------------------------


def test_warnings_come_from_the_users_hops_only() -> None:
    with pytest.warns(RuntimeWarning, match="divide by zero encountered in log"):
        hg.grad(np.log)(0.0)
    assert hg.grad(np.sqrt)(0.0) == np.inf  # 1/√0 is not the user's division
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        hg.grad(np.log)(0.0)
    assert np.geterr()["divide"] == "warn"


def test_values_are_freed_on_the_way() -> None:
    """A chain of n values of a megabyte each needs the memory of a few."""
    import tracemalloc

    builder = Builder()
    x = builder.input(aval((131072,), float), "x")
    y = x
    for _ in range(50):
        y = catalogue["sin"](y)
    data = np.ones(131072)
    tracemalloc.start()
    try:
        evaluate(builder, [y.id], {x.id: data})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5 * data.nbytes
