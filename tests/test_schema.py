"""Explanations written as JSON and read again: nothing is lost, and no file can do harm."""

import copy
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sampling import USES, Use

import hopgrad as hg
from hopgrad.aval import aval, aval_of
from hopgrad.evaluate import evaluate
from hopgrad.graph.builder import Builder, catalogue
from hopgrad.graph.graph import Graph
from hopgrad.graph.schema import (
    Summary,
    array_from_data,
    array_to_data,
    graph_from_data,
    graph_to_data,
    operand_counts,
    parameter_names,
)
from hopgrad.graph.sites import Location
from hopgrad.show.schema import PARAM_TYPES, SCHEMA, VERSION, Document, from_json
from hopgrad.show.story import Line

DOCUMENTATION = Path(__file__).parents[1] / "docs" / "schema.md"
RANDOM = np.random.default_rng(0)

# -- what is explained -----------------------------------------------------------------------------------------------


def net(W1: Any, b1: Any, W2: Any, x: Any, t: Any) -> Any:
    hidden = np.tanh(x @ W1 + b1)
    error = hidden @ W2 - t
    return np.mean(error**2)


def doubled(x: Any, times: int = 50) -> Any:
    for _ in range(times):
        x = x + x
    return x


def indexed(x: Any) -> Any:
    return x[0, -1] * np.sum(x[1:, ::-1] ** 2) + x[:, None, 1][0, 0] + np.sum(x[np.array([0, 1, 1])])


def chosen(x: Any, y: Any) -> Any:
    inner = np.where(x < 1, np.sin(x), np.where(y > 0, x * y, -x))
    return np.where(x > 0, inner, y)


def contracted(A: Any, B: Any) -> Any:
    return np.sum(np.einsum("ij,jk->ik", A, B)) + np.linalg.norm(A) - np.max(B, axis=0).sum()


def with_constants(x: Any) -> Any:
    return np.sum(x * np.arange(5.0)) + np.sum(np.linspace(0, 1, 2000) * x[0])


def cut(x: Any, y: Any) -> Any:
    return np.floor(x) * y


def in_float32(x: Any) -> Any:
    return np.sum(np.sqrt(x)) * np.float32(0.1)


def branches(x: Any, k: Any) -> Any:
    z = x * 2.0
    while np.sum(z) < 10:
        z = z + k
    return np.sum(z[: int(k)]) if k > 0 else k


def explained(f: Callable[..., Any], *args: Any, **options: Any) -> Callable[[], Any]:
    return lambda: hg.explain(f, **options)(*args)


def formula(words: str, order: int = 1, **values: float) -> Callable[[], Any]:
    return lambda: hg.explain(words, order=order, **values)


EXPLANATIONS = {
    "chain": formula("sin((x+1)^2)", x=0.5),
    "two": formula("x^2*y + sin(x*y)", x=1.5, y=-0.7),
    "names": formula("z = beta_1*x; exp(z)", x=0.3, beta_1=2.0),
    "infinite": formula("sqrt(x)^2 + log(x)", x=0.0),
    "second": formula("x^3*sin(x)", order=2, x=0.7),
    "doubled": explained(doubled, 0.3),
    "net": explained(net, *(RANDOM.standard_normal(s) for s in [(3, 4), (4,), (4, 2), (5, 3), (5, 2)])),
    "given": explained(net, *(RANDOM.standard_normal(s) for s in [(3, 4), (4,), (4, 2), (5, 3), (5, 2)]), wrt="W1"),
    "indexed": explained(indexed, RANDOM.standard_normal((2, 3))),
    "chosen": explained(chosen, 1.5, 0.5),
    "contracted": explained(contracted, RANDOM.standard_normal((2, 3)), RANDOM.standard_normal((3, 2))),
    "constants": explained(with_constants, np.arange(5.0)),
    "cut": explained(cut, 1.5, 2.0),
    "float32": explained(in_float32, np.array([1, 2, 3], np.float32)),
    "branches": explained(branches, np.array([1.0, -2.0, 3.0]), 2.5),
    "empty": explained(lambda x: np.sum(x), np.zeros((0, 3))),
    "itself": explained(lambda x: x, 2.0),
    "dict": explained(lambda p: p["a"] * np.sum(p["b c"]), {"a": 2.0, "b c": np.ones(2), "unused": 1.0}),
}  # fmt: skip


