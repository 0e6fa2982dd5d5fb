"""Random programs over arrays: broadcasting, slices, writes, reductions, products, loops, indices that are computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

Shape = tuple[int, ...]

LENGTHS = [0, 1, 1, 2, 3, 4, 5, 7, 8, 9, 16, 31, 33, 64]
LONG = [130, 1023, 2049, 2500, 4099]
MOST = 6000
"""How many elements an array has at most."""

UNARY = [
    "np.sin({0})", "np.cos({0})", "np.tanh({0})", "np.arctan({0})", "np.abs({0})", "np.square({0}) * 0.5", "-{0}",
    "np.sqrt(np.abs({0}) + 0.5)", "np.log1p(np.abs({0}))", "np.exp(np.minimum({0}, 1.0))", "np.floor({0} * 3.0)",
    "np.sign({0} - 0.25)", "np.expm1(np.tanh({0}))", "np.cbrt({0} ** 2 + 0.1)", "1.0 / (1.5 + np.cos({0}))",
    "np.maximum({0}, 0.0)", "np.arcsinh({0})", "np.clip({0}, -0.5, 0.75)", "({0} + 2.5) ** 1.5", "np.abs({0}) ** 0.75",
    "{0} ** 3 * 0.1", "np.where({0} > 0.1, {0}, 0.2 * {0})", "np.reciprocal(2.0 + np.tanh({0}))", "np.positive({0})",
    "np.sinh(np.tanh({0}))", "np.log(np.square({0}) + 0.3)", "np.nan_to_num({0})", "{0} * 0.5 + 1.0",
]  # fmt: skip
# What is compared is never one value on both sides: native code may round it otherwise in two places, and NumPy not.
BINARY = [
    "{0} + {1}", "{0} - {1}", "{0} * {1}", "{0} / (np.abs({1}) + 0.75)", "np.maximum({0}, {1} + 0.37)",
    "np.minimum({0}, {1} + 0.37)",
    "np.hypot({0}, {1} + 2.0)", "np.where({0} > {1} + 0.37, {0} * {1}, {1} - 0.5)", "np.arctan2({0}, {1} + 3.0)",
    "np.logaddexp({0}, {1})", "(np.abs({0}) + 0.5) ** np.tanh({1})", "np.where(np.isfinite({0}), {1}, {0})",
    "np.where(({0} < 0.5) & ({1} > -0.5), {0}, {1})", "np.copysign({0}, {1})", "np.fmax({0}, {1} - 0.37)",
]  # fmt: skip
REDUCTIONS = [
    "np.sum({0}, axis={1}, keepdims={2})", "np.mean({0}, axis={1}, keepdims={2})",
    "np.max({0}, axis={1}, keepdims={2})", "np.min({0}, axis={1}, keepdims={2})",
    "np.prod(1.0 + 0.01 * np.tanh({0}), axis={1}, keepdims={2})",
    "np.sqrt(np.var({0}, axis={1}, keepdims={2}) + 0.1)", "np.var({0}, axis={1}, keepdims={2})",
    "np.log(np.sum(np.exp(np.minimum({0}, 2.0)), axis={1}, keepdims={2}))",
    "np.sqrt(np.sum({0} ** 2, axis={1}, keepdims={2}) + 0.1)",
    "np.where(np.any({0} > 1.0, axis={1}, keepdims={2}), 0.5, np.sum({0}, axis={1}, keepdims={2}))",
]  # fmt: skip
NEVER_EMPTY = ("np.max", "np.min", "np.mean", "np.sqrt(np.var", "np.var", "np.log(")


@dataclass
class Program:
    """A function as text, of arrays of these shapes and an array of indices into an axis of any length."""

    source: str
    shapes: list[Shape]
    seed: int
    dtype: Any = np.float64

    def arguments(self, call: int) -> list[Any]:
        """Values for one call; now and then not in C order."""
        numbers = np.random.default_rng([self.seed, call])
        found = []
        for shape in self.shapes:
            value = numbers.normal(size=shape).astype(self.dtype)
            layout = np.random.default_rng([self.seed, len(found)]).integers(6)
            if layout == 0 and len(shape) > 1:
                value = np.asfortranarray(value)
            elif layout == 1 and shape:
                value = np.repeat(value, 2, axis=-1)[..., ::2]
            elif layout == 2 and shape:
                value = value[::-1]
            found.append(value)
        return [*found, numbers.integers(0, 1 << 16, 5)]

    def function(self) -> Callable[..., Any]:
        """The function itself."""
        scope: dict[str, Any] = {"np": np}
        exec(compile(self.source, "<random arrays>", "exec"), scope)
        made: Callable[..., Any] = scope["f"]
        return made

    def __str__(self) -> str:
        return f"{self.source}\n# {self.shapes}, seed {self.seed}, {np.dtype(self.dtype)}"

    __repr__ = __str__


@dataclass
class _Grower:
    random: Random
    lines: list[str] = field(default_factory=list)
    arrays: list[tuple[str, Shape]] = field(default_factory=list)

    def pick(self, options: Any) -> Any:
        return self.random.choice(options)

    def shape(self) -> Shape:
        rank = self.pick([0, 1, 1, 1, 2, 2, 2, 3])
        found: list[int] = [self.pick(LENGTHS) for _ in range(rank)]
        if rank and self.random.random() < 0.2:
            found[self.random.randrange(rank)] = self.pick(LONG)
        while np.prod(found) > MOST:
            found[found.index(max(found))] = self.pick([1, 2, 3])
        return tuple(found)

    def put(self, text: str, shape: Shape) -> str:
        """A statement that names a value."""
        name = f"v{len(self.lines)}"
        self.lines.append(f"{name} = {text}")
        self.arrays.append((name, shape))
        return name

    def array(self, fits: Callable[[Shape], bool] = lambda shape: True) -> tuple[str, Shape] | None:
        found = [a for a in self.arrays if fits(a[1])]
        # Later ones are likelier, so that programs are deep.
        return found[max(self.random.randrange(len(found)) for _ in range(2))] if found else None

    # -- statements

    def unary(self) -> None:
        name, shape = self.array() or ("", ())
        self.put(self.pick(UNARY).format(name), shape)

    def binary(self) -> None:
        name, shape = self.array() or ("", ())

        def fits(other: Shape) -> bool:
            try:
                return bool(np.prod(np.broadcast_shapes(shape, other)) <= MOST)
            except ValueError:
                return False

        other, second = self.array(fits) or ("", ())
        self.put(self.pick(BINARY).format(name, other), np.broadcast_shapes(shape, second))

    def reduction(self) -> None:
        found = self.array(lambda shape: len(shape) > 0)
        if found is None:
            return
        name, shape = found
        axes = tuple(sorted(self.random.sample(range(len(shape)), self.random.randint(1, len(shape)))))
        keep = self.random.random() < 0.4
        way = self.pick(REDUCTIONS)
        if any(not shape[a] for a in axes) and way.startswith(NEVER_EMPTY):
            return
        axis: Any = axes[0] if len(axes) == 1 else axes
        left = tuple(1 if k in axes else n for k, n in enumerate(shape) if keep or k not in axes)
        self.put(way.format(name, axis, keep), left)

    def view(self) -> None:
        found = self.array(lambda shape: len(shape) > 0)
        if found is None:
            return
        name, shape = found
        n, rest = shape[0], shape[1:]
        k = self.random.randint(0, n)
        options: list[tuple[str, Shape]] = [
            (f"{name}[::-1]", shape), (f"{name}[{k}:]", (n - k, *rest)), (f"{name}[:{k}]", (k, *rest)),
            (f"{name}[::2]", (-(-n // 2), *rest)), (f"{name}.T", shape[::-1]), (f"{name}[None]", (1, *shape)),
            (f"{name}.reshape(-1)", (int(np.prod(shape)),)), (f"np.ravel({name})", (int(np.prod(shape)),)),
            (f"np.roll({name}, 1, axis=0)", shape), (f"np.flip({name})", shape), (f"{name}[..., None]", (*shape, 1)),
            (f"np.moveaxis({name}, 0, -1)", (*rest, n)), (f"np.cumsum({name}, axis=0)", shape),
            (f"np.squeeze({name})", tuple(m for m in shape if m != 1)), (f"np.expand_dims({name}, 1)", (n, 1, *rest)),
            (f"np.pad({name}, [(1, 0)] + [(0, 0)] * {len(rest)})", (n + 1, *rest)),
        ]  # fmt: skip
        if np.prod(shape) * 2 <= MOST:
            options += [
                (f"np.concatenate([{name}, {name} * 2.0])", (2 * n, *rest)),
                (f"np.stack([{name}, -{name}])", (2, *shape)),
                (f"np.tile({name}, (2,) + (1,) * {len(rest)})", (2 * n, *rest)),
                (f"np.repeat({name}, 2, axis=0)", (2 * n, *rest)),
                (f"np.broadcast_to({name}, (2, *{name}.shape))", (2, *shape)),
            ]  # fmt: skip
        if n > 1:
            options += [(f"np.diff({name}, axis=0)", (n - 1, *rest)), (f"{name}[1:] - {name}[:-1]", (n - 1, *rest))]
        if n:
            options += [(f"{name}[{self.random.randrange(-n, n)}]", rest)] * 2
            options += [(f"np.sort({name}, axis=0)", shape), (f"{name}[-1:]", (1, *rest))]
        self.put(*self.pick(options))

    def product(self) -> None:
        found = self.array(lambda shape: len(shape) in (1, 2) and np.prod(shape) <= 2600)
        if found is None:
            return
        name, shape = found
        inner = shape[-1]
        other = self.array(lambda s: len(s) in (1, 2) and s[0] == inner and np.prod(s) <= 2600)
        options: list[tuple[str, Shape]] = []
        if other is not None and np.prod((*shape[:-1], *other[1][1:])) <= MOST:
            options += [(f"{name} @ {other[0]} * 0.1", (*shape[:-1], *other[1][1:]))] * 3
        if len(shape) == 2 and shape[0] ** 2 <= MOST:
            options += [(f"{name} @ {name}.T * 0.1", (shape[0], shape[0]))]
            options += [(f"np.einsum('ij,kj->ik', {name}, np.sin({name})) * 0.1", (shape[0], shape[0]))]
        if len(shape) == 2 and shape[0] == shape[1] and shape[0] <= 33:
            eye = f"({name} @ {name}.T * 0.1 + 2.0 * np.eye({inner}, dtype={name}.dtype))"
            options += [(f"np.linalg.solve({eye}, {name})", shape), (f"np.linalg.inv({eye})", shape)]
            options += [(f"np.log(np.linalg.det({eye}) + 1.0)", ()), (f"np.linalg.cholesky({eye})", shape)]
            options += [(f"np.tril({name})", shape), (f"np.triu({name}, 1)", shape), (f"np.trace({name})", ())]
        if len(shape) == 1 and inner**2 <= MOST:
            options += [(f"np.outer({name}, {name})", (inner, inner)), (f"np.dot({name}, {name})", ())]
        if options:
            self.put(*self.pick(options))

    def write(self) -> None:
        found = self.array(lambda shape: len(shape) > 0)
        if found is None:
            return
        name, shape = found
        n = shape[0]
        copy = self.put(f"{name}.copy()", shape)
        k = self.random.randint(0, n)
        options = [
            f"{copy}[{k}:] = 0.5", f"{copy} *= 1.25", f"{copy}[{copy} > 0.3] = 0.1", f"{copy}[::2] = {copy}[::2] * 0.5",
            f"{copy}[...] = {copy}[::-1]", f"{copy}[1:] += {name}[:-1]", f"{copy} += np.sin({name})",
        ]  # fmt: skip
        if n:
            at = self.random.randrange(-n, n)
            options += [
                f"{copy}[{at}] = {name}[0] * 2.0", f"{copy}[{at}] -= {copy}[0]", f"{copy}[k % {n}] = 0.25",
                f"np.add.at({copy}, k % {n}, {name}[k % {n}])", f"{copy}[k % {n}] *= 0.5",
                f"for i in range(min(3, {n})): {copy}[i] = {copy}[i - 1] * 0.5 + {name}[i]",
            ]  # fmt: skip
        self.lines.append(self.pick(options))

    def pick_out(self) -> None:
        found = self.array(lambda shape: len(shape) > 0 and shape[0] > 0)
        if found is None:
            return
        name, shape = found
        n, rest = shape[0], shape[1:]
        if 5 * np.prod(rest) > MOST:
            return
        fixed = [self.random.randrange(-n, n) for _ in range(3)]
        options: list[tuple[str, Shape]] = [
            (f"{name}[k % {n}]", (5, *rest)), (f"{name}[np.array({fixed})]", (3, *rest)),
            (f"np.take({name}, k % {n}, axis=0)", (5, *rest)), (f"{name}[{fixed}]", (3, *rest)),
        ]  # fmt: skip
        if rest and rest[-1] and 5 * np.prod(shape[:-1]) <= MOST:
            m = rest[-1]
            options += [(f"{name}[..., k % {m}]", (*shape[:-1], 5))]
            options += [(f"{name}[k % {n}, ..., k[::-1] % {m}]", (5, *rest[:-1]))]
            options += [(f"np.take_along_axis({name}, {name}.argsort(axis=-1), -1)", shape)]
        self.put(*self.pick(options))

    def loop(self) -> None:
        found = self.array(lambda shape: len(shape) > 0 and shape[0] > 0)
        if found is None:
            return
        name, shape = found
        steps = self.random.randint(1, min(6, shape[0]))
        total = self.put(f"{name}[0] * 0.0", shape[1:])
        self.lines.append(f"for i in range({steps}): {total} = np.tanh({total}) + {name}[i] * (i + 0.5)")


def program(random: Random, statements: int) -> Program:
    """A random program."""
    grow = _Grower(random)
    shapes = [grow.shape() for _ in range(random.randint(1, 3))]
    if random.random() < 0.4:  # two that go together
        shapes.append(tuple(n if random.random() < 0.7 else 1 for n in shapes[0]))
    names = [f"x{k}" for k in range(len(shapes))]
    grow.arrays = list(zip(names, shapes, strict=True))
    kinds = [grow.unary] * 4 + [grow.binary] * 5 + [grow.reduction] * 3 + [grow.view] * 3
    kinds += [grow.product, grow.product, grow.write, grow.write, grow.pick_out, grow.loop]
    for _ in range(statements):
        random.choice(kinds)()
    ends = random.sample(grow.arrays, min(len(grow.arrays), 2)) + grow.arrays[-2:]
    parts = [f"np.sum({name} * {0.5 + k})" for k, (name, _) in enumerate(dict.fromkeys(ends))]
    lines = [f"def f({', '.join(names)}, k):", *grow.lines, f"return {' + '.join(parts)}"]
    dtype = random.choice([np.float64, np.float64, np.float32])
    return Program("\n    ".join(lines), shapes, random.randrange(1 << 30), dtype)
