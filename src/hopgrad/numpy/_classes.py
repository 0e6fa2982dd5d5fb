"""Classes that stand for one of NumPy's or Python's own, so that calling them takes traced values."""

from __future__ import annotations

import copyreg
import types
from collections.abc import Callable
from typing import Any

import numpy

from hopgrad.hops.elementwise import cartesian, imag, real
from hopgrad.hops.surface import find_builder, lift
from hopgrad.trace.tracer import (
    ARRAY,
    PYTHON,
    SCALAR,
    Tracer,
    array,
    call,
    converted,
    has_traced,
    is_traced,
    real_data,
)


class Stand(type):
    """The class of classes that stand for another one: equal to it, with its instances and subclasses.

    Calling one calls ``make``. A class derived from one is derived from the original.
    """

    original: type
    make: Callable[..., Any]

    def __new__(mcls, name: str, bases: tuple[type, ...], space: dict[str, Any], **options: Any) -> Any:
        return types.new_class(name, tuple(map(original_of, bases)), options, lambda made: made.update(space))

    def __call__(cls, *args: Any, **keywords: Any) -> Any:
        return cls.make(*args, **keywords)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls.original)

    def __subclasscheck__(cls, subclass: Any) -> bool:
        return issubclass(original_of(subclass), cls.original)

    def __eq__(cls, other: object) -> bool:
        return other is cls or other is cls.original

    def __hash__(cls) -> int:
        return hash(cls.original)

    def __repr__(cls) -> str:
        return repr(cls.original)

    @property
    def dtype(cls) -> Any:
        """For ``np.dtype``, which knows Python's float, but not a class derived from it."""
        return numpy.dtype(cls.original)


copyreg.pickle(Stand, lambda cls: (original_of, (cls.original,)))


def stand_for(original: type, make: Callable[..., Any], derived: bool = True) -> Any:
    """A class that stands for `original`, and `make` for its constructor; derived from it where that is allowed."""
    space = {"original": original, "make": staticmethod(make), "__slots__": (), "__doc__": original.__doc__,
             "__module__": original.__module__, "__qualname__": original.__qualname__}  # fmt: skip
    if not derived:
        del space["__slots__"]
    return type.__new__(Stand, original.__name__, (original,) if derived else (), space)


def original_of(cls: Any) -> Any:
    """The class that another one stands for, or that one itself."""
    return cls.original if type(cls) is Stand else cls


# -- NumPy's numbers -------------------------------------------------------------------------------------------------


def _number(plain: type) -> Any:
    dtype = numpy.dtype(plain)

    def make(*args: Any, **keywords: Any) -> Any:
        if len(args) != 1 or keywords or not has_traced(args[0]):
            return plain(*[real_data(a) if type(a) is Tracer else a for a in args], **keywords)
        value = args[0] if type(args[0]) is Tracer else array(args[0])
        made = converted(value, dtype)
        if made._kind == PYTHON:
            return Tracer(made._trace, made._id, SCALAR)
        # NumPy makes a scalar of an array without axes, and a new array of another one.
        return made if made._kind == SCALAR else made[()] if not made._aval.shape else made.copy()

    # NumPy's bool cannot be derived from.
    return stand_for(plain, make, derived=plain is not numpy.bool)


NUMBERS: dict[type, Any] = {
    plain: _number(plain)
    for plain in (
        numpy.bool, numpy.byte, numpy.short, numpy.intc, numpy.int_, numpy.longlong, numpy.ubyte, numpy.ushort,
        numpy.uintc, numpy.uint, numpy.ulonglong, numpy.float16, numpy.float32, numpy.float64, numpy.longdouble,
        *(getattr(numpy, name) for name in ("long", "ulong", "intp", "uintp")), numpy.complex64, numpy.complex128,
    )
}  # fmt: skip
"""What stands for each of NumPy's types of numbers."""


# -- Python's numbers ------------------------------------------------------------------------------------------------


def python_float(value: Any) -> Any:
    """A traced number as a Python float; what ``float`` does to other values."""
    if type(value) is not Tracer or not is_traced(value):
        return float(value)
    if value._kind == PYTHON and value._aval.dtype.kind == "c":
        float(1j)  # type: ignore[arg-type]  # Python's own error
    if value._aval.shape:
        float(numpy.ones(value._aval.shape))  # NumPy's own error, or from some version on a warning
        value = value.reshape(())
    made = converted(value, numpy.dtype(float))
    return Tracer(made._trace, made._id if made._kind != ARRAY else made[()]._id, PYTHON)


def _float(*args: Any, **keywords: Any) -> Any:
    return python_float(args[0]) if len(args) == 1 and not keywords else float(*args, **keywords)


FLOAT = stand_for(float, _float)
"""Stands for Python's ``float``."""


def _complex(*args: Any, **keywords: Any) -> Any:
    """Of two traced parts as Python has it: x + i y."""
    if keywords or len(args) > 2 or not has_traced(args):
        plain: list[Any] = [real_data(a) if type(a) is Tracer else a for a in args]
        return complex(*plain, **keywords)
    parts = [_complex_number(a) for a in args]
    if len(parts) == 1:
        return parts[0]

    def joined(*values: Any) -> Any:
        builder = find_builder(values)
        x, y = (lift(v, builder) for v in values)
        return cartesian(real(x) - imag(y), imag(x) + real(y))

    made = call(joined, tuple(parts), {}, None)
    return Tracer(made._trace, made._id, PYTHON)


def _complex_number(value: Any) -> Any:
    if type(value) is not Tracer or not is_traced(value):
        return complex(value)
    made = converted(value.reshape(()) if value._kind == ARRAY else value, numpy.dtype(complex))
    return Tracer(made._trace, made._id, PYTHON)


COMPLEX = stand_for(complex, _complex)
"""Stands for Python's ``complex``."""


PYTHONS: dict[type, Any] = {float: FLOAT, complex: COMPLEX}
"""What stands for Python's own types of numbers."""


def _type(*args: Any, **keywords: Any) -> Any:
    if len(args) == 1 and not keywords:
        cls = args[0].__class__ if type(args[0]) is Tracer else type(args[0])
        cls = vars(cls).get("_hopgrad_class", cls)  # of the view of an object, which code is not to tell apart
        return PYTHONS.get(cls) or (TYPE if cls is type or cls is Stand else NUMBERS.get(cls, cls))
    if len(args) == 3:
        return types.new_class(args[0], tuple(map(original_of, args[1])), keywords, lambda made: made.update(args[2]))
    return type(*args, **keywords)


TYPE = stand_for(type, _type)
"""Stands for Python's ``type``, whose answers are the stand-ins where there are some: ``type(x) is float``."""
