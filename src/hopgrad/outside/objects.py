"""Classes and objects of the user as traced functions see them.

A method of a class reads the globals of its own module, so a class is handed out as a *copy*, a subclass whose methods
are copies. Objects made inside belong to the copy. An object from outside is handed out as a *view*, an object of the
copy that shares the attributes of the real one, and sees each attribute that is read.
"""

from __future__ import annotations

import abc
import functools
import sys
import types
import typing
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from hopgrad.outside.code import is_library, mentions
from hopgrad.outside.reads import MISSING, Equal, Get, Read
from hopgrad.standins import is_as_users

if TYPE_CHECKING:
    from hopgrad.outside.world import Outside

_PLAIN_BASES = (object, abc.ABC, typing.Generic, typing.Protocol)
_PROTOCOLS = frozenset({
    "__array__", "__array_function__", "__array_interface__", "__array_struct__", "__array_ufunc__", "__buffer__",
    "__dlpack__", "__getattribute__",
})  # fmt: skip
"""What a class may define by which it is no ordinary one: other code looks into its instances."""
_KEPT = frozenset({
    "__abstractmethods__", "__annotations__", "__class_getitem__", "__dataclass_fields__", "__dataclass_params__",
    "__dict__", "__doc__", "__firstlineno__", "__hash__", "__match_args__", "__module__", "__orig_bases__",
    "__parameters__", "__qualname__", "__slots__", "__static_attributes__", "__weakref__", "_abc_impl",
})  # fmt: skip
"""Members of a class that its copy inherits."""


@functools.lru_cache(maxsize=4096)
def is_copyable(cls: Any) -> bool:
    """Whether a class is the user's, an ordinary one: its instances have their state in ``__dict__`` alone."""
    for base in cls.__mro__:
        if base in _PLAIN_BASES:
            continue
        members = vars(base)
        if type(base) not in (type, abc.ABCMeta) or is_library(base.__module__) or not _PROTOCOLS.isdisjoint(members):
            return False
    return cls not in _PLAIN_BASES


def users_class(cls: type) -> type:
    """The user's class of a copy or view; any other class itself."""
    found: type = vars(cls).get("_hopgrad_of", cls)
    return found


def is_copy(cls: type) -> bool:
    """Whether a class is a copy."""
    return "_hopgrad_of" in vars(cls)


class _Copied(type):
    """The class of copies: an instance of the original counts as theirs."""

    _hopgrad_objects: Objects

    def __instancecheck__(cls, instance: Any) -> bool:
        own = users_class(cls)
        return isinstance(instance, own) if own is not cls else type.__instancecheck__(cls, instance)

    def __subclasscheck__(cls, other: type) -> bool:
        own = users_class(cls)
        return issubclass(users_class(other), own) if own is not cls else type.__subclasscheck__(cls, other)

    @property
    def __mro__(cls) -> tuple[type, ...]:
        known = cls._hopgrad_objects.copies
        return tuple(known.get(base, base) for base in type.mro(users_class(cls)))

    @property
    def __bases__(cls) -> tuple[type, ...]:  # type: ignore[override]
        known = cls._hopgrad_objects.copies
        return tuple(known.get(base, base) for base in users_class(cls).__bases__)

    def __subclasses__(cls) -> list[Any]:
        known = cls._hopgrad_objects.copies
        found: list[type] = type.__subclasses__(users_class(cls))
        return [known.get(sub, sub) for sub in found if not is_copy(sub)]

    def __eq__(cls, other: object) -> bool:
        return isinstance(other, type) and users_class(other) is users_class(cls)

    def __setattr__(cls, name: str, value: Any) -> None:
        type.__setattr__(cls, name, value)
        if is_copy(cls) and name not in _KEPT:
            cls._hopgrad_objects.assigned(users_class(cls), name, value)

    def __delattr__(cls, name: str) -> None:
        type.__delattr__(cls, name)
        if is_copy(cls):
            delattr(users_class(cls), name)

    def __hash__(cls) -> int:
        own = users_class(cls)
        return hash(own) if own is not cls else type.__hash__(cls)


class _CopiedABC(_Copied, abc.ABCMeta):
    """The same for abstract classes."""


def _quiet() -> type:
    """A base that keeps the hooks of others from being called for copies, which are no subclasses of the user's."""
    return type("Quiet", (), {"__slots__": (), "__init_subclass__": classmethod(lambda cls, **keywords: None)})


