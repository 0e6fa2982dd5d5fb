"""Nested containers: taken apart into a flat list of leaves, and put together again.

Lists, tuples, named tuples, dicts (also `OrderedDict` and `defaultdict`), dataclass instances, None and
the classes given to `register` are containers; anything else is a leaf. None holds no leaves. Only the
exact types count: a subclass of list or dict is a leaf until it is registered, since its constructor is
not known. So is a dataclass that implements NumPy's array protocols, which is one value.

>>> leaves, structure = flatten({"W": [1.0, 2.0], "b": 3.0})
>>> leaves
[1.0, 2.0, 3.0]
>>> structure
Structure({"W": [*, *], "b": *})
>>> unflatten(structure, [10, 20, 30])
{'W': [10, 20], 'b': 30}
>>> [format_path(path) for path in paths(structure)]
['x["W"][0]', 'x["W"][1]', 'x["b"]']

A dataclass is rebuilt from its declared fields alone, without calling ``__init__`` or ``__post_init__``:
those may check or convert the values, and neither a traced value nor a gradient has to satisfy such
checks. All fields are children, those with ``init=False`` too. Copying these from the original instead
(or keeping a cached property) would hide values derived from the other fields, and the derivative
through them would silently be zero. Attributes that are not declared as fields are not kept.

A field that `static` made, such as a stride or the name of an activation, is no child but part of the structure:

>>> @dataclasses.dataclass
... class Window:
...     weights: list
...     stride: int = static(1)
>>> flatten(Window([0.5, 0.5], 2))
([0.5, 0.5], Structure(Window(weights=[*, *], stride=2)))

Nothing here recurses, so the nesting may be of any depth.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import threading
import types
import weakref
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

from hopgrad.errors import ShapeError

__all__ = ["Key", "Path", "Structure", "containers", "flatten", "flatten_like", "format_path", "is_leaf", "map"]
__all__ += ["opened", "original", "paths", "register", "stand_for", "static", "unflatten"]

T = TypeVar("T")
Children = Mapping[str, Any] | Sequence[Any]

_Container = tuple[Callable[[Any], tuple[Children, Hashable]], Callable[[Any, Any], Any]]

_ARRAY_PROTOCOLS = ("__array__", "__array_ufunc__", "__array_function__")
_BRACKETS: dict[type, str] = {list: "[{}]", tuple: "({})", dict: "{{{}}}"}
_WIDTH = 200  # a longer repr is cut

# How each exact type is taken apart and rebuilt; see `register`.
_registry: dict[type, _Container] = {
    list: (lambda value: (value, None), lambda _, children: children),
    tuple: (lambda value: (value, None), lambda _, children: tuple(children)),
    type(None): (lambda _: ((), None), lambda _, children: None),
    dict: (lambda value: (value, None), lambda _, children: children),
    OrderedDict: (lambda value: (value, None), lambda _, children: OrderedDict(children)),
    defaultdict: (lambda value: (value, value.default_factory), defaultdict),
}
_registry_lock = threading.Lock()


class Key(NamedTuple):
    """One step down into a container: ``[0]``, ``["W"]`` or ``.bias``."""

    kind: Literal["index", "item", "attribute"]
    value: Hashable

    @property
    def name(self) -> str:
        """The short name: ``0``, ``W`` or ``bias``."""
        return str(self.value)

    def __str__(self) -> str:
        if self.kind == "attribute":
            return f".{self.value}"
        quoted = isinstance(self.value, str)
        return f"[{json.dumps(self.value, ensure_ascii=False) if quoted else repr(self.value)}]"


Path = tuple[Key, ...]


class _Node(NamedTuple):
    """A container without its contents."""

    cls: type
    size: int
    static: Hashable  # what is needed to rebuild the container besides the children
    names: tuple[Hashable, ...] | None = None  # of the children, where they go by name and not by position


@dataclasses.dataclass(frozen=True, slots=True, repr=False)
class Structure:
    """The containers of a nested value, without its leaves; made by `flatten`.

    Equal structures have the same containers, keys and order of leaves. A structure is hashable, so it
    can be (part of) the key of a cache, and it keeps no leaf alive.
    """

    nodes: tuple[_Node | None, ...]  # in the order of reading, None for a leaf: flat, so that == and hash are
    num_leaves: int

    @property
    def text(self) -> str:
        """The containers as Python writes them, with * for each leaf."""
        return _fold(self, ["*"] * self.num_leaves, _show)

    def __repr__(self) -> str:
        return f"Structure({self.text})"


def register(
    cls: type[T], flatten: Callable[[T], tuple[Children, Hashable]], unflatten: Callable[[Any, Any], T]
) -> type[T]:
    """Make `cls` a container, and return it.

    ``flatten(instance)`` gives the children, as a sequence or as a mapping from attribute name to child,
    and any hashable static data; ``unflatten(static, children)`` rebuilds the instance from a list or a
    dict of children. It must take children of any type, such as traced values.

    >>> class Line:
    ...     def __init__(self, slope, offset):
    ...         self.slope, self.offset = slope, offset
    >>> register(Line, lambda line: (vars(line), None), lambda static, children: Line(**children)).__name__
    'Line'
    >>> map(lambda leaf: -leaf, Line(1, 2)).offset
    -2
    """
    with _registry_lock:
        if cls in _registry:
            raise ValueError(f"{cls.__name__} is already a container: it cannot be registered again")
        _registry[cls] = (flatten, unflatten)
    return cls


def static(default: Any = dataclasses.MISSING) -> Any:
    """A field of a dataclass that is part of the structure: hashable, compared by equality, never differentiated.

    The same as ``dataclasses.field(metadata={"static": True})``, which needs no import from here.
    """
    return dataclasses.field(default=default, metadata={"static": True})


# What traced code gets in place of a function that a structure holds, and that function.
_originals: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
_COPIED = (types.FunctionType, types.MethodType, functools.partial)


def stand_for(copy: Any, original: Any) -> None:
    """Have structures hold `original` where a static field holds `copy`, which does the same."""
    _originals[copy] = original


def original(value: Any) -> Any:
    """What a static value stands for, mostly itself."""
    if type(value) is tuple:
        return tuple([original(v) for v in value])
    return _originals.get(value, value) if type(value) in _COPIED else value


def is_leaf(value: Any) -> bool:
    """Whether a value is no container.

    >>> is_leaf(1.0), is_leaf([]), is_leaf(None)
    (True, False, False)
    """
    return _open(value) is None


def opened(value: Any) -> tuple[list[Any], Callable[..., Any]]:
    """The children of a container, and a function that puts such a container together from as many others.

    >>> children, build = opened({"a": 1, "b": 2})
    >>> build(*[10 * child for child in children])
    {'a': 10, 'b': 20}
    """
    found = _open(value)
    if found is None:
        raise TypeError(f"a {type(value).__name__} is no container")
    node, children = found
    return list(children), lambda *new: _close(node, list(new))


def flatten(value: Any) -> tuple[list[Any], Structure]:
    """The leaves of `value` from left to right, and its `Structure`.

    >>> flatten((1, [2, None], {}))
    ([1, 2], Structure((*, [*, None], {})))
    """
    leaves: list[Any] = []
    nodes: list[_Node | None] = []
    opened_ids: set[int] = set()
    stack: list[tuple[Any, Iterator[Any]]] = [(None, iter((value,)))]
    while stack:
        owner, children = stack[-1]
        for child in children:
            opened = _open(child)
            if opened is None:
                leaves.append(child)
                nodes.append(None)
                continue
            # None and () are one object wherever they stand, but cannot be opened inside themselves.
            if id(child) in opened_ids:
                raise ValueError(f"a {type(child).__name__} contains itself: its leaves have no end")
            opened_ids.add(id(child))
            nodes.append(opened[0])
            stack.append((child, iter(opened[1])))
            break
        else:
            stack.pop()
            opened_ids.discard(id(owner))
    return leaves, Structure(tuple(nodes), len(leaves))


def flatten_like(structure: Structure, value: Any, *, root: str = "x") -> list[Any]:
    """The leaves of `value` in the order of `structure`, which it has to match; dicts match by key.

    >>> _, structure = flatten({"a": 0, "b": 0})
    >>> flatten_like(structure, {"b": 2, "a": 1})
    [1, 2]
    >>> flatten_like(structure, {"a": 1, "b": [2]})
    Traceback (most recent call last):
    ...
    hopgrad.errors.ShapeError: nesting differs at x["b"]: expected a leaf, got [*]
    """
    leaves: list[Any] = []
    todo = [value]
    for position, node in enumerate(structure.nodes):
        current = todo.pop()
        opened = _open(current)
        if node is None and opened is None:
            leaves.append(current)
            continue
        children = None if node is None or opened is None else _in_order_of(node, *opened)
        if children is None:
            path = next(tuple(trail) for i, trail in enumerate(_trails(structure)) if i == position)
            both = (node, opened[0] if opened else None)
            want, got = ("a leaf" if one is None else _show(one, ["*"] * one.size) for one in both)
            raise ShapeError(f"nesting differs at {format_path(path, root)}: expected {want}, got {got}")
        todo.extend(reversed(children))
    return leaves


def unflatten(structure: Structure, leaves: Iterable[Any]) -> Any:
    """The nested value with this structure and these leaves.

    >>> unflatten(flatten([0, (0,)])[1], "ab")
    ['a', ('b',)]
    """
    values = list(leaves)
    if len(values) != structure.num_leaves:
        raise ShapeError(f"the structure has {structure.num_leaves} leaves, got {len(values)}")
    return _fold(structure, values, _close)


def map(fn: Callable[..., Any], tree: Any, *rest: Any) -> Any:
    """Apply `fn` to each leaf of `tree`, together with the leaves at the same place in `rest`.

    >>> map(lambda a, b: a + b, {"u": 1, "v": (2,)}, {"v": (20,), "u": 10})
    {'u': 11, 'v': (22,)}
    """
    leaves, structure = flatten(tree)
    columns = [leaves, *(flatten_like(structure, other, root="tree") for other in rest)]
    return unflatten(structure, [fn(*row) for row in zip(*columns, strict=True)])


def paths(structure: Structure) -> list[Path]:
    """The way from the root to each leaf, in the order of the leaves.

    >>> [path[-1].name for path in paths(flatten({"W": 0, "b": 0})[1])]
    ['W', 'b']
    """
    trails = zip(structure.nodes, _trails(structure), strict=True)
    return [tuple(trail) for node, trail in trails if node is None]


def containers(value: Any) -> Iterator[tuple[Path, Any]]:
    """The containers in `value`, itself included, with the way from the root to each.

    >>> [(format_path(path), item) for path, item in containers({"a": [1.0, (2.0,)]})]
    [('x', {'a': [1.0, (2.0,)]}), ('x["a"]', [1.0, (2.0,)]), ('x["a"][1]', (2.0,))]
    """
    stack: list[tuple[Path, Any]] = [((), value)]
    while stack:
        path, item = stack.pop()
        opened = _open(item)
        if opened is None:
            continue
        yield path, item
        node, children = opened
        stack.extend(reversed([((*path, key), child) for key, child in zip(_keys(node), children, strict=True)]))


def format_path(path: Path, root: str = "x") -> str:
    """The path as Python code.

    >>> format_path((Key("item", "W"), Key("index", 0), Key("attribute", "bias")))
    'x["W"][0].bias'
    """
    return root + "".join(str(key) for key in path)


def leaf_name(title: str, path: Path) -> str:
    """What a leaf is called for short: ``W1`` for ``params["W1"]``, ``x[0]`` for a list's item.

    >>> leaf_name("model", (Key("index", 0), Key("attribute", "bias"))), leaf_name("x", (Key("index", 0),))
    ('bias', 'x[0]')
    """
    name = title
    for key in path:
        word = key.name
        name = word if word.isidentifier() else f"{name}[{word}]"
    return name


def _container(cls: type) -> _Container | None:
    """How instances of `cls` are taken apart and rebuilt, or None where they are leaves."""
    known = _registry.get(cls)
    if known is not None:
        return known
    if issubclass(cls, tuple) and hasattr(cls, "_fields") and hasattr(cls, "_make"):
        make: Callable[[Iterable[Any]], Any] = cls._make
        return (lambda value: (value._asdict(), None)), (lambda _, children: make(children.values()))
    if hasattr(cls, "__dataclass_fields__") and not any(hasattr(cls, name) for name in _ARRAY_PROTOCOLS):
        return _fields, (lambda static, children: _with_fields(cls, static, children))
    return None


def _fields(value: Any) -> tuple[Children, Hashable]:
    children: dict[str, Any] = {}
    fixed: list[tuple[str, Hashable]] = []
    for field in dataclasses.fields(value):
        if not hasattr(value, field.name):
            continue  # one may be unset
        child = getattr(value, field.name)
        if not field.metadata.get("static"):
            children[field.name] = child
            continue
        try:
            child = original(child)
            hash(child)
        except TypeError:
            raise TypeError(
                f"{type(value).__name__}.{field.name} is a static field and holds a {type(child).__name__}: it must be"
                " hashable, as numbers, strings, functions and tuples of them are"
            ) from None
        fixed.append((field.name, child))
    return children, tuple(fixed) or None


def _with_fields(cls: Any, static: tuple[tuple[str, Hashable], ...] | None, children: Mapping[str, Any]) -> Any:
    instance = cls.__new__(cls)
    for name, child in (*children.items(), *(static or ())):
        object.__setattr__(instance, name, child)  # also for a frozen dataclass
    return instance


def _open(value: Any) -> tuple[_Node, Iterable[Any]] | None:
    """The node of a container and its children, or None for a leaf."""
    cls = type(value)
    cls = vars(cls).get("_hopgrad_of", cls)  # a copy of the user's class, made while a function is traced
    container = _container(cls)
    if container is None:
        return None
    children, static = container[0](value)
    if isinstance(children, Mapping):
        return _Node(cls, len(children), static, tuple(children)), children.values()
    return _Node(cls, len(children), static), children


def _close(node: _Node, children: list[Any]) -> Any:
    """The container with these children: undoes `_open`."""
    container = _container(node.cls)
    assert container is not None  # nothing is ever taken off the registry
    if node.names is None:
        return container[1](node.static, children)
    return container[1](node.static, dict(zip(node.names, children, strict=True)))


def _in_order_of(node: _Node, other: _Node, children: Iterable[Any]) -> list[Any] | None:
    """The children of `other` in the order of `node`, or None where the two containers do not match."""
    # What a missing key of a defaultdict would give does not matter here.
    static = node.static == other.static or node.cls is defaultdict
    if node.cls is not other.cls or node.size != other.size or not static:
        return None
    if node.names is None or other.names is None:
        return list(children) if node.names is other.names else None
    by_name = dict(zip(other.names, children, strict=True))
    return [by_name[name] for name in node.names] if by_name.keys() == set(node.names) else None


def _fold(structure: Structure, leaves: list[T], combine: Callable[[_Node, list[T]], T]) -> T:
    """Combine the leaves bottom-up: read backwards, each container comes right after its children."""
    done: list[T] = []
    remaining = reversed(leaves)
    for node in reversed(structure.nodes):
        if node is None:
            done.append(next(remaining))
            continue
        first = len(done) - node.size
        children = done[first:][::-1]
        del done[first:]
        done.append(combine(node, children))
    return done[0]


def _trails(structure: Structure) -> Iterator[list[Key]]:
    """The keys that lead to each node: one list, changed on the way, as a copy for each would be slow."""
    trail: list[Key] = []
    pending: list[Iterator[Key]] = []
    for node in structure.nodes:
        yield trail
        if node is not None and node.size:
            pending.append(_keys(node))
            trail.append(next(pending[-1]))
            continue
        while pending:
            key = next(pending[-1], None)
            if key is not None:
                trail[-1] = key
                break
            pending.pop()
            trail.pop()


def _keys(node: _Node) -> Iterator[Key]:
    if node.names is None:
        return (Key("index", position) for position in range(node.size))
    kind: Literal["item", "attribute"] = "item" if issubclass(node.cls, dict) else "attribute"
    return (Key(kind, name) for name in node.names)


def _show(node: _Node, children: list[str]) -> str:
    """A container as text; cut at each level, or a deep one would take quadratic time."""
    if node.cls is type(None):
        return "None"
    if node.names is not None:
        labels = (f"{key}"[1:-1] + ": " if key.kind == "item" else f"{key.value}=" for key in _keys(node))
        children = [label + child for label, child in zip(labels, children, strict=True)]
        if _registry.get(node.cls) is None and isinstance(node.static, tuple):
            children += [f"{name}={value!r}" for name, value in node.static]
    inside = ", ".join(children) + ("," if node.cls is tuple and node.size == 1 else "")
    text = _BRACKETS.get(node.cls, node.cls.__name__ + "({})").format(inside)
    return text if len(text) <= _WIDTH else text[:_WIDTH] + "..."
