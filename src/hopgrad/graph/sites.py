"""Where a value came from in the user's code: an interned call path, resolved to lines and names only on demand.

While tracing, a site costs one table look-up a frame: the key is (calling site, code object, instruction). File, line,
columns, variable name and enclosing functions are worked out later, from the code object, when somebody asks.
"""

from __future__ import annotations

import dis
import linecache
import os
from bisect import bisect_right
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType, FrameType
from typing import NamedTuple

_PYTHON = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_NETWORKS = _PACKAGE + "nn" + os.sep
_GALLERY = _PACKAGE + "gallery" + os.sep
"""Examples to be read as the user's own code."""


class Location(NamedTuple):
    """A place in a source file. Lines count from 1, columns from 0; ``column_end`` is exclusive; 0 if unknown."""

    file: str
    line: int
    line_end: int
    column: int
    column_end: int
    function: str

    @property
    def source(self) -> str:
        """The line's text, stripped, or '' where the source is not to be had."""
        return linecache.getline(self.file, self.line).strip()

    @property
    def span(self) -> str:
        """The text from ``column`` to ``column_end`` if it lies on one line, else the whole line."""
        text = linecache.getline(self.file, self.line)
        if self.line == self.line_end and self.column_end > self.column and text.isascii():
            return text[self.column : self.column_end]
        return text.strip()

    def __str__(self) -> str:
        where = f"{os.path.basename(self.file)}:{self.line}"
        return f"{where} in {self.function}" if self.function else where


class Layer(NamedTuple):
    """A call of a part of a network: a module, or one of the functions of `hopgrad.nn`.

    ``name`` is how the user reaches the module (``model.blocks[0].norm``), "" where that is not known; ``kind`` its
    class, or the function's name.
    """

    name: str
    kind: str

    def __str__(self) -> str:
        return f"{self.name}: {self.kind}" if self.name else self.kind


class Step(Layer):
    """A step of a loop that was written out; `kind` says which."""

    __slots__ = ()