@pytest.fixture(params=EXPLANATIONS)
def explanation(request: pytest.FixtureRequest) -> Any:
    return EXPLANATIONS[request.param]()


def strict(words: str) -> Any:
    """JSON as the standard has it: no NaN, no Infinity, no entry twice."""

    def refused(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    return json.loads(words, parse_constant=refused)


# -- nothing is lost -------------------------------------------------------------------------------------------------


def test_the_graph_is_rebuilt(explanation: Any) -> None:
    document = from_json(explanation.json())
    graph, wanted = document.graph, explanation.graph
    graph.check()
    assert [node.hop for node in graph] == [node.hop for node in wanted]
    assert [node.params for node in graph if node.args] == [node.params for node in wanted if node.args]
    assert [node.aval for node in graph] == [node.aval for node in wanted]
    with np.errstate(all="ignore"):
        (found,) = evaluate(graph.builder, [document.output], document.inputs)
    np.testing.assert_array_equal(found, explanation.value)
    assert np.asarray(found).dtype == np.asarray(explanation.value).dtype


def test_names_sources_and_origins_are_kept(explanation: Any) -> None:
    document = from_json(explanation.json())
    old, new = list(explanation.graph), list(document.graph)
    assert [node.locations for node in new] == [node.locations for node in old]
    assert [node.scope for node in new] == [node.scope for node in old]
    assert [node.variable for node in new] == [node.variable for node in old]
    origins = [[node.made_for and node.made_for[0] for node in nodes] for nodes in (old, new)]
    assert origins[0] == origins[1]
    names = explanation._analysis.names
    assert [document.graph.names.get(n.id) for n in new] == [names.get(n.id) for n in old]


def test_values_and_adjoints_are_kept(explanation: Any) -> None:
    analysis, document = explanation._analysis, from_json(explanation.json())
    for old, new in zip(explanation.graph.order, document.graph.order, strict=True):
        assert same(analysis.value(old), document.values[new])
        assert (analysis.back.adjoints.get(old) is not None) == (new in document.adjoints)
        if new in document.adjoints:
            assert same(analysis.adjoint(old), document.adjoints[new])
    assert sorted(document.graph.names[n] for n in document.zeros) == sorted(explanation.zeros)
    assert (document.paths, document.naive_cost, document.cost) == (
        analysis.path_count, analysis.naive_cost, analysis.cost,
    )  # fmt: skip


def same(wanted: Any, found: Any) -> bool:
    wanted = np.asarray(wanted)
    if isinstance(found, Summary):
        return found.shape == wanted.shape and same(wanted.flat[:8], found.first)
    found = np.asarray(found)
    if found.dtype != wanted.dtype or found.shape != wanted.shape:
        return False
    # NaN has many bit patterns, of which one is as good as another; zeros keep their sign.
    return np.array_equal(found, wanted, equal_nan=True) and (
        wanted.dtype.kind != "f" or bool(np.all((np.signbit(found) == np.signbit(wanted)) | np.isnan(wanted)))
    )


def test_guards_are_kept(explanation: Any) -> None:
    document = from_json(explanation.json())
    old, new = explanation.graph.guards, document.graph.guards
    assert len(new) == len(old)
    assert [g.value for g in new] == [g.value for g in old]
    sites = [explanation.graph.builder.sites, document.graph.builder.sites]
    assert [sites[1].location(g.site) for g in new] == [sites[0].location(g.site) for g in old]
    assert [(g.node, g.value) for g in document.guards] == [(g.node, g.value) for g in new]
    assert [g.location for g in document.guards] == [sites[0].location(g.site) for g in old]
    with np.errstate(all="ignore"):
        asked = evaluate(document.graph.builder, [g.node for g in new], document.inputs)
    assert asked == [g.value for g in new]
    assert document.graph.text().count("guard:") == len(new)


def test_guards_say_what_they_mean() -> None:
    document = from_json(EXPLANATIONS["branches"]().json())
    assert [g.text for g in document.guards] == ["Σ(z) < 10", "Σ(z₁) ≥ 10", "k > 0", "int(k) = 2"]
    assert document.guards[0].latex == r"\sum(z) < 10"
    assert document.guards[0].location is not None
    assert document.guards[0].location.span == "np.sum(z) < 10"
    assert not document.guards[0].boundary
    assert from_json(hg.explain(lambda x: x if x > 0 else -x)(0.0).json()).guards[0].boundary
    (section,) = [s for s in document.sections if s.key == "guards"]
    assert section.lines[0].text == "Σ(z) < 10"


def test_uses_and_the_story_are_kept(explanation: Any) -> None:
    analysis, document = explanation._analysis, from_json(explanation.json())
    assert len(document.uses) == len(analysis.edges)
    assert sum(use.active for use in document.uses) == len(analysis.active_edges)
    for use, edge in zip(document.uses, analysis.edges, strict=True):
        assert document.graph.names[use.target] == analysis.names[edge.target]
        assert use.operand == edge.number
        assert bool(use.text) == bool(use.latex) == use.active
    assert [section.title for section in document.sections] == [s.title for s in explanation.sections]
    for section, old in zip(document.sections, explanation.sections, strict=True):
        assert [(line.prose, line.value, line.note) for line in section.lines] == [
            (line.prose, line.value, line.note) for line in old.lines
        ]
        assert [bool(line.text) for line in section.lines] == [line.formula is not None for line in old.lines]


def test_it_is_strict_json_of_this_version(explanation: Any) -> None:
    data = strict(explanation.json())
    assert (data["schema"], data["version"]) == (SCHEMA, VERSION)
    assert data["title"] == explanation.title


def test_everything_in_it_is_documented(explanation: Any) -> None:
    documented = set(re.findall(r"`([a-z_0-9]+)`", DOCUMENTATION.read_text(encoding="utf-8")))
    found = set(keys(strict(explanation.json())))
    assert found <= documented, found - documented


def keys(data: Any, above: str = "") -> Iterator[str]:
    if isinstance(data, dict):
        for key, value in data.items():
            if above not in ("params", "lowerings"):  # there they are the hop's own, and names of hops
                yield key
            yield from keys(value, key)
    elif isinstance(data, list):
        for item in data:
            yield from keys(item, above)


def test_a_document_is_read_only() -> None:
    document = from_json(EXPLANATIONS["net"]().json())
    assert isinstance(document.values, MappingProxyType)
    with pytest.raises(AttributeError):
        document.title = "another"  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        document.values[document.graph.inputs[0]][0] = 0


def test_there_may_be_more_paths_than_floats_count() -> None:
    words = EXPLANATIONS["doubled"]().json()
    assert strict(words)["cost"]["paths"] == "1125899906842624"
    assert from_json(words).paths == 2**50


def test_equal_computations_give_equal_data_without_sources() -> None:
    first = hg.graph_of(lambda x: np.sin(x) * x)(1.0)
    second = hg.graph_of(lambda x: np.sin(x) * x)(2.0)
    assert graph_to_data(first, sites=False) == graph_to_data(second, sites=False)
    assert graph_to_data(first) != graph_to_data(second)


def test_a_value_computed_in_several_places_has_them_all() -> None:
    def f(x: Any) -> Any:
        a = np.sin(x)
        b = np.sin(x)
        return a * b

    document = from_json(hg.explain(f)(1.0).json())
    sine = next(node for node in document.graph if node.hop.name == "sin")
    assert len({place.line for place in sine.locations}) == 2


def test_the_source_of_what_a_pass_made_for_a_value_outside_the_graph() -> None:
    builder = Builder()
    x = builder.input(aval((), float), "x")
    other = catalogue["sin"](x)
    builder.site[other.id] = builder.sites.explicit(Location("f.py", 7, 7, 4, 9, "f"), "a")
    with builder.passing("gradient"):
        builder.made_for(other.id)
        made = catalogue["cos"](x)
    data = graph_to_data(Graph(builder, [x.id], [made.id]))
    graph, ids = graph_from_data(data, PARAM_TYPES)
    assert str(graph.node(ids[-1]).location) == "f.py:7 in f"
    assert graph.node(ids[-1]).made_for == ("gradient", -1)


# -- every hop, every parameter --------------------------------------------------------------------------------------


@pytest.mark.parametrize("use", USES, ids=str)
def test_every_hop_can_be_written_and_read(use: Use) -> None:
    builder, operands = Builder(), use.draw()
    inputs = [builder.input(aval_of(value), f"x{k}").id for k, value in enumerate(operands)]
    made = builder.emit(use.hop, inputs, tuple(sorted(use.params.items())))
    data = strict(json.dumps(graph_to_data(Graph(builder, inputs, [made])), allow_nan=False))
    graph, _ = graph_from_data(data, PARAM_TYPES)
    assert graph.node(graph.outputs[0]).params == use.params
    with np.errstate(all="ignore"):
        (wanted,) = evaluate(builder, [made], dict(zip(inputs, operands, strict=True)))
        (found,) = evaluate(graph.builder, graph.outputs, dict(zip(graph.inputs, operands, strict=True)))
    assert same(wanted, found)


@pytest.mark.parametrize("use", USES, ids=str)
def test_operands_and_parameters_are_known_for_every_hop(use: Use) -> None:
    least, most = operand_counts(use.hop)
    assert least <= len(use.operands) <= most
    assert parameter_names(use.hop) == use.params.keys()


def test_a_graph_inside_of_a_graph() -> None:
    inner = hg.graph_of(lambda x: x * 2.0)(1.0)
    builder = Builder()
    x = builder.input(aval((), float), "x")
    made = builder.emit(catalogue["sin"], [x.id], (("body", inner),))
    data = graph_to_data(Graph(builder, [x.id], [made]))
    assert data["nodes"][1]["params"]["body"]["graph"]["outputs"] == [2]
    with pytest.raises(ValueError, match=r"^graph.nodes\[1\].params: sin takes no parameters, not body"):
        graph_from_data(data, PARAM_TYPES)  # no hop of the catalogue has a graph yet


# -- numbers ---------------------------------------------------------------------------------------------------------

VALUES = [
    0.1, -0.0, 5e-324, np.nan, np.inf, -np.inf, 1e308, 3, np.float32(0.1), np.float16(0.1), np.int64(2**62),
    np.uint64(2**64 - 1), np.bool_(True), np.complex128(complex(0.1, np.nan)), np.longdouble(1) / 3,
    np.array([1.5, np.nan, -np.inf]), np.array([[1, 2], [3, 4]], np.int32), np.zeros((0, 3)), np.array([True, False]),
    np.array([0.1, 0.2], np.float32), np.array([1.0, 2.0], ">f8"),
    np.array([np.longdouble("0.1"), np.longdouble("inf")]), np.array([1j, 2.5], np.complex64),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=repr)
@pytest.mark.parametrize("limit", [0, 1000])
def test_numbers_and_arrays_come_back_exactly(value: Any, limit: int) -> None:
    data = strict(json.dumps(array_to_data(value, full=True, limit=limit), allow_nan=False))
    assert same(value, array_from_data(data, "value"))


@given(st.floats(width=64) | st.floats(width=32).map(np.float32))
def test_all_floats_come_back_exactly(value: Any) -> None:
    found = array_from_data(strict(json.dumps(array_to_data(value), allow_nan=False)), "value")
    assert np.isnan(found) if np.isnan(value) else same(value, found)


def test_large_arrays_are_summed_up() -> None:
    large = np.arange(3000.0).reshape(3, 1000)
    large[1, 5:8] = np.nan, np.inf, -np.inf
    summary = array_from_data(strict(json.dumps(array_to_data(large), allow_nan=False)), "value")
    assert isinstance(summary, Summary)
    assert (summary.shape, summary.dtype) == ((3, 1000), np.float64)
    assert (summary.min, summary.max, summary.nan, summary.infinite) == (0.0, 2999.0, 1, 2)
    assert summary.mean == pytest.approx(np.mean(large[np.isfinite(large)]))
    np.testing.assert_array_equal(summary.first, np.arange(8.0))
    nothing = array_from_data(array_to_data(np.full(2000, np.nan)), "value")
    assert np.isnan(nothing.min)
    assert nothing.nan == 2000


def test_inputs_that_are_summed_up_cannot_be_had() -> None:
    document = from_json(hg.explain(lambda x: np.sum(x * x))(np.ones(2000)).json())
    assert isinstance(document.values[document.graph.inputs[0]], Summary)
    with pytest.raises(ValueError, match="x is a large array, of which the file keeps a summary only"):
        document.inputs


def test_large_constants_are_kept_in_full() -> None:
    document = from_json(EXPLANATIONS["constants"]().json())
    assert any(np.size(c) == 2000 for c in document.graph.builder.constants.values())


def test_many_arrays_do_not_make_a_huge_file() -> None:
    def f(x: Any) -> Any:
        for _ in range(600):
            x = np.sin(x)
        return np.sum(x)

    assert len(hg.explain(f)(np.ones(1000)).json()) < 8_000_000


# -- files that are not as they must be ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def good() -> Any:
    """nodes: 0 x, 1 y, 2 constant, 3 index, 4 multiply, 5 sum, 6 add, …"""

    def f(x: Any, y: Any) -> Any:
        return np.sum(x[1:] * 3.5) + y * y

    return strict(hg.explain(f)(np.arange(3.0), 2.0).json())


def node_of(data: Any, hop: str) -> Any:
    return next(node for node in data["graph"]["nodes"] if node["hop"] == hop)


def change(path: str, value: Any) -> Callable[[Any], None]:
    """Sets an entry: ``graph.nodes[3].args``; the name of a hop may stand in place of a number."""

    def apply(data: Any) -> None:
        *parts, last = re.findall(r"[\w]+", path)
        for part in parts:
            if isinstance(data, list) and not part.isdigit():
                data = next(node for node in data if node["hop"] == part)
            else:
                data = data[int(part) if isinstance(data, list) else part]
        if value is KeyError:
            del data[last]
        else:
            data[int(last) if isinstance(data, list) else last] = value

    return apply


HUGE = 10**30

FAULTS: list[tuple[str, Any, str]] = [
    ("schema", "another", "schema: must be 'hopgrad.explanation', not 'another'"),
    ("schema", KeyError, "schema: must be 'hopgrad.explanation', not 'None'"),
    ("version", 2, "version: 2 cannot be read, only 1: it was written by a newer hopgrad"),
    ("version", 0, "version: 0 cannot be read"),
    ("version", "1", "version: must be an integer, not a string"),
    ("version", True, "version: must be an integer, not a boolean"),
    ("title", 3, "title: must be a string, not an integer"),
    ("graph", KeyError, "graph: must be an object, not null"),
    ("graph", [], "graph: must be an object, not a list"),
    ("graph.nodes", KeyError, "graph: has no entry 'nodes'"),
    ("graph.nodes", {}, "graph.nodes: must be a list, not an object"),
    ("graph.nodes[0]", 5, "graph.nodes[0]: must be an object, not an integer"),
    ("graph.nodes[0].id", 1, "graph.nodes[0].id: must be 0"),
    ("graph.nodes[0].input", "", "graph.nodes[0].input: a name has at least one letter"),
    ("graph.nodes[0].input", "x" * 20_000, "graph.nodes[0].input: this name is too long"),
    ("graph.nodes[0].shape", [-1], "graph.nodes[0].shape: no array has the shape [-1]"),
    ("graph.nodes[0].shape", [HUGE], "graph.nodes[0].shape: no array has the shape"),
    ("graph.nodes[0].shape", [2**20] * 4, "graph.nodes[0].shape: no array has the shape"),
    ("graph.nodes[0].shape", [1] * 65, "graph.nodes[0].shape: no array has the shape"),
    ("graph.nodes[0].shape", [3.0], "graph.nodes[0].shape[0]: must be an integer, not a number"),
    ("graph.nodes[0].shape", [4], "graph"),
    ("graph.nodes[0].dtype", "object", "graph.nodes[0].dtype: 'object' is not a dtype of numbers"),
    ("graph.nodes[0].dtype", "float64, float64", "graph.nodes[0].dtype"),
    ("graph.nodes[0].dtype", None, "graph.nodes[0].dtype: 'None' is not a dtype"),
    ("graph.nodes[0].dtype", ">f3", "graph.nodes[0].dtype: there is no dtype '>f3' here"),
    ("graph.nodes[0].name", 1, "graph.nodes[0].name: must be a string"),
    ("graph.nodes[0].value", KeyError, "graph.nodes[0].value: must be an object, not null"),
    ("graph.nodes[0].value", 1.0, "graph.nodes[0].value: has shape [], but the graph says float64[3]"),
    ("graph.nodes[0].value.data", [1.0], "graph.nodes[0].value.data: has 1 elements, but shape [3] needs 3"),
    ("graph.nodes[0].value.data[0]", "nan", "graph.nodes[0].value.data[0]: 'nan' is not a number"),
    ("graph.nodes[0].value.data[0]", True, "graph.nodes[0].value.data[0]: must be a number, not a boolean"),
    ("graph.nodes[0].value.data[0]", HUGE**12, "graph.nodes[0].value.data[0]: "),
    ("graph.nodes[1].value", "1_0", "graph.nodes[1].value: '1_0' is not a number"),
    ("graph.nodes.multiply.hop", "__import__", "there is no hop '__import__'"),
    ("graph.nodes.multiply.hop", ["sin"], ".hop: must be a string, not a list"),
    ("graph.nodes.multiply.hop", "input", ".input: must be a string"),
    ("graph.nodes.multiply.hop", "sin", ".args: sin takes 1 operands, not 2"),
    ("graph.nodes.multiply.args", [0, 0, 0], ".args: multiply takes 2 operands, not 3"),
    ("graph.nodes.multiply.args[0]", 99, ".args[0]: 99 is not the id of anything before"),
    ("graph.nodes.multiply.args[0]", -1, ".args[0]: -1 is not the id of anything before"),
    ("graph.nodes.multiply.args[0]", 0, "multiply gives float64[3], but the file says float64[2]"),
    ("graph.nodes.multiply.args[0]", "0", ".args[0]: must be an integer, not a string"),
    ("graph.nodes.multiply.shape", [1], "multiply gives float64[2], but the file says float64[1]"),
    ("graph.nodes.multiply.params", {"out": 1}, ".params: multiply takes no parameters, not out"),
    ("graph.nodes.sum.params", KeyError, ".params: sum takes the parameters axes, keepdims, not none"),
    ("graph.nodes.sum.params.axes", [0.0], ".params.axes[0]: must be an integer, not a number"),
    ("graph.nodes.sum.params.axes", [True], ".params.axes[0]: must be an integer, not a boolean"),
    ("graph.nodes.sum.params.axes", [HUGE], ".params.axes[0]: this number is too large"),
    ("graph.nodes.sum.params.axes", "0", "graph"),
    ("graph.nodes.sum.params.keepdims", {"float": "1e999"}, ".params.keepdims: this number is too large"),
    ("graph.nodes.index.params.items", 7, "index: "),
    ("graph.nodes.index.params.items[0].type", "Popen", "'Popen' is not the type of a parameter (Slice, Operand)"),
    ("graph.nodes.index.params.items[0].items", [1], ".items: Slice does not have 1 parts"),
    ("graph.nodes.index.params.items[0].items[0]", [[]], "index: "),
    ("graph.nodes.index.args", [], ".args: index takes 1 or more operands, not 0"),
    ("graph.nodes.constant.constant", KeyError, ".constant: must be an object, not null"),
    ("graph.nodes.constant.constant", {"shape": [2], "dtype": "float64", "data": [1, 2]}, ".constant: is float64[2]"),
    ("graph.nodes.constant.constant", {"shape": [], "dtype": "float32", "data": [1e300]}, "does not fit into float32"),
    ("graph.nodes.constant.constant", {"shape": [], "dtype": "int8", "data": [200]}, "does not fit into int8"),
    ("graph.nodes.constant.constant", {"shape": [], "dtype": "float64", "base64": "AA=="}, "has the wrong length"),
    ("graph.nodes.constant.constant", {"shape": [], "dtype": "float64", "base64": "!" * 12}, ".constant.base64: "),
    ("graph.nodes.constant.constant", {"shape": [], "dtype": "complex64", "data": [1]}, "real and imaginary part"),
    ("graph.nodes.multiply.site", 99, ".site: 99 is not the id of anything before"),
    ("graph.nodes.multiply.also", [99], ".also[0]: 99 is not the id of anything before"),
    ("graph.nodes.multiply.made_for", {"stage": "", "node": 0}, ".made_for.stage: a name has at least one letter"),
    ("graph.nodes.multiply.made_for", {"stage": "pass", "node": 99}, ".made_for.node: 99 is not the id"),
    ("graph.sites", 1, "graph.sites: must be a list"),
    ("graph.sites[0].line", "1", "graph.sites[0].line: must be an integer"),
    ("graph.sites[0].scope", ["f", 1], "graph.sites[0].scope[1]: must be a string"),
    ("graph.inputs", [0], "graph: %"),
    ("graph.inputs", [0, 0, 1], "graph: an input occurs twice"),
    ("graph.inputs", [0, 1, 4], "graph.inputs[2]: is made by"),
    ("graph.outputs", [99], "graph.outputs[0]: 99 is not the id of anything before"),
    ("output", 99, "output: 99 is not the id of anything before"),
    ("wrt", [None], "wrt[0]: must be an integer, not null"),
    ("uses", {}, "uses: must be a list"),
    ("uses[0].source", 99, "uses[0].source: 99 is not the id"),
    ("uses[0].active", 1, "uses[0].active: must be a boolean, not an integer"),
    ("uses[0].text", 1, "uses[0].text: must be a string"),
    ("sections[0].lines", 1, "sections[0].lines: must be a list"),
    ("sections[0].lines[0].node", 99, "sections[0].lines[0].node: 99 is not the id"),
    ("sections[0].lines[0].note", [], "sections[0].lines[0].note: must be a string, not a list"),
    ("cost.paths", 5, "cost.paths: must be a string, not an integer"),
    ("cost.paths", "1e3", "cost.paths: '1e3' is not a count"),
    ("cost", KeyError, "the file: has no entry 'cost'"),
]  # fmt: skip


@pytest.fixture(scope="module")
def guarded() -> Any:
    return strict(EXPLANATIONS["branches"]().json())


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("graph.guards", {}, "graph.guards: must be a list, not an object"),
        ("graph.guards[0]", 1, "graph.guards[0]: must be an object, not an integer"),
        ("graph.guards[0].node", 999, "graph.guards[0].node: 999 is not the id of anything before"),
        ("graph.guards[0].node", KeyError, "graph.guards[0]: has no entry 'node'"),
        ("graph.guards[0].node", 0, "graph.guards[0].value: must be a value of float64[3], in full"),
        ("graph.guards[0].value", None, "graph.guards[0].value: must be an object, not null"),
        ("graph.guards[0].before", -1, "graph.guards[0].before: -1 is not the id"),
        ("graph.guards[0].site", 999, "graph.guards[0].site: 999 is not the id"),
        ("graph.guards[0].text", 1, "graph.guards[0].text: must be a string"),
        ("graph.guards[0].boundary", 1, "graph.guards[0].boundary: must be a boolean"),
    ],
)  # fmt: skip
def test_faults_of_guards_are_named(guarded: Any, path: str, value: Any, message: str) -> None:
    test_faults_are_named(guarded, path, value, message)


