"""What the code of a function does to the world outside, as far as it can be read off."""

from __future__ import annotations

import functools
import sys
import sysconfig
from types import CodeType, FunctionType
from typing import Any

from hopgrad.standins import is_as_users


@functools.lru_cache(maxsize=4096)
def _codes(code: CodeType) -> tuple[CodeType, ...]:
    """A code object and those of the functions and classes defined inside it."""
    found = [code]
    for inner in found:
        found.extend(c for c in inner.co_consts if isinstance(c, CodeType))
    return tuple(found)


@functools.lru_cache(maxsize=4096)
def effects(code: CodeType) -> tuple[frozenset[str], frozenset[str], bool]:
    """(globals and free variables that it assigns to, whether it needs its globals as an ordinary dict)."""
    import dis  # not needed until a function is traced

    stores, free, plain = set(), set(), False
    for inner in _codes(code):
        plain = plain or not {"eval", "exec", "globals", "vars"}.isdisjoint(inner.co_names)
        for step in dis.get_instructions(inner):
            if step.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
                stores.add(step.argval)
            elif step.opname in ("STORE_DEREF", "DELETE_DEREF") and step.argval in inner.co_freevars:
                free.add(step.argval)
            elif step.opname == "LOAD_BUILD_CLASS":
                plain = True
    return frozenset(stores), frozenset(free & set(code.co_freevars)), plain


def methods_mention(module: dict[str, Any], names: frozenset[str]) -> bool:
    """Whether a class of the module reads one of these globals, itself or through the module's functions."""
    functions = {k: v for k, v in module.items() if type(v) is FunctionType and v.__globals__ is module}
    mentioned = set(names)
    while True:
        more = {k for k, v in functions.items() if k not in mentioned and _mentions(v, mentioned)}
        if not more:
            break
        mentioned |= more
    for value in list(module.values()):
        if isinstance(value, type) and value.__module__ == module.get("__name__"):
            for member in vars(value).values():
                member = getattr(member, "__func__", getattr(member, "fget", member))
                if type(member) is FunctionType and _mentions(member, mentioned):
                    return True
    return False


def mentions(module: dict[str, Any], name: str) -> bool:
    """Whether a function or method of the module has a global or attribute of this name in its code."""
    members = list(module.values())
    for value in list(members):
        if isinstance(value, type) and value.__module__ == module.get("__name__"):
            members.extend(getattr(m, "__func__", getattr(m, "fget", m)) for m in list(vars(value).values()))
    return any(type(m) is FunctionType and _mentions(m, {name}) for m in members)


def _mentions(f: FunctionType, names: set[str]) -> bool:
    return any(not names.isdisjoint(code.co_names) for code in _codes(f.__code__))


@functools.cache
def _libraries() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    return tuple(paths[name] for name in ("purelib", "platlib"))


def is_library(module: str) -> bool:
    """Whether a module is not the user's own: part of Python, or installed."""
    if is_as_users(module):
        return False
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names and top != "__main__":
        return True
    found = sys.modules.get(module)
    file = getattr(found, "__file__", None) or ""
    return top in ("hopgrad", "numpy", "scipy") or file.startswith(_libraries())


def is_ours(f: Any) -> bool:
    """Whether a function was made by hopgrad, such as the gradient of a user's: what that one reads is recorded."""
    if type(f) is not FunctionType:
        return getattr(type(f), "made_by_hopgrad", False) is True
    module = str(f.__globals__.get("__name__", ""))
    return module.partition(".")[0] == "hopgrad" and not is_as_users(module)