class Objects:
    """The copies of classes and the views of objects during one trace."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self.copies: dict[type, type] = {}
        self._views: dict[type, type] = {}
        self._seen: dict[int, tuple[Any, Any]] = {}
        """By identity of the real object, which it keeps alive: this and its view."""
        self._reals: dict[int, Any] = {}
        """By identity of the view: the real object."""
        self.attributes: list[tuple[type, str]] = []
        """Attributes of classes that were assigned to."""
        self.listed = False
        """Whether the user's code lists subclasses: then copies must be gone when the call is over."""
        self._read: dict[tuple[int, str], tuple[Any, Any]] = {}
        """By identity of an object's attributes, and name: the value that was read and what was handed out for it."""

    def copy(self, cls: type, frame: FrameType | None) -> type:
        """The copy of a user's class; what it is made of counts as read."""
        known = self.copies.get(cls)
        if known is not None:
            return known
        outside = self._outside
        bases = [self.copy(base, frame) for base in cls.__bases__ if base not in _PLAIN_BASES]
        members: dict[str, Any] = {
            "_hopgrad_of": cls, "_hopgrad_objects": self,
            "__module__": cls.__module__, "__qualname__": cls.__qualname__,
        }  # fmt: skip
        if not cls.__dictoffset__:
            members["__slots__"] = ()
        hooked = any("__init_subclass__" in vars(base) for base in cls.__mro__[:-1] if base not in _PLAIN_BASES)
        quiet = (_quiet(),) if hooked else ()
        made = (_CopiedABC if issubclass(type(cls), abc.ABCMeta) else _Copied)(
            cls.__name__, (*quiet, cls, *bases), members
        )
        self.copies[cls] = made
        self.listed = self.listed or mentions(vars(sys.modules.get(cls.__module__, sys)), "__subclasses__")
        known_reads = len(outside.reads)
        outside.reads.append(Equal(functools.partial(names_of, cls), names_of(cls)))
        for name, member in list(vars(cls).items()):
            if name not in _KEPT and not _is_made_repr(member):
                get: Get = functools.partial(member_of, cls, name)
                handed = self._member(member, get, f"{cls.__name__}.{name}", frame)
                if handed is not member:
                    type.__setattr__(made, name, handed)
        if is_as_users(cls.__module__):  # hopgrad's own classes never change
            del outside.reads[known_reads:]
        return made

    def _member(self, member: Any, get: Get, name: str, frame: FrameType | None) -> Any:
        outside = self._outside
        if isinstance(member, (staticmethod, classmethod)):
            inner = outside.hand(member.__func__, lambda: getattr(get(), "__func__", MISSING), name, frame)
            return type(member)(inner)
        if type(member) is property:
            found = {
                key: outside.hand(part, functools.partial(_part, get, key), name, frame)
                for key in ("fget", "fset", "fdel")
                if (part := getattr(member, key)) is not None
            }
            return property(**found, doc=member.__doc__)
        if type(member) is functools.cached_property:
            made = functools.cached_property(outside.hand(member.func, lambda: get().func, name, frame))
            made.attrname = member.attrname
            return made
        return outside.hand(member, get, name, frame)

    def assigned(self, cls: type, name: str, value: Any) -> None:
        """Pass on an assignment to an attribute of a class."""
        self._outside.trace.only_once(f"assigns to {cls.__name__}.{name}", None)
        self._outside.made_inside(value)
        setattr(cls, name, value)
        self.attributes.append((cls, name))

    def view(self, real: Any, frame: FrameType | None) -> Any:
        """The view of an object from outside."""
        known = self._seen.get(id(real))
        if known is not None:
            return known[1]
        cls = type(real)
        self._outside.reads.append(Read(functools.partial(type, real), cls))
        seen = self._views.get(cls)
        if seen is None:
            seen = self._views[cls] = self._view_class(self.copy(cls, frame), cls)
        view: Any = object.__new__(seen)
        if cls.__dictoffset__:
            object.__setattr__(view, "__dict__", real.__dict__)
        self._seen[id(real)] = (real, view)
        self._reals[id(view)] = real
        return view

    def _view_class(self, copied: type, cls: type) -> type:
        objects = self

        def get_attribute(view: Any, name: str) -> Any:
            frame = sys._getframe(1)
            if objects._outside.trace.closed:
                return object.__getattribute__(view, name)
            if name[:2] == "__":
                if name == "__class__":
                    return copied
                if name == "__dict__":
                    objects._outside.trace.only_once(f"reads all attributes of a {cls.__name__}", frame)
                return object.__getattribute__(view, name)
            found = _static(cls, name)
            if type(found) is types.MemberDescriptorType:  # one of __slots__
                real = objects.real(view)
                handed = objects.attribute(real, name, functools.partial(_slot, found, real), cls, frame)
            elif hasattr(type(found), "__set__") or not cls.__dictoffset__:  # such as a property
                return object.__getattribute__(view, name)
            else:
                attributes = object.__getattribute__(view, "__dict__")
                get: Get = functools.partial(attributes.get, name, MISSING)
                handed = objects.attribute(attributes, name, get, cls, frame)
            return object.__getattribute__(view, name) if handed is MISSING else handed

        def set_attribute(view: Any, name: str, value: Any) -> None:
            objects._outside.trace.only_once(f"assigns to {cls.__name__}.{name}", sys._getframe(1))
            objects._outside.made_inside(value)
            found = _static(cls, name)
            if type(found) is types.MemberDescriptorType:
                found.__set__(objects.real(view), value)
            else:
                plain: Any = copied
                plain.__setattr__(view, name, value)

        def delete_attribute(view: Any, name: str) -> None:
            objects._outside.trace.only_once(f"deletes {cls.__name__}.{name}", sys._getframe(1))
            found = _static(cls, name)
            if type(found) is types.MemberDescriptorType:
                found.__delete__(objects.real(view))
            else:
                plain: Any = copied
                plain.__delattr__(view, name)

        members: dict[str, Any] = {
            "_hopgrad_of": cls, "_hopgrad_class": copied,
            "__module__": cls.__module__, "__qualname__": cls.__qualname__,
            "__getattribute__": get_attribute, "__setattr__": set_attribute, "__delattr__": delete_attribute,
        }  # fmt: skip
        if cls.__eq__ is object.__eq__:  # type: ignore[comparison-overlap]  # it is inherited
            members["__eq__"] = lambda view, other: objects.real(view) is objects.real(other)
            members["__hash__"] = lambda view: hash(objects.real(view))
        seen = type(copied)(cls.__name__, (copied,), members)
        return seen

    def attribute(self, owner: Any, name: str, get: Get, cls: type, frame: FrameType | None) -> Any:
        """An attribute of a real object as its view shows it, or `MISSING` where the object itself has none."""
        value = get()
        known = self._read.get((id(owner), name))
        if known is not None and known[0] is value:
            return known[1]
        if value is MISSING:
            self._outside.reads.append(Read(get, MISSING))
            handed = MISSING
        else:
            handed = self._outside.hand(value, get, f"{cls.__name__}.{name}", frame)
        self._read[id(owner), name] = (value, handed)
        return handed

    def real(self, value: Any) -> Any:
        """The real object of a view; anything else itself."""
        return self._reals.get(id(value), value)

    def views(self) -> list[Any]:
        """The real objects of which there are views."""
        return [real for real, _ in self._seen.values()]


