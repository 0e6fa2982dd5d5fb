"""Random small in-place programs in plain NumPy: new arrays, views, views of views, writing through all of them.

A program is text. It is built by running it: a statement that NumPy refuses is left out. ``np`` is plain NumPy, ``hnp``
is ``hopgrad.numpy`` where it is traced; ``look`` is called with every array at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy

NEW = """
x*1.5 | x.copy() | np.zeros_like(x) | hnp.zeros((3,4)) | hnp.ones((2,3,2)) | hnp.arange(6.0) | x.T+1 | x[:,::-1]*2
| np.sin(x) | x.sum(0) | np.stack([x,x]) | x[[0,2]] | x[:,[1,3]] | np.ones_like(x.T)
| hnp.array([[1.0,2.0],[3.0,4.0]]) | x.copy("F") | np.where(x>0,x,0.0) | hnp.full((2,2),x[0,0])
| np.concatenate([x,x],1) | x@x.T | x.astype(float) | np.copy(x.T) | hnp.zeros(()) | np.tensordot(x,x,0) | x | x.T
| x[1] | hnp.zeros((3,4),dtype=int) | hnp.eye(3) | hnp.array([x[0],x[1]])
"""
FROM = """
{a}*2 | {a}+1.0 | {a}.copy() | np.cos({a}) | np.zeros_like({a}) | {a}.flatten() | {a}.T*3 | hnp.array({a})
| hnp.asarray({a}) | {a}+{b} | np.outer({a},{a})
"""
VIEW = """
{a}[{i}] | {a}[{i}] | {a}[{i}] | {a}.T | {a}.reshape({s}) | {a}.reshape({s}) | {a}.reshape({s},order="F")
| {a}.ravel() | {a}.ravel("F") | np.ravel({a},"K") | {a}.reshape({s},order="A") | np.expand_dims({a},0)
| np.expand_dims({a},-1) | np.moveaxis({a},0,-1) | np.swapaxes({a},0,-1) | np.squeeze({a}) | np.flip({a})
| np.flip({a},0) | np.split({a},1)[0] | np.array_split({a},2,-1)[0] | np.atleast_2d({a}) | np.atleast_3d({a})
| np.diagonal({a}) | np.broadcast_to({a},(2,)+{a}.shape) | np.rot90({a},{k}) | np.real({a}) | {a}.view()
| {a}.astype(float,copy=False) | {a}.conj() | np.transpose({a}) | np.einsum("i...->...i",{a}) | np.diag({a})
| hnp.asarray({a}) | np.atleast_1d({a},{b})[0] | np.unstack({a})[0] | np.broadcast_arrays({a},{a})[1] | {a}.squeeze()
| {a}[np.argmax({b})%max(len({a}),1)] | {a}[{a}>0] | {a}[np.argmax({b})%max(len({a}),1),...]
| np.rollaxis({a},-1) | hnp.ascontiguousarray({a}) | np.nan_to_num({a}) | np.diff({a},n=0) | np.roll({a},0)
| np.tile({a},1) | np.resize({a},{a}.shape) | np.triu({a}) | np.clip({a},None,None) | +{a} | np.matrix_transpose({a})
| {a}.diagonal() | np.lib.stride_tricks.sliding_window_view({a}.reshape(-1),2) | {a}[...] | np.concatenate([{a}])
| {a}[{a}.argmax(0)] | hnp.asfortranarray({a}) | np.hsplit({a},1)[0] | {a}.swapaxes(0,1) | {a}.mT
"""
WRITE = """
{a}[{i}]={v} | {a}[{i}]+={v} | {a}[{i}]*={v} | {a}[{i}]-={v} | {a}[{i}]/=(2.5+np.cos({v})) | {a}+={v} | {a}*={v}
| {a}-={v} | {a}[...]={v} | {a}[np.abs({a})>0.7]={c} | {a}[[0,{k}]]+={v} | {a}[[{k},{k}]]={v}
| np.add({a},{v},out={a}) | np.copyto({a},{v})
| np.multiply({a},{v},out={a},where=np.arange({a}.size).reshape({a}.shape)%2==0) | {a}.fill({c}) | np.sin({a},out={a})
| for row in {a}: row+={c} | {a}.flat[{k}]={c} | {a}.flat[::2]={c} | np.fill_diagonal({a},{c})
| np.add.at({a},[0,0],{c}) | np.sum(x,axis=0,out={a}) | np.put({a},[0],{c}) | {a}[0]={a}[-1] | {a}[:]={a}[::-1]
| {a}[1:]+={a}[:-1] | {a}**=2 | {a}[0],{a}[-1]={a}[-1],{a}[0] | {a}.T[0]={c} | {a}.clip(-1,1,out={a})
| np.cumsum({a},0,out={a}) | np.putmask({a},{a}>0,{c}) | {a}[{a}>{c}]={c} | {a}[numpy_mask({a})]={c} | {a}@={a}
| {a}[{i}]=[{c}] | np.subtract.at({a},[0],{c}) | {a}.put([1],{c}) | {a}[np.argmax({b})%max(len({a}),1)]={c}
| {a}[np.argmin({b})%max(len({a}),1)]+={v} | np.multiply.at({a},[0,0],{c}) | {a}.flat={c} | {a}.flat[:3]=[{c},2.0]
| np.place({a},{a}>0,[{c},1.0]) | {a}[{a}<0]*={c} | np.put({a},[0,1,0],{v}) | {a}[np.argsort({a}.sum(-1))]={v}
| {a}[{k}:np.argmax({b})]={c} | {a}.real={v} | np.maximum.at({a},[0,-1],{v}) | {a}[{a}>{c}]={a}[{a}>{c}]*2
"""


def mask(array: Any) -> Any:
    """Every other row."""
    return numpy.arange(len(array)) % 2 == 0


def options(text: str) -> list[str]:
    return [part.strip() for part in text.split("|")]


class Builder:
    """Grows one program, in plain NumPy."""

    def __init__(self, random: Random, x: Any) -> None:
        self.random = random
        self.lines: list[str] = []
        self.env: dict[str, Any] = {"np": numpy, "hnp": numpy, "numpy_mask": mask, "x": x}
        self.arrays: list[str] = []

    def run(self, line: str, new: str = "") -> None:
        env = dict(self.env)
        try:
            exec(line, env)
        except Exception:
            return
        self.env = env
        self.lines.append(line)
        if new and isinstance(env[new], numpy.ndarray):
            self.arrays.append(new)

    def index(self, shape: tuple[int, ...]) -> str:
        parts = []
        for n in shape:
            if self.random.random() < 0.25 or not n:
                break
            k = self.random.randrange(n)
            parts.append(self.random.choice([str(k), str(k - n), f"{k}:", "::-1", "::2", ":", f":{k + 1}"]))
        if self.random.random() < 0.15:
            parts.append("None")
        return ", ".join(parts) if parts else "..."

    def shape(self, size: int) -> str:
        divisors = [n for n in range(1, size + 1) if size % n == 0] or [0]
        first = self.random.choice(divisors)
        rest = size // first if first else 0
        second = self.random.choice([n for n in divisors if n and rest % n == 0] or [1])
        return self.random.choice(["-1", f"({first}, -1)", f"({first}, {second}, {rest // second})", f"({size},)"])

    def fill(self, template: str) -> str:
        if not self.arrays:
            return template
        a, b = self.random.choice(self.arrays), self.random.choice(self.arrays)
        array = self.env[a]
        number = self.random.choice(
            [f"{self.random.uniform(-2, 2):.2f}", f"x[{self.random.randrange(3)}, {self.random.randrange(4)}]",
             f"{b}.sum()*0.1", f"np.sin({b}).mean()"]
        )  # fmt: skip
        value = self.random.choice([number, number, b, f"np.cos({b})", f"{a}[::-1]", f"{b}*x[0, 1]"])
        words = {
            "a": a, "b": b, "i": self.index(array.shape), "s": self.shape(array.size),
            "k": str(self.random.randrange(max(len(array), 1) if array.ndim else 1)), "c": number, "v": value,
        }  # fmt: skip
        for word, text in words.items():
            template = template.replace("{" + word + "}", text)
        return template

    def step(self) -> None:
        name = f"a{len(self.lines)}"
        kind = self.random.random()
        if not self.arrays or kind < 0.2:
            source = self.random.choice(options(NEW) + (options(FROM) if self.arrays else []))
            self.run(f"{name} = {self.fill(source)}", name)
        elif kind < 0.6:
            self.run(f"{name} = {self.fill(self.random.choice(options(VIEW)))}", name)
        else:
            self.run(self.fill(self.random.choice(options(WRITE))))


def program(random: Random, x: Any, steps: int) -> str:
    """The text of a function ``f(x)`` that depends on every array there is at the end."""
    builder = Builder(random, x.copy("K"))
    with numpy.errstate(all="ignore"):
        for _ in range(2 * steps):
            builder.step()
            if len(builder.lines) == steps:
                break
    lines = [*builder.lines, "out = 0.0*x[0, 0]"]
    for k, name in enumerate(dict.fromkeys(builder.arrays)):
        lines.append(f"out = out + np.sum(np.cos(np.arange({name}.size)*0.37+{k}).reshape({name}.shape)*{name})")
        lines.append(f"look({name})")
    return "def f(x):\n    " + "\n    ".join(lines) + "\n    return out"


def compiled(text: str, hnp: Any, look: Callable[[Any], Any]) -> Any:
    """The function."""
    env: dict[str, Any] = {"np": numpy, "hnp": hnp, "numpy_mask": mask, "look": look}
    exec(compile(text, "<program>", "exec"), env)
    return env["f"]
