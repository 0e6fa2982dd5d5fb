"""Derivatives of one's own: rules for functions, black boxes, new hops, and derivatives that stop.

* `custom_vjp` and `custom_jvp` give a function a derivative rule;
* `external` lets a function be called that is not looked into, such as a C library or a simulator;
* `stop_gradient` has a value count as constant;
* `elementwise`, `reduction` and `general` define a new hop, with its notation, in the form that hopgrad's own have.
"""

from hopgrad.aval import aval
from hopgrad.custom.boxes import external, stop_gradient
from hopgrad.custom.define import Defined, Map, elementwise, general, reduction
from hopgrad.custom.rules import custom_jvp, custom_vjp
from hopgrad.graph.hop import Function, Infix, Interval, Notation, On

__all__ = [
    "Defined",
    "Function",
    "Infix",
    "Interval",
    "Map",
    "Notation",
    "On",
    "aval",
    "custom_jvp",
    "custom_vjp",
    "elementwise",
    "external",
    "general",
    "reduction",
    "stop_gradient",
]