def _static(cls: type, name: str) -> Any:
    """What a class has under a name, without asking it."""
    return next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)


def _slot(descriptor: Any, real: Any) -> Any:
    try:
        return descriptor.__get__(real)
    except AttributeError:
        return MISSING


def put_slots(value: Any, outer: Callable[[Any], Any]) -> None:
    """Traced values in the slots of an object become what they stand for."""
    for base in type(value).__mro__:
        for member in vars(base).values():
            if type(member) is types.MemberDescriptorType and not is_library(base.__module__):
                held = _slot(member, value)
                if held is not MISSING and (found := outer(held)) is not held:
                    member.__set__(value, found)


def _is_made_repr(member: Any) -> bool:
    """Whether this is the ``__repr__`` of a dataclass, which has a state of its own but reads nothing of the user's."""
    return type(member) is types.FunctionType and member.__globals__.get("__name__") == "dataclasses"


def names_of(cls: type) -> tuple[str, ...]:
    """The names of a class's own members."""
    return tuple(vars(cls))


def member_of(cls: type, name: str) -> Any:
    """A member of a class's own, as it stands there."""
    return vars(cls).get(name, MISSING)


def _part(get: Callable[[], Any], key: str) -> Any:
    return getattr(get(), key, MISSING)


def has_attributes(value: Any) -> bool:
    """Whether an object has attributes of its own that may hold traced values."""
    return isinstance(getattr(value, "__dict__", None), dict) and not isinstance(value, (types.ModuleType, type))