@pytest.mark.parametrize(("path", "value", "message"), FAULTS, ids=[f"{p}={str(v)[:20]}" for p, v, _ in FAULTS])
def test_faults_are_named(good: Any, path: str, value: Any, message: str) -> None:
    data = copy.deepcopy(good)
    change(path, value)(data)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        from_json(json.dumps(data))
    assert type(caught.value) is ValueError


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "this is not a file of hopgrad.explanation: "),
        ("{", "this is not a file of hopgrad.explanation: "),
        ("[]", "the file: must be an object, not a list"),
        ("3", "the file: must be an object, not an integer"),
        ('{"schema": NaN}', "NaN is not JSON"),
        ('{"schema": 1e999}', "1e999 is too large"),
        ('{"schema": 1, "schema": 2}', "the entry 'schema' occurs twice"),
        ("[" * 100_000, "the file is nested too deeply"),
        ('{"a":' * 100_000, "the file is nested too deeply"),
        ("9" * 5000, "this is not a file of hopgrad.explanation: "),
    ],
)
def test_what_is_not_json(words: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        from_json(words)


def test_only_text_is_read() -> None:
    with pytest.raises(TypeError, match="from_json takes text, not bytes"):
        from_json(b"{}")  # type: ignore[arg-type]


@pytest.mark.parametrize("inside", ["items", "graph"])
def test_nesting_is_bounded(good: Any, inside: str) -> None:
    data = copy.deepcopy(good)
    deep: Any = [] if inside == "items" else copy.deepcopy(data["graph"])
    for _ in range(30):
        if inside == "items":
            deep = [deep]
        else:
            outer = copy.deepcopy(data["graph"])
            node_of({"graph": outer}, "sum")["params"]["axes"] = {"graph": deep}
            deep = outer
    node_of(data, "sum")["params"]["axes"] = deep if inside == "items" else {"graph": deep}
    with pytest.raises(ValueError, match="is nested too deeply"):
        from_json(json.dumps(data))


def test_arrays_of_indices_are_bounded() -> None:
    builder = Builder()
    x = builder.input(aval((3,), float), "x")
    where = builder.input(aval((2,), np.int64), "where")
    taken = catalogue["index"](x, where, items=(PARAM_TYPES["Operand"](0),))
    data = graph_to_data(Graph(builder, [x.id, where.id], [taken.id]))
    data["nodes"][1]["shape"] = data["nodes"][2]["shape"] = [2**32]
    with pytest.raises(ValueError, match=r"graph.nodes\[2\].args: there are too many indices"):
        graph_from_data(data, PARAM_TYPES)


def test_stages_are_bounded(good: Any) -> None:
    data = copy.deepcopy(good["graph"])
    one = {"hop": "constant", "constant": 1.0, "shape": [], "dtype": "float64"}
    start = len(data["nodes"])
    data["nodes"] += [
        {**one, "id": start + k, "constant": float(k), "made_for": {"stage": f"s{k}", "node": None}} for k in range(200)
    ]
    with pytest.raises(ValueError, match="there are too many stages"):
        graph_from_data(data, PARAM_TYPES)


def test_what_a_later_version_may_add_is_ignored(good: Any) -> None:
    data = copy.deepcopy(good)
    data["extra"] = data["graph"]["nodes"][0]["extra"] = {"any": [1]}
    assert isinstance(from_json(json.dumps(data)), Document)


def test_reading_does_not_disturb_other_graphs() -> None:
    """Shapes are shared by all graphs, so one with 2.0 in it instead of 2 would be everybody's."""
    builder = Builder()
    x = builder.input(aval((1, 7919), float), "x")
    data = graph_to_data(Graph(builder, [x.id], [catalogue["reshape"](x, shape=(7919, 1, 1)).id]))
    data["nodes"][1]["params"]["shape"] = [7919, True, 1.0]
    with pytest.raises(ValueError, match="must be an integer"):
        graph_from_data(data, PARAM_TYPES)
    assert all(type(n) is int for n in aval((7919, 1, 1), float).shape)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5) | st.sampled_from([-1, 2**63, "NaN"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["type", "items", "data", "graph"]), inner, max_size=2),
    max_leaves=4,
)  # fmt: skip