class Sites:
    """The table of call paths of one trace. Site 0 means nowhere.

    ``modules`` are modules by the ids of their objects, whose calls are told apart then; None: they are not wanted.
    """

    def __init__(self) -> None:
        self.modules: dict[int, Layer] | None = None
        self._layer: dict[int, Layer | None] = {}
        self._parent = [0]
        self._code: list[CodeType | None] = [None]
        self._instruction = [0]
        self._explicit: dict[int, tuple[Location, str | None]] = {}
        self._ids: dict[tuple[object, ...], int] = {}
        self.hits: set[tuple[int, int]] = set()
        """Further (value, site) pairs: an equal value was computed again at that site."""

    def name_module(self, module: object, cls: type, name: str) -> None:
        """Note how a module is reached, if modules are wanted; `cls` is its class as the user knows it."""
        if self.modules is not None:
            self.modules[id(module)] = Layer(name, cls.__name__)

    def reached(self, module: object) -> str:
        """How a module is reached, if that is known; else ""."""
        layer = self.modules.get(id(module)) if self.modules else None
        return layer.name if layer is not None else ""

    def at(self, frame: FrameType | None, root: FrameType | None) -> int:
        """The site of the instruction that `frame` executes now, with its callers up to but without `root`."""
        chain: list[FrameType] = []
        while frame is not None and frame is not root:
            chain.append(frame)
            frame = frame.f_back
        site = 0
        ids = self._ids
        for link in reversed(chain):
            code = link.f_code
            # By identity: hashing a code object hashes its bytecode. The table keeps it alive.
            key: tuple[object, ...] = (site, id(code), link.f_lasti)
            module = None
            if self.modules and code.co_name == "__call__" and code.co_argcount:
                module = self.modules.get(id(link.f_locals.get(code.co_varnames[0])))
                key = (*key, module)
            found = ids.get(key)
            if found is None:
                found = ids[key] = len(self._parent)
                if module is not None:
                    self._layer[found] = module
                self._parent.append(site)
                self._code.append(code)
                self._instruction.append(link.f_lasti)
            site = found
        return site

    def explicit(self, location: Location, name: str | None, parent: int = 0, layer: Layer | None = None) -> int:
        """A new site given by its place, for programs that are not Python functions (text expressions, files)."""
        self._parent.append(parent)
        self._code.append(None)
        self._instruction.append(0)
        site = len(self._parent) - 1
        self._explicit[site] = (location, name)
        self._layer[site] = layer
        return site

    def inside(self, site: int, layer: Layer) -> int:
        """A new site below another: that of a call, or a step of a loop, that stands there."""
        return self.explicit(self._place(site), None, site, layer)

    def moved(self, site: int, above: int, below: int) -> int:
        """A site whose call path goes on from `below` as that of another one does from `above`.

        Of a site that `above` does not lead to, it is `below` itself.
        """
        links = []
        for link in self._links(site):
            if link == above:
                break
            links.append(link)
        else:
            return below
        for link in reversed(links):
            key = (link, below, "moved")
            if key not in self._ids:
                self._parent.append(below)
                self._code.append(self._code[link])
                self._instruction.append(self._instruction[link])
                new = self._ids[key] = len(self._parent) - 1
                if link in self._explicit:
                    self._explicit[new] = self._explicit[link]
                if link in self._layer:
                    self._layer[new] = self._layer[link]
            below = self._ids[key]
        return below

    def _links(self, site: int) -> Iterator[int]:
        while site:
            yield site
            site = self._parent[site]

    def location(self, site: int) -> Location | None:
        """The innermost place that is the user's own: not in hopgrad, NumPy or SciPy (else the innermost)."""
        places = [self._place(link) for link in self._links(abs(site))]
        for place in places:
            if not is_library(place.file):
                return place
        return places[0] if places else None

    def shown(self, site: int) -> tuple[Location | None, Layer | None]:
        """The innermost place in the user's code or in a part of a network, and that part."""
        for link in self._told(site):
            return self._place(link), self.layer(link)
        return self.location(site), None

    def caller(self, site: int) -> int:
        """The place, the user's own or in a part of a network, that called the function of the one `shown`; or 0."""
        told = list(self._told(site))
        return told[1] if len(told) > 1 else 0

    def _told(self, site: int) -> Iterator[int]:
        for link in self._links(abs(site)):
            if self.layer(link) is not None or not is_library(self._place(link).file):
                yield link

    def layer(self, site: int) -> Layer | None:
        """The part of a network whose code this site is in, if it is in such."""
        code = self._code[site]
        if site not in self._layer and code is not None and code.co_filename.startswith(_NETWORKS):
            kind = code.co_qualname.removesuffix(".__call__")
            self._layer[site] = Layer("", kind) if kind.isidentifier() and not kind.startswith("_") else None
        return self._layer.get(site)

    def layers(self, site: int) -> list[tuple[int, Layer]]:
        """The calls of parts of networks that this site lies in, outermost first: where each is, and the part."""
        found = [(self._parent[link], self.layer(link)) for link in self._links(abs(site))]
        return [(caller, layer) for caller, layer in reversed(found) if layer is not None]

    def scope(self, site: int) -> tuple[str, ...]:
        """Names of the enclosing functions, outermost first."""
        names = [self._place(link) for link in self._links(abs(site))]
        return tuple(place.function for place in reversed(names) if place.function and not is_library(place.file))

    def name(self, site: int) -> str | None:
        """The variable to which the result of this site is assigned at once, if it is."""
        for link in self._links(site if site > 0 else 0):
            if link in self._explicit:
                return self._explicit[link][1]
            code = self._code[link]
            if code is None:
                return None
            if _is_of_hopgrad(code.co_filename):
                continue  # a function of NumPy in traced form: what it returns is the value
            target, returned = _assignment(code, self._instruction[link])
            # ``def g(t): return t * t`` with ``h = g(z)``: the product's name is h.
            if not returned:
                return None if is_library(code.co_filename) else target
        return None

    def unpacked(self, site: int) -> tuple[str, ...]:
        """The variables to which the results of this site are assigned at once, as in ``carry, ys = scan(…)``."""
        for link in self._links(site if site > 0 else 0):
            code = self._code[link]
            if code is None or link in self._explicit:
                return ()
            if not is_library(code.co_filename):
                return _targets(code, self._instruction[link])
        return ()

    def written(self, site: int) -> tuple[str | None, bool]:
        """(array variable into whose elements this site writes, as in ``a[i] = v``, whether it does nothing else).

        ``a[i] += v`` computes a sum as well. No name where the array is no plain variable.
        """
        code = self._code[site] if site > 0 and site not in self._explicit else None
        if code is None or is_library(code.co_filename):
            return None, False
        return _element(code, self._instruction[site])

    def _place(self, site: int) -> Location:
        if site in self._explicit:
            return self._explicit[site][0]
        code = self._code[site]
        assert code is not None
        line, line_end, column, column_end = _position(code, self._instruction[site])
        return Location(code.co_filename, line, line_end, column, column_end, _function(code))


@lru_cache(maxsize=1024)
def is_library(file: str) -> bool:
    """Whether a source file is part of hopgrad, NumPy, SciPy or Python."""
    parts = file.replace("\\", "/").split("/")
    if "site-packages" in parts:
        return "numpy" in parts or "scipy" in parts
    return _is_of_hopgrad(file) or file.startswith(_PYTHON)


def _is_of_hopgrad(file: str) -> bool:
    return file.startswith(_PACKAGE) and not file.startswith(_GALLERY)


