"""Values computed for many inputs at once, against one after the other: every hop of the catalogue, and its sweeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampling import SMOOTH_USES, USES, Program, Use, is_moving, normal
from test_native import grown

from hopgrad import batch
from hopgrad.aval import aval
from hopgrad.backend import NativePlan
from hopgrad.differentiate import pull, push
from hopgrad.evaluate import evaluate, evaluate_sweep
from hopgrad.graph.builder import Builder, Expr

Array = np.ndarray[Any, Any]


@pytest.fixture(autouse=True, scope="module")
def kept_kernels(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Kernels on disk, in a place of the tests' own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOPGRAD_CACHE_DIR", str(tmp_path_factory.mktemp("kernels")))
        yield


def agree(
    program: Program,
    nodes: Sequence[Expr],
    varying: Sequence[int],
    values: Sequence[Sequence[Array]],
    native: bool = False,
) -> None:
    """Check `nodes` for some values of each input that varies."""
    builder = program.builder
    every = [
        builder.input(aval((len(v), *builder.avals[n].shape), v[0].dtype), "all")
        for n, v in zip(varying, values, strict=True)
    ]
    found = batch.batched(builder, [n.id for n in nodes], dict(zip(varying, every, strict=True)))
    given = {**program.given, **{e.id: np.stack(v) for e, v in zip(every, values, strict=True)}}
    with np.errstate(all="ignore"):
        wide = [n.id for n in found]
        got = NativePlan(builder, wide, list(given)).run(given) if native else evaluate(builder, wide, given)
        assert got is not None
        for k, one in enumerate(zip(*values, strict=True)):
            given.update(zip(varying, one, strict=True))
            for node, a, b in zip(nodes, got, evaluate(builder, [n.id for n in nodes], given), strict=True):
                assert a[k].dtype == np.asarray(b).dtype
                np.testing.assert_allclose(a[k], b, 1e-12, 1e-13, err_msg=str(node))


@pytest.mark.parametrize("use", USES, ids=str)
def test_every_hop(use: Use) -> None:
    floats = [k for k, a in enumerate(use.draw()) if is_moving(a)]
    for chosen in [[k] for k in floats] + [floats] * (len(floats) > 1):
        program = Program(use, use.draw())
        random = use.random("batch")
        values = [[use.draw(random=random)[k] for _ in range(3)] for k in chosen]
        agree(program, [program.out], [program.inputs[k].id for k in chosen], values)


@pytest.mark.parametrize("native", [False, True], ids=["numpy", "native"])
@pytest.mark.parametrize("use", SMOOTH_USES, ids=str)
def test_every_sweep(use: Use, native: bool) -> None:
    program = Program(use, use.draw())
    random = use.random("seeds")
    out = program.out.aval
    seed = program.input(np.zeros(out.shape, out.dtype), "ct")
    values = [normal(random, out) for _ in range(3)]
    agree(program, program.pulled(program.out, seed), [seed.id], [values], native)
    for node in program.active:
        like = program.builder.avals[node]
        tangent = program.input(np.zeros(like.shape, like.dtype), "t")
        values = [normal(random, like) for _ in range(3)]
        agree(program, program.pushed({node: tangent}, program.out), [tangent.id], [values], native)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), (100,)])
def test_units(shape: tuple[int, ...]) -> None:
    builder = Builder()
    like = aval(shape, np.float32)
    (found,) = evaluate(builder, [batch.units(builder, like).id], {})
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.eye(like.size).reshape(like.size, *shape))


@settings(max_examples=150)
@given(st.randoms(use_true_random=False))
def test_sweeps_of_random_graphs(random: Any) -> None:
    """All columns and all rows of a Jacobian, for all unit vectors at once, by NumPy and by native code."""
    builder, outputs, values = grown(random)
    node = random.choice(list(values))
    like = builder.avals[node]
    seed = builder.input(like, "t")
    moved = push(builder, {node: seed}, outputs)
    sweeps = [([moved[n].id for n in outputs if n in moved], seed)]
    for output in outputs:
        seed = builder.input(builder.avals[output], "ct")
        adjoints = pull(builder, {output: seed}, [node], units=True).adjoints
        sweeps.append(([adjoints[node].id] if node in adjoints else [], seed))
    for nodes, seed in sweeps:
        if not nodes:
            continue
        found = [n.id for n in batch.batched(builder, nodes, {seed.id: batch.units(builder, seed.aval)})]
        units = np.eye(seed.size).reshape(seed.size, *seed.shape)
        with np.errstate(all="ignore"):
            wanted = [
                np.stack(v)
                for v in zip(*evaluate_sweep(builder, nodes, values, [seed.id], ([u[()]] for u in units)), strict=True)
            ]
            ways = [evaluate(builder, found, values), NativePlan(builder, found, list(values)).run(values)]
        for way in ways:
            assert way is not None
            for one, other in zip(way, wanted, strict=True):
                scale = float(np.max(np.abs(other), initial=1.0, where=np.isfinite(other)))
                np.testing.assert_allclose(one, other, 1e-8, 1e-11 * scale)
