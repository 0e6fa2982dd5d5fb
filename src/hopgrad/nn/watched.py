"""Models whose calls somebody watches, module by module."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

__all__ = ["watched"]

Around = Callable[[str, Any, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
"""``around(name, module, call, args, keywords)`` makes the call of a module, ``call(*args, **keywords)``."""


def watched(model: Any, around: Around) -> Any:
    """A copy of a model in which `around` makes the calls of its modules.

    Args:
        model: Modules (dataclasses that can be called), in lists, tuples, dicts and other dataclasses.
        around: Gets the path of the module ("" for the whole), the module itself, its call, and the arguments.
    """
    return _watched(model, "", around)


def _watched(module: Any, name: str, around: Around) -> Any:
    if type(module) in (list, tuple):
        return type(module)([_watched(v, f"{name}.{k}", around) for k, v in enumerate(module)])
    if type(module) is dict:
        return {k: _watched(v, f"{name}.{k}", around) for k, v in module.items()}
    if isinstance(module, type) or not hasattr(type(module), "__dataclass_fields__"):
        return module
    cls = type(module)
    made = object.__new__(cls)
    for key, value in vars(module).items():
        inside = name if key == "layers" else f"{name}.{key}"  # layers of Sequential go by number alone
        object.__setattr__(made, key, _watched(value, inside, around))
    if not callable(module):
        return made

    def call(self: Any, *args: Any, **keywords: Any) -> Any:
        return around(name.lstrip("."), module, functools.partial(cls.__call__, self), args, keywords)

    object.__setattr__(made, "__class__", type(cls.__name__, (cls,), {"__call__": call}))
    return made