@given(st.data())
def test_no_damage_to_a_file_gives_anything_but_a_value_error(good: Any, data: st.DataObject) -> None:
    damaged = copy.deepcopy(good)
    for _ in range(data.draw(st.integers(1, 3))):
        places = list(all_places(damaged))
        holder, key = places[data.draw(st.integers(0, len(places) - 1))]
        action = data.draw(st.sampled_from(["replace", "delete", "swap"]))
        if action == "delete":
            del holder[key]
        elif action == "swap":
            other, there = places[data.draw(st.integers(0, len(places) - 1))]
            holder[key] = copy.deepcopy(other[there])
        else:
            holder[key] = data.draw(JUNK)
    try:
        document = from_json(json.dumps(damaged))
    except ValueError:
        return
    document.graph.check()


def all_places(data: Any) -> Iterator[tuple[Any, Any]]:
    stack = [data]
    while stack:
        here = stack.pop()
        for key in list(here) if isinstance(here, dict) else range(len(here)):
            yield here, key
            if isinstance(here[key], (dict, list)):
                stack.append(here[key])


def test_a_chain_of_many_hops_is_written_and_read() -> None:
    def f(x: Any) -> Any:
        for _ in range(5000):
            x = np.sin(x)
        return x

    explanation = hg.explain(f)(0.5)
    document = from_json(explanation.json())
    assert len(document.graph) == 5001
    assert document.values[document.output] == explanation.value


def test_of_very_many_uses_rules_and_numbers_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    explanation = hg.explain(lambda x: np.sin(x * x) * x)(0.5)
    whole = json.loads(explanation.json())["uses"]
    monkeypatch.setattr("hopgrad.show.schema._MAX_TEXTS", len(whole) - 1)
    short = json.loads(explanation.json())["uses"]
    assert short == [{key: v for key, v in use.items() if key not in ("text", "latex")} for use in whole]
    assert all(use["rule"] and "value" in use for use in short)
    assert [use.text for use in from_json(explanation.json()).uses] == [""] * len(short)


def test_lines_of_the_story_have_no_other_parts() -> None:
    """A new field of a story's line has to be written too."""
    assert set(Line.__dataclass_fields__) == {"formula", "prose", "value", "note", "node"}
