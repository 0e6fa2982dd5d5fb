"""Graphs as data: dicts, lists, strings and numbers that JSON holds as they are, and back to graphs.

What is read may come from anywhere, so everything in it is checked: hops must be in the catalogue and get the
operands and parameters that they take, operands must come before their use, shapes must be what the hop's own rule
gives. Nothing is looked up by name but hops, types of parameters and dtypes, and nothing is computed.

The form is described in ``docs/schema.md``.
"""

from __future__ import annotations

import base64
import binascii
import inspect
import math
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from hopgrad.aval import Aval, Several, aval, several
from hopgrad.errors import HopgradError
from hopgrad.graph.builder import Builder, Params, catalogue
from hopgrad.graph.graph import Graph, Guard, reachable
from hopgrad.graph.hop import Compound, Elementwise, General, Hop, Item, Multilinear, Reduction, Structural
from hopgrad.graph.sites import Layer, Location, Sites, is_library

Data = dict[str, Any]
ParamTypes = Mapping[str, type[Any]]
"""Named tuples that may stand in parameters, such as slices, by name; the catalogue above this layer defines them."""

MAX_LISTED = 1000
"""Arrays of more elements are given by a summary, or as bytes where all elements are needed."""
MAX_ELEMENTS = 2**40
MAX_INDICES = 10**8
"""Bounds on what a file may declare: elements of a value, and of all arrays of indices (which shape rules allocate)."""
_BINS, _PIXELS = 24, 32
"""Bars of a summary's histogram, and the most rows and columns of its picture."""
_MAX_NESTING = 16
_MAX_STAGES = 100
_MAX_NAME = 10_000
_DTYPE = re.compile(r"bool|u?int(8|16|32|64)|float(16|32|64)|longdouble|complex(64|128)|>[uifc][0-9]{1,2}")

# -- reading, checked ------------------------------------------------------------------------------------------------

_KINDS = {dict: "an object", list: "a list", str: "a string", int: "an integer", float: "a number", bool: "a boolean"}


def wrong(place: str, problem: str) -> ValueError:
    """The error for a fault at a place such as ``graph.nodes[3].args``."""
    return ValueError(f"{place}: {problem}")


def expect(value: Any, kind: type[Any], place: str) -> Any:
    """`value`, if it is of that kind. An integer will do for a number, but true and false are not integers."""
    fits = isinstance(value, (int, float) if kind is float else kind) and (kind is bool or not isinstance(value, bool))
    if not fits:
        found = _KINDS.get(type(value), "null" if value is None else type(value).__name__)
        raise wrong(place, f"must be {_KINDS[kind]}, not {found}")
    return value


def entry(data: Data, key: str, kind: type[Any], place: str) -> Any:
    """An entry that must be there, of a kind that it must have."""
    if key not in data:
        raise wrong(place or "the file", f"has no entry {key!r}")
    return expect(data[key], kind, f"{place}.{key}".lstrip("."))


def entries(data: Data, key: str, kind: type[Any], place: str) -> list[Any]:
    """A list whose items must all be of a kind."""
    found = entry(data, key, list, place)
    return [expect(item, kind, f"{place}.{key}[{k}]".lstrip(".")) for k, item in enumerate(found)]


def position(value: int, below: int, place: str) -> int:
    """An id, which must be that of something before `below`."""
    if not 0 <= value < below:
        raise wrong(place, f"{value} is not the id of anything before" if below else f"{value} is not an id")
    return value