def _function(code: CodeType) -> str:
    return code.co_qualname.rpartition("<locals>.")[2]


@lru_cache(maxsize=65536)
def _position(code: CodeType, instruction: int) -> tuple[int, int, int, int]:
    for k, (line, line_end, column, column_end) in enumerate(code.co_positions()):
        if 2 * k == instruction:
            return line or code.co_firstlineno, line_end or line or 0, column or 0, column_end or 0
    return code.co_firstlineno, code.co_firstlineno, 0, 0


@lru_cache(maxsize=65536)
def _assignment(code: CodeType, instruction: int) -> tuple[str | None, bool]:
    """(variable that takes the result of this instruction, whether the result is returned instead)."""
    steps = list(dis.get_instructions(code))
    if _step_at(steps, instruction).opname in _ELEMENT_STORES:
        return None, False  # ``a[0] = b = v`` goes on to b, which is v
    # In a frame that waits for a call, the instruction is one of the call's inline caches, which are not listed.
    for step in steps[bisect_right([step.offset for step in steps], instruction) :]:
        if step.opname in ("CACHE", "COPY", "NOP", "PRECALL", "EXTENDED_ARG", "TO_BOOL"):
            continue
        if step.opname.startswith("STORE_") and step.opname in (
            "STORE_FAST", "STORE_NAME", "STORE_GLOBAL", "STORE_DEREF", "STORE_FAST_LOAD_FAST", "STORE_FAST_STORE_FAST",
        ):  # fmt: skip
            target = step.argval
            return (target[0] if isinstance(target, tuple) else str(target)), False
        return None, step.opname in ("RETURN_VALUE", "RETURN_CONST")
    return None, False


@lru_cache(maxsize=65536)
def _targets(code: CodeType, instruction: int) -> tuple[str, ...]:
    """The variables, from left to right, that a tuple is unpacked to right after this instruction; nested ones too."""
    names: list[str] = []
    open_ = 0  # targets that are still to come
    for step in dis.get_instructions(code):
        if step.offset <= instruction or step.opname in _BETWEEN:
            continue
        if step.opname == "UNPACK_SEQUENCE" and (open_ or not names):
            open_ += step.argval - (1 if open_ else 0)
        elif open_ and step.opname.startswith("STORE_") and step.opname not in _ELEMENT_STORES:
            found = step.argval if isinstance(step.argval, tuple) else (step.argval,)
            found = found[:1] if "LOAD" in step.opname else found
            names += [str(name) for name in found]
            open_ -= len(found)
        else:
            return ()
        if not open_:
            return tuple(names)
    return ()


_BETWEEN = ("CACHE", "COPY", "NOP", "PRECALL", "EXTENDED_ARG")
_ELEMENT_STORES = ("STORE_SUBSCR", "STORE_SLICE")
_LOADS = ("LOAD_FAST", "LOAD_FAST_BORROW", "LOAD_FAST_CHECK", "LOAD_NAME", "LOAD_GLOBAL", "LOAD_DEREF")


def _step_at(steps: list[dis.Instruction], instruction: int) -> dis.Instruction:
    return steps[max(bisect_right([step.offset for step in steps], instruction) - 1, 0)]


@lru_cache(maxsize=65536)
def _element(code: CodeType, instruction: int) -> tuple[str | None, bool]:
    """(plain variable of the ``a[…] =`` or ``a[…] +=`` that this instruction belongs to, whether it is the store)."""
    steps = list(dis.get_instructions(code))
    store = _step_at(steps, instruction)
    alone = store.opname in _ELEMENT_STORES
    if store.opname == "BINARY_OP":
        after = [step for step in steps if step.offset > store.offset]
        store = next((step for step in after if step.opname not in ("CACHE", "SWAP", "NOP")), store)
    where = store.positions
    if store.opname not in _ELEMENT_STORES or where is None or where.lineno is None or where.col_offset is None:
        return None, alone
    # The target begins with the array. If that is a variable, nothing else that begins there ends before the target.
    name = None
    for step in steps:
        place = step.positions
        if place is None or place[0] != where[0] or place[2] != where[2]:
            continue
        if step.opname in _LOADS:
            name = str(step.argval)
        elif (place[1] or 0, place[3] or 0) < (where[1] or 0, where[3] or 0):
            return None, alone
    return name, alone


def user_location(frame: FrameType | None) -> Location | None:
    """The innermost frame, from `frame` outwards, that is the user's own code, as a place for error messages."""
    while frame is not None:
        code = frame.f_code
        if not is_library(code.co_filename) and not code.co_filename.startswith("<frozen"):
            line, line_end, column, column_end = _position(code, frame.f_lasti)
            return Location(code.co_filename, line, line_end, column, column_end, _function(code))
        frame = frame.f_back
    return None