# -- numbers and arrays ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Summary:
    """What is kept of a large array: its shape and dtype, the range and mean of its finite elements, its first ones."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    min: float
    max: float
    mean: float
    nan: int
    infinite: int
    first: np.ndarray[Any, Any]


def number_to_data(value: Any) -> Any:
    """A real number exactly; NaN and infinities, which JSON does not have, as strings.

    >>> number_to_data(0.1), number_to_data(float("-inf"))
    (0.1, '-Infinity')
    """
    if isinstance(value, np.longdouble):
        # More digits than a JSON reader keeps.
        return _nonfinite(value) or np.format_float_scientific(value, unique=True)
    plain = float(value)
    return _nonfinite(plain) or plain


def _nonfinite(value: Any) -> str | None:
    # NumPy's takes a long double as it is, but 0.4 µs for each number.
    finite = math.isfinite(value) if isinstance(value, float) else np.isfinite(value)
    return None if finite else "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


_NUMBER = re.compile(r"-?[0-9.]{1,50}(e[+-]?[0-9]{1,5})?")


def number_from_data(data: Any, place: str, kind: Callable[[Any], Any] = float) -> Any:
    """The number again."""
    if isinstance(data, str):
        if data in ("NaN", "Infinity", "-Infinity"):
            return kind(float(data))
        if not _NUMBER.fullmatch(data):
            raise wrong(place, f"{data[:40]!r} is not a number")
    else:
        expect(data, float, place)
    try:
        found = kind(data)
    except (ValueError, OverflowError) as error:
        raise wrong(place, str(error)) from None
    if not np.isfinite(found):
        raise wrong(place, "this number is too large")
    return found


def _item_to_data(item: Any, kind: str) -> Any:
    if kind == "c":
        return [number_to_data(item.real), number_to_data(item.imag)]
    return bool(item) if kind == "b" else int(item) if kind in "iu" else number_to_data(item)


@lru_cache(maxsize=256)
def dtype_to_data(dtype: np.dtype[Any]) -> str:
    """A dtype's name, with its byte order where that is not the machine's own."""
    return dtype.name if dtype.isnative and dtype.char != "g" else "longdouble" if dtype.char == "g" else dtype.str


def dtype_from_data(name: Any, place: str) -> np.dtype[Any]:
    """The dtype of that name: a boolean, an integer, a real or complex number."""
    if not isinstance(name, str) or not _DTYPE.fullmatch(name):
        raise wrong(place, f"{str(name)[:40]!r} is not a dtype of numbers")
    try:
        return np.dtype(name)
    except TypeError:
        raise wrong(place, f"there is no dtype {name!r} here") from None


def array_to_data(value: Any, *, full: bool = False, limit: int = MAX_LISTED) -> Any:
    """A float64 scalar as a number; anything else with its shape, its dtype and its elements.

    Of more elements than `limit` a summary is given, or their bytes if `full`.
    """
    if isinstance(value, float):
        return number_to_data(value)
    array = np.asarray(value)
    if not array.ndim and array.dtype == np.float64:
        return number_to_data(array[()])
    data: Data = {"shape": list(array.shape), "dtype": dtype_to_data(array.dtype)}
    kind = array.dtype.kind
    if array.size <= limit or (full and array.dtype.char == "g"):
        data["data"] = [_item_to_data(item, kind) for item in array.ravel()]
    elif full:
        raw = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        data["base64"] = base64.b64encode(raw).decode("ascii")
    else:
        data["summary"] = _summary_to_data(array)
    return data


def _summary_to_data(array: np.ndarray[Any, Any]) -> Data:
    sizes = np.abs(array) if array.dtype.kind == "c" else array
    finite = np.isfinite(sizes)
    kept = sizes[finite]
    with np.errstate(all="ignore"):
        numbers = [kept.min(), kept.max(), kept.mean(dtype=np.float64)] if kept.size else [np.nan] * 3
    nan = int(np.isnan(sizes).sum())
    return {
        **dict(zip(("min", "max", "mean"), map(number_to_data, map(float, numbers)), strict=True)),
        "nan": nan,
        "infinite": int(array.size - finite.sum()) - nan,
        "first": [_item_to_data(item, array.dtype.kind) for item in array.flat[:8]],
        "histogram": [int(count) for count in _histogram(kept)],
        "picture": _picture(sizes),
    }


def _histogram(kept: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """How many of these numbers lie in each of equal parts of their range."""
    if not kept.size:
        return np.zeros(0, int)
    kept = kept.ravel().astype(np.float64, copy=False)
    low, high = float(kept.min()), float(kept.max())
    with np.errstate(all="ignore"):
        # Halved, since the range of finite numbers may be infinite.
        share = (kept / 2 - low / 2) / (high / 2 - low / 2 or 1.0)
    places = np.minimum((share * _BINS).astype(int), _BINS - 1)
    return np.bincount(places, minlength=_BINS)


def _picture(array: np.ndarray[Any, Any]) -> Data:
    """Evenly chosen rows and columns of the first slice along the last two axes, in digits enough to be seen."""
    flat = array.reshape(-1, array.shape[-1]) if array.ndim < 2 else array[(0,) * (array.ndim - 2)]
    rows, columns = (np.unique(np.linspace(0, n - 1, min(n, _PIXELS)).astype(int)) for n in flat.shape)
    chosen = flat[np.ix_(rows, columns)]
    return {
        "rows": rows.tolist(),
        "columns": columns.tolist(),
        "data": [_item_to_data(_rounded(item), array.dtype.kind) for item in chosen.ravel()],
    }


def _rounded(item: Any) -> Any:
    return float(f"{item:.4g}") if isinstance(item, (np.float16, np.float32, np.float64)) else item


def shape_from_data(data: Data, place: str) -> tuple[int, ...]:
    """A shape of a sensible size."""
    shape = tuple(entries(data, "shape", int, place))
    # NumPy's arrays have at most 64 axes.
    if len(shape) > 64 or any(n < 0 for n in shape) or math.prod(shape) > MAX_ELEMENTS:
        raise wrong(f"{place}.shape", f"no array has the shape {str(list(shape))[:60]}")
    return shape


def array_from_data(data: Any, place: str) -> Any:
    """The array (or scalar) again, read-only; a `Summary` where that is all there is."""
    if isinstance(data, (int, float, str)) and not isinstance(data, bool):
        return np.float64(number_from_data(data, place))
    expect(data, dict, place)
    shape = shape_from_data(data, place)
    dtype = dtype_from_data(data.get("dtype"), f"{place}.dtype")
    size = math.prod(shape)
    if "summary" in data:
        return _summary_from_data(data, shape, dtype, place)
    if "base64" in data:
        return _array_from_bytes(entry(data, "base64", str, place), shape, dtype, place)
    items = entry(data, "data", list, place)
    if len(items) != size:
        raise wrong(f"{place}.data", f"has {len(items)} elements, but shape {list(shape)} needs {size}")
    array = np.array(_items_from_data(items, dtype, f"{place}.data"), dtype).reshape(shape)
    array.flags.writeable = False
    return array if shape else array[()]


def _array_from_bytes(text: str, shape: tuple[int, ...], dtype: np.dtype[Any], place: str) -> Any:
    if dtype.char == "g":
        raise wrong(place, "longdouble has no portable bytes")
    if len(text) != 4 * -(-math.prod(shape) * dtype.itemsize // 3):
        raise wrong(f"{place}.base64", f"has the wrong length for shape {list(shape)} of {dtype}")
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise wrong(f"{place}.base64", str(error)) from None
    array = np.frombuffer(raw, dtype.newbyteorder("<")).astype(dtype).reshape(shape)
    array.flags.writeable = False
    return array


def _summary_from_data(data: Data, shape: tuple[int, ...], dtype: np.dtype[Any], place: str) -> Summary:
    place = f"{place}.summary"
    found = expect(data["summary"], dict, place)
    numbers = {key: number_from_data(found.get(key), f"{place}.{key}") for key in ("min", "max", "mean")}
    counts = {key: entry(found, key, int, place) for key in ("nan", "infinite")}
    first = np.array(_items_from_data(entry(found, "first", list, place)[:8], dtype, f"{place}.first"), dtype)
    return Summary(shape, dtype, **numbers, **counts, first=first)


def _items_from_data(items: Sequence[Any], dtype: np.dtype[Any], place: str) -> list[Any]:
    scalar: Any = np.longdouble if dtype.char == "g" else float
    out: list[Any] = []
    for k, item in enumerate(items):
        where = f"{place}[{k}]"
        if dtype.kind == "b":
            out.append(expect(item, bool, where))
        elif dtype.kind in "iu":
            expect(item, int, where)
            bounds = np.iinfo(dtype)
            if not bounds.min <= item <= bounds.max:
                raise wrong(where, f"does not fit into {dtype}")
            out.append(item)
        elif dtype.kind == "c":
            if not isinstance(item, list) or len(item) != 2:
                raise wrong(where, "must be a list of real and imaginary part")
            parts = [number_from_data(part, where) for part in item]
            out.append(complex(*parts))
        else:
            out.append(_fitting(number_from_data(item, where, scalar), dtype, where))
    return out


def _fitting(value: Any, dtype: np.dtype[Any], place: str) -> Any:
    if dtype.itemsize >= 8:
        return value
    with np.errstate(all="ignore"):
        if np.isfinite(value) and not np.isfinite(dtype.type(value)):
            raise wrong(place, f"does not fit into {dtype}")
    return value


# -- parameters ------------------------------------------------------------------------------------------------------


def _param_to_data(value: Any) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": number_to_data(value)}
    if isinstance(value, int):
        return value
    if isinstance(value, tuple):
        items = [_param_to_data(item) for item in value]
        return {"type": type(value).__name__, "items": items} if hasattr(value, "_fields") else items
    if isinstance(value, np.dtype):
        return {"dtype": dtype_to_data(value)}
    if isinstance(value, Graph):
        return {"graph": graph_to_data(value, sites=False)}
    return {"code": type(value).__name__}


def parameter_names(hop: Hop) -> frozenset[str]:
    """The static parameters that a hop takes: the keywords of the function that computes its value."""
    if isinstance(hop, Compound):
        return hop.takes
    if not inspect.isfunction(hop.value) or not hop.value.__module__.startswith("hopgrad."):
        return frozenset()  # NumPy's own functions have keywords too, such as out=, but none that a hop may use
    parameters = inspect.signature(hop.value).parameters.values()
    return frozenset(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


def operand_counts(hop: Hop) -> tuple[int, float]:
    """The least and largest number of operands that a hop takes."""
    if isinstance(hop, Elementwise):
        return len(hop.domain), len(hop.domain)
    if isinstance(hop, Compound):
        return 0, math.inf
    if isinstance(hop, Item):
        return 1, 1
    parameters = inspect.signature(hop.body).parameters.values()
    count = sum(p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)
    if isinstance(hop, (Structural, Multilinear)):
        count -= 1  # the first is the cotangent
    elif not isinstance(hop, (Reduction, General)):
        return 0, 0
    any_more = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    return (max(count, 1), math.inf) if any_more else (count, count)


# -- graphs ----------------------------------------------------------------------------------------------------------


def graph_to_data(graph: Graph, *, sites: bool = True, names: Mapping[int, str] | None = None) -> Data:
    """The graph as data, its values numbered from 0 in topological order, with all constants.

    Without `sites` (where in the user's code each value comes from) equal computations give equal data.
    """
    builder = graph.builder
    nodes = listed_nodes(graph)
    number = {node: k for k, node in enumerate(nodes)}
    names = graph.names if names is None else names
    table = _SiteTable(builder.sites) if sites else None
    further: dict[int, list[int]] = {}
    if sites:
        for node, site in sorted(builder.sites.hits):
            further.setdefault(node, []).append(site)
    records = []
    for node in nodes:
        hop, like = builder.hop(node), builder.avals[node]
        record: Data = {"id": number[node], "hop": hop.name}
        params = builder.params(node)
        if hop.name == "input":
            record["input"] = str(dict(params)["name"])
        elif hop.name == "constant":
            record["constant"] = array_to_data(builder.constants[node], full=True)
        else:
            record["args"] = [number[a] for a in builder.args(node)]
            if params:
                record["params"] = {key: _param_to_data(value) for key, value in params}
        record |= _aval_to_data(like)
        if node in names:
            record["name"] = names[node]
        if table is not None:
            record |= table.entries(builder.site[node], further.get(node, ()))
            if builder.stage[node]:
                origin = number.get(builder.origin[node])
                record["made_for"] = {"stage": builder.stages[builder.stage[node]], "node": origin}
                if origin is None and not builder.site[node]:
                    record |= table.made_for(node, builder, graph.node(node).location)
        records.append(record)
    data: Data = {"nodes": records, "inputs": [number[n] for n in graph.inputs]}
    data["outputs"] = [number[n] for n in graph.outputs]
    if graph.guards:
        data["guards"] = [
            {
                "node": number[guard.node],
                "value": array_to_data(guard.value, full=True),
                "before": bisect_left(nodes, guard.before),
                **(table.entries(guard.site, ()) if table is not None else {}),
            }
            for guard in graph.guards
        ]
    if table is not None:
        data["sites"] = table.records
    return data


def _aval_to_data(like: Aval) -> Data:
    if isinstance(like, Several):
        return {"results": [_aval_to_data(one) for one in like.avals]}
    return {"shape": list(like.shape), "dtype": dtype_to_data(like.dtype)}


def _aval_from_data(record: Data, place: str) -> Aval:
    if "results" in record:
        parts = entries(record, "results", dict, place)
        return several(_one_aval(part, f"{place}.results[{k}]") for k, part in enumerate(parts))
    return _one_aval(record, place)


def _one_aval(record: Data, place: str) -> Aval:
    return aval(shape_from_data(record, place), dtype_from_data(record.get("dtype"), f"{place}.dtype"))


def listed_nodes(graph: Graph) -> list[int]:
    """The values that a graph's data lists, in their order: what outputs and guards need, and all inputs."""
    needed = reachable(graph.builder, [*graph.outputs, *[guard.node for guard in graph.guards]])
    return sorted({*needed, *graph.inputs})


class _SiteTable:
    """The places in the user's code that values come from, each once."""

    def __init__(self, sites: Sites) -> None:
        self.sites = sites
        self.records: list[Data] = []
        self.known: dict[object, int | None] = {}

    def entries(self, site: int, further: Sequence[int]) -> Data:
        """The entries of a value's record."""
        found = self.number(site)
        others = [k for k in map(self.number, further) if k is not None]
        return ({} if found is None else {"site": found}) | ({"also": others} if others else {})

    def made_for(self, node: int, builder: Builder, location: Location | None) -> Data:
        """The entry for a value of a pass that was made for one that is not in the graph: where that one stands."""
        site = builder.made_at(node)
        if self.sites.layers(site):
            return {"site": self.number(site)}
        if location is None:
            return {}
        if location not in self.known:
            self.known[location] = len(self.records)
            self.records.append({**location._asdict(), "scope": []})
        return {"site": self.known[location]}

    def number(self, site: int) -> int | None:
        """The number of a site in the table; none for values that come from nowhere."""
        unknown = []
        while site not in self.known:
            unknown.append(site)
            self.known[site] = None
            site = self.sites.caller(site) if site else 0
        found = self.known[site]
        for link in reversed(unknown):  # callers stand before what they call
            place, layer = self.sites.shown(link) if link else (None, None)
            if place is not None:
                record = {**place._asdict(), "scope": list(self.sites.scope(link))}
                variable = self.sites.name(link)
                record |= ({"variable": variable} if variable else {}) | ({} if found is None else {"caller": found})
                record |= {} if layer is None else {"layer": layer._asdict()}
                record |= {"library": True} if is_library(place.file) else {}
                found = self.known[link] = len(self.records)
                self.records.append(record)
        return found


def graph_from_data(data: Any, types: ParamTypes, place: str = "graph") -> tuple[Graph, list[int]]:
    """The graph again, in a builder of its own, and the ids that its values got there, in the order of the data.

    Raises:
        ValueError: if anything in `data` is not as it must be; the message begins with the place.
    """
    return _Reader(types, place, 0).graph(data)


class _Reader:
    """Reads one graph; `depth` says how many other graphs it is inside of."""

    def __init__(self, types: ParamTypes, place: str, depth: int) -> None:
        if depth > _MAX_NESTING:
            raise wrong(place, "is nested too deeply")
        self.types = types
        self.place = place
        self.depth = depth
        self.builder = Builder()
        self.ids: list[int] = []
        self.sites: list[int] = []
        self.indices = 0

    def graph(self, data: Any) -> tuple[Graph, list[int]]:
        builder, ids, place = self.builder, self.ids, self.place
        expect(data, dict, place)
        if "sites" in data:
            for k, record in enumerate(entries(data, "sites", dict, place)):
                self.sites.append(self.site(record, f"{place}.sites[{k}]"))
        names: dict[int, str] = {}
        for k, record in enumerate(entries(data, "nodes", dict, place)):
            where = f"{place}.nodes[{k}]"
            if entry(record, "id", int, where) != k:
                raise wrong(f"{where}.id", f"must be {k}: values are numbered in their order")
            before = len(builder)
            stage, origin = self.origin(record, where)
            with builder.passing(stage):
                builder.made_for(origin)
                ids.append(self.node(record, where))
            self.place_of(record, ids[k], ids[k] >= before, where)
            if "name" in record:
                names[ids[k]] = _name(record["name"], f"{where}.name")
        ends = {}
        for key in ("inputs", "outputs"):
            listed = entries(data, key, int, place)
            ends[key] = [ids[position(n, len(ids), f"{place}.{key}[{k}]")] for k, n in enumerate(listed)]
        guards = [
            self.guard(record, f"{place}.guards[{k}]")
            for k, record in enumerate(entries(data, "guards", dict, place) if "guards" in data else [])
        ]
        graph = Graph(builder, ends["inputs"], ends["outputs"], guards)
        for k, node in enumerate(graph.inputs):
            if builder.hop(node).name != "input":
                raise wrong(f"{place}.inputs[{k}]", f"is made by {builder.hop(node).name}")
        try:
            graph.check()
        except (HopgradError, ValueError) as error:
            raise wrong(place, str(error)) from None
        if names:
            graph.__dict__["names"] = {**graph.names, **names}  # where the cached property keeps them
        return graph, ids

    def guard(self, record: Data, place: str) -> Guard:
        """An answer that the user's code got when it branched."""
        ids = self.ids
        node = ids[position(entry(record, "node", int, place), len(ids), f"{place}.node")]
        value = array_from_data(record.get("value"), f"{place}.value")
        if isinstance(value, Summary) or np.shape(value) != self.builder.avals[node].shape:
            raise wrong(f"{place}.value", f"must be a value of {self.builder.avals[node]!r}, in full")
        site = position(entry(record, "site", int, place), len(self.sites), f"{place}.site") if "site" in record else -1
        before = position(entry(record, "before", int, place), len(ids) + 1, f"{place}.before")
        return Guard(node, value, self.sites[site] if site >= 0 else 0, max(ids[:before], default=-1) + 1)

    def node(self, record: Data, place: str) -> int:
        """The value, made anew."""
        builder, ids = self.builder, self.ids
        name = entry(record, "hop", str, place)
        if name not in catalogue:
            raise wrong(f"{place}.hop", f"there is no hop {name[:60]!r}")
        hop = catalogue[name]
        like = _aval_from_data(record, place)
        if name in ("input", "constant") and isinstance(like, Several):
            raise wrong(place, f"{name} is a single value, but has several results")
        if name == "input":
            return builder.input(like, _name(record.get("input"), f"{place}.input")).id
        if name == "constant":
            return self.constant(record, like, place)
        listed = entries(record, "args", int, place)
        args = [ids[position(a, len(ids), f"{place}.args[{k}]")] for k, a in enumerate(listed)]
        least, most = operand_counts(hop)
        if not least <= len(args) <= most:
            takes = f"{least}" if least == most else f"{least} or more"
            raise wrong(f"{place}.args", f"{name} takes {takes} operands, not {len(args)}")
        params = self.params(record, hop, place)
        if isinstance(hop, Structural) and hop.moved is not None:
            # The shape rule allocates arrays like those of the indices.
            self.indices += sum(builder.avals[a].size for a in args[hop.moved :])
            if self.indices > MAX_INDICES:
                raise wrong(f"{place}.args", "there are too many indices")
        try:
            node = builder.emit(hop, args, params)
        # Shape rules trust their parameters, so anything can go wrong in them.
        except (HopgradError, ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError) as e:
            raise wrong(place, f"{name}: {e}") from None
        if builder.avals[node] is not like:
            raise wrong(place, f"{name} gives {builder.avals[node]!r}, but the file says {like!r}")
        return node

    def constant(self, record: Data, like: Aval, place: str) -> int:
        """A constant with all its elements."""
        found = array_from_data(record.get("constant"), f"{place}.constant")
        if isinstance(found, Summary):
            raise wrong(f"{place}.constant", "a summary will not do: the elements are needed")
        node = self.builder.constant(found).id
        if self.builder.avals[node] is not like:
            raise wrong(f"{place}.constant", f"is {self.builder.avals[node]!r}, but declared as {like!r}")
        return node

    def params(self, record: Data, hop: Hop, place: str) -> Params:
        """The static parameters: those that the hop takes, no fewer and no more."""
        given = expect(record.get("params", {}), dict, f"{place}.params")
        wanted = parameter_names(hop)
        if given.keys() != wanted:
            takes = f"the parameters {', '.join(sorted(wanted))}" if wanted else "no parameters"
            raise wrong(f"{place}.params", f"{hop.name} takes {takes}, not {', '.join(sorted(given))[:60] or 'none'}")
        found = {key: self.param(value, f"{place}.params.{key}", 0) for key, value in given.items()}
        return tuple(sorted(found.items()))

    def param(self, data: Any, place: str, depth: int) -> Any:
        """A parameter, or at a `depth` above 0 an item of one."""
        if depth > _MAX_NESTING:
            raise wrong(place, "is nested too deeply")
        if depth and isinstance(data, (bool, float)):
            # Shapes, axes and indices: 2.0 would pass for 2 until something takes it for a length.
            raise wrong(place, f"must be an integer, not {_KINDS[type(data)]}")
        if (isinstance(data, float) and math.isinf(data)) or (isinstance(data, int) and abs(data) >= 2**63):
            raise wrong(place, "this number is too large")
        if isinstance(data, list):
            return tuple(self.param(item, f"{place}[{k}]", depth + 1) for k, item in enumerate(data))
        if not isinstance(data, dict):
            return data
        if "float" in data and not depth:
            return number_from_data(data["float"], place)
        if "dtype" in data:
            return dtype_from_data(data["dtype"], place)
        if "code" in data:
            raise wrong(place, f"{str(data['code'])[:60]} is Python code, which no file holds")
        if "graph" in data:
            return _Reader(self.types, f"{place}.graph", self.depth + 1).graph(data["graph"])[0]
        name = entry(data, "type", str, place)
        if name not in self.types:
            known = ", ".join(self.types) or "there are none"
            raise wrong(f"{place}.type", f"{name[:40]!r} is not the type of a parameter ({known})")
        items = self.param(entry(data, "items", list, place), f"{place}.items", depth + 1)
        try:
            return self.types[name](*items)
        except TypeError:
            raise wrong(f"{place}.items", f"{name} does not have {len(items)} parts") from None

    def origin(self, record: Data, place: str) -> tuple[str, int]:
        """The pass that made a value, and the value that it was made for (-1: none)."""
        if "made_for" not in record:
            return self.builder.stages[0], -1
        place = f"{place}.made_for"
        made = expect(record["made_for"], dict, place)
        stage = _name(made.get("stage"), f"{place}.stage")
        if stage not in self.builder.stages and len(self.builder.stages) > _MAX_STAGES:
            raise wrong(f"{place}.stage", "there are too many stages")
        if made.get("node") is None:
            return stage, -1
        return stage, self.ids[position(entry(made, "node", int, place), len(self.ids), f"{place}.node")]

    def place_of(self, record: Data, node: int, new: bool, place: str) -> None:
        """Note where in the user's code a value comes from."""
        if "site" in record and new:
            site = position(entry(record, "site", int, place), len(self.sites), f"{place}.site")
            self.builder.site[node] = self.sites[site]
        for k, site in enumerate(entries(record, "also", int, place) if "also" in record else []):
            also = self.sites[position(site, len(self.sites), f"{place}.also[{k}]")]
            self.builder.sites.hits.add((node, also))

    def site(self, record: Data, place: str) -> int:
        """A place in the user's code, inside its enclosing functions."""
        sites = self.builder.sites
        line, line_end, column, column_end = (
            entry(record, key, int, place) for key in ("line", "line_end", "column", "column_end")
        )
        function = entry(record, "function", str, place)
        location = Location(entry(record, "file", str, place), line, line_end, column, column_end, function)
        variable = record.get("variable")
        variable = None if variable is None else _name(variable, f"{place}.variable")
        scope = entries(record, "scope", str, place)
        layer = None
        if "layer" in record:
            part = expect(record["layer"], dict, f"{place}.layer")
            layer = Layer(*(entry(part, key, str, f"{place}.layer") for key in Layer._fields))
        if "caller" in record:
            caller = position(entry(record, "caller", int, place), len(self.sites), f"{place}.caller")
            return sites.explicit(location, variable, self.sites[caller], layer)
        parent = 0
        for outer in scope[:-1] if scope and scope[-1] == function else scope:
            parent = sites.explicit(Location("", 0, 0, 0, 0, outer), None, parent)
        return sites.explicit(location, variable, parent, layer)


def _name(value: Any, place: str) -> str:
    found: str = expect(value, str, place)
    if not 0 < len(found) <= _MAX_NAME:
        raise wrong(place, "this name is too long" if found else "a name has at least one letter")
    return found
