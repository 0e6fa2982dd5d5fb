"""Compiled functions that write to arrays of their caller: in place, without copies, and never half."""

import dataclasses
import re
from typing import Any

import network_cases as cases
import numpy as np
import pytest

import hopgrad as hg
from hopgrad import nn, optim, tree


@pytest.fixture(autouse=True)
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOPGRAD_BACKEND", "native")


def agrees(f: Any, make: Any, calls: int = 4) -> Any:
    """The compiled function does to its arrays, and gives, what the function itself does."""
    compiled = hg.compile(f)
    plain, own = make(), make()
    for _ in range(calls):
        expected, found = f(*plain), compiled(*own)
        for a, b in zip(tree.flatten((expected, plain))[0], tree.flatten((found, own))[0], strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-12, atol=1e-14)
    return compiled


def descend(p: Any, g: Any) -> Any:
    p -= 0.1 * g
    return np.sum(p)


def momentum(p: Any, v: Any, g: Any) -> Any:
    v[...] = 0.9 * v + g
    p -= 0.1 * v
    return np.sum(p * p)


def turned(p: Any, g: Any) -> Any:
    p[...] = p[::-1] + g
    return p[0] if p.size else 0.0


def exchanged(a: Any, b: Any) -> None:
    a[...], b[...] = b.copy(), a.copy()


def chained(a: Any, b: Any) -> Any:
    """What is written to one array is read from the other one before."""
    a += b
    b += 2 * a
    return np.sum(a * b)


def accumulated(p: Any, g: Any) -> Any:
    p[...] = np.cumsum(p) + g
    return np.max(p, initial=0.0)


def a_part(p: Any, g: Any) -> Any:
    p[1:] *= 0.5
    p[:1] += g[:1]
    return np.sum(p)


@pytest.mark.parametrize("n", [0, 1, 7, 1000, 300_000])
@pytest.mark.parametrize("f", [descend, turned, exchanged, chained, accumulated, a_part])
def test_two_arrays(f: Any, n: int) -> None:
    draw = np.random.default_rng(0)
    a, b = draw.normal(size=n), draw.normal(size=n) / max(n, 1)
    compiled = agrees(f, lambda: (a.copy(), b.copy()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOPGRAD_BACKEND", "numpy")
        agrees(f, lambda: (a.copy(), b.copy()))
    if n and f is not exchanged:
        assert "called through an entry point" in compiled.report()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_is_copied_that_can_be_computed_in_place(dtype: Any) -> None:
    arrays = [np.ones((300, 400), dtype) for _ in range(3)]
    compiled = hg.compile(momentum)
    for _ in range(3):
        compiled(*arrays)
    (temporary,) = re.findall(r"([\d,]+) bytes of temporary memory", compiled.report())
    assert int(temporary.replace(",", "")) < 1000  # sums of parts
    assert len(compiled._program().placed) == 2


def test_what_is_asked_of_a_gradient_does_not_keep_its_update_from_being_in_place() -> None:
    """Lean code looks whether the gradient is finite, in a loop before the one that updates."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(300, 20))  # larger than the gradient, which is looked through itself

    def step(w: Any, x: Any) -> Any:
        value, gradient = hg.value_and_grad(lambda w: np.sum(np.sqrt(np.abs(x @ w))))(w)
        w -= 0.01 * gradient
        return value

    compiled, plain = hg.compile(step), hg.compile(step, backend="numpy")
    start = draw.normal(size=(20, 30))
    own, other = start.copy(), start.copy()
    for _ in range(4):
        assert compiled(own, x) == pytest.approx(plain(other, x), rel=1e-12)
        np.testing.assert_allclose(own, other, rtol=1e-10)
    assert len(compiled._program().placed) == 1
    assert "called through an entry point" in compiled.report()
    x[0] = 0.0  # the root's derivative is infinite there, times zero
    assert compiled(own, x) == pytest.approx(plain(other, x), rel=1e-12)
    np.testing.assert_array_equal(np.isnan(own), np.isnan(other))
    assert np.isnan(own).any()


def test_what_costs_more_than_a_copy_is_not_computed_twice() -> None:
    """Both the look at the gradient and the update need all of it, which is dear."""

    def loss(w: Any) -> Any:
        return np.sum(np.where(w > 0, np.exp(np.sin(w)) * np.sqrt(np.cos(w)), w))

    def step(w: Any) -> Any:
        value, gradient = hg.value_and_grad(loss)(w)
        w -= 0.01 * gradient
        return value

    compiled, plain = hg.compile(step), hg.compile(step, backend="numpy")
    own, other = np.linspace(0.0, 1.0, 3000), np.linspace(0.0, 1.0, 3000)
    for _ in range(4):
        assert compiled(own) == pytest.approx(plain(other), rel=1e-12)
        np.testing.assert_allclose(own, other, rtol=1e-10)
    assert sum("sin(x)" in kernel for kernel in compiled.kernels) == 1
    assert not compiled._program().placed


def test_a_read_only_array_is_left_alone_by_copies_too() -> None:
    compiled = hg.compile(turned)
    p, g = np.arange(6.0), np.ones(6)
    for _ in range(3):
        compiled(p, g)
    assert not compiled._program().placed
    p.flags.writeable = False
    before = p.copy()
    with pytest.raises(ValueError, match="read-only"):
        compiled(p, g)
    with pytest.raises(ValueError, match="read-only"):
        compiled(p, g=g)
    np.testing.assert_array_equal(p, before)


@pytest.mark.parametrize("order", ["C", "F", "strided", "reversed", "transposed"])
def test_layouts_of_the_target(order: str) -> None:
    def make() -> tuple[Any, Any]:
        base, g = np.arange(48.0).reshape(6, 8), np.ones((6, 4))
        found = {
            "C": base[:, :4].copy(), "F": np.asfortranarray(base[:, :4]), "strided": base[:, ::2],
            "reversed": base[::-1, :4], "transposed": np.arange(24.0).reshape(4, 6).T,
        }  # fmt: skip
        return found[order], g

    agrees(descend, make)


def test_arrays_without_axes() -> None:
    def f(count: Any, x: Any) -> Any:
        count += 1
        return count * x

    compiled = agrees(f, lambda: (np.zeros((), np.int64), np.ones(3)))
    assert "called through an entry point" in compiled.report()


def test_an_array_that_may_not_be_written_to_is_refused_and_left_alone() -> None:
    compiled = hg.compile(descend)
    p, g = np.ones(5), np.ones(5)
    for _ in range(3):
        compiled(p, g)
    p.flags.writeable = False
    before = p.copy()
    with pytest.raises(ValueError, match="read-only"):
        compiled(p, g)
    np.testing.assert_array_equal(p, before)


def test_arrays_that_overlap_are_not_written_to_in_place() -> None:
    compiled = hg.compile(descend)
    for _ in range(3):
        compiled(np.ones(6), np.ones(6))
    base = np.arange(8.0)
    before = base.copy()
    try:
        compiled(base[:6], base[2:])
    except hg.TraceError:
        np.testing.assert_array_equal(base, before)
    else:
        plain = before.copy()
        descend(plain[:6], plain[2:])
        np.testing.assert_array_equal(base, plain)


def test_another_branch_finds_the_arrays_as_they_were() -> None:
    def f(p: Any, g: Any) -> Any:
        p += g
        if g[0] > 0:
            return np.sum(p)
        p *= 2.0
        return np.sum(p) * 3.0

    compiled = hg.compile(f)
    plain, own = np.ones(9), np.ones(9)
    for k in range(8):
        g = np.full(9, 1.0 if k % 3 else -1.0)
        assert compiled(own, g) == pytest.approx(f(plain, g), rel=1e-14)
        np.testing.assert_allclose(own, plain, rtol=1e-14)


def test_an_index_out_of_bounds_leaves_to_numpy_what_becomes_of_the_arrays() -> None:
    def f(p: Any, g: Any, k: Any) -> Any:
        value = g[k]
        p += np.sum(value)
        return value

    compiled = hg.compile(f)
    p, g = np.zeros(4), np.arange(5.0)
    for _ in range(3):
        compiled(p, g, np.array([1, 2]))
    before = p.copy()
    with pytest.raises(IndexError):
        compiled(p, g, np.array([1, 7]))
    np.testing.assert_array_equal(p, before)


def test_a_captured_array_is_written_to() -> None:
    total = np.zeros(4)

    def f(x: Any) -> Any:
        total[...] = total + x
        return np.sum(total)

    compiled = hg.compile(f)
    found = [compiled(np.ones(4)) for _ in range(4)]
    assert found == [4.0, 8.0, 12.0, 16.0]
    np.testing.assert_array_equal(total, 4.0)


@pytest.mark.parametrize(
    "name", ["sgd momentum", "adam", "adam amsgrad", "rmsprop centered", "adagrad", "lbfgs", "cosine"]
)
def test_a_training_step_in_place_trains_as_the_pure_one(name: str) -> None:
    make, loss, x = cases.optimized()
    optimizer = cases.OPTIMIZERS[name]
    model = cases.prepared(make())
    state = optimizer.init(model)
    addresses = [a.__array_interface__["data"][0] for a in tree.flatten((model, state))[0]]

    @hg.compile
    def step(model: Any, state: Any) -> Any:
        value, gradient = hg.value_and_grad(loss)(model, x)
        optim.assign((model, state), optimizer.update(gradient, state, model))
        return value

    losses = [step(model, state) for _ in range(cases.STEPS)]
    golden = np.load(cases.GOLDEN)[f"optimizer {name}"]
    np.testing.assert_allclose(losses, golden, rtol=1e-10, atol=1e-12)
    assert addresses == [a.__array_interface__["data"][0] for a in tree.flatten((model, state))[0]]
    assert "called through an entry point" in step.report()
    assert int(state.count) == cases.STEPS


def test_a_step_takes_no_memory_for_new_parameters() -> None:
    model = nn.Sequential(nn.Linear(300, 500, rng=0), nn.relu, nn.Linear(500, 10, rng=1))
    optimizer = optim.Adam()
    state = optimizer.init(model)

    @hg.compile
    def step(model: Any, state: Any, x: Any, y: Any) -> Any:
        value, gradient = hg.value_and_grad(lambda m: nn.cross_entropy(m(x), y))(model)
        optim.assign((model, state), optimizer.update(gradient, state, model))
        return value

    x, y = np.ones((8, 300), np.float32), np.arange(8)
    values = [step(model, state, x, y) for _ in range(5)]
    assert values == sorted(values, reverse=True)
    (taken,) = [line for line in step.report().splitlines() if "bytes of temporary memory" in line]
    size = int(taken.split("; ")[-1].split()[0].replace(",", ""))
    # The gradient, and what the layers keep: not the new parameters, nor Adam's new averages.
    assert size < 1.2 * 4 * nn.num_parameters(model)


def test_models_of_the_users_own_classes_and_results_of_them() -> None:
    model = nn.Sequential(nn.Linear(4, 3, rng=0, dtype=float), lambda x: x * 2.0)
    value_and_grad = hg.value_and_grad(lambda m, x: np.sum(m(x) ** 2))
    x = np.ones((2, 4))
    for _ in range(4):
        _, gradient = value_and_grad(model, x)
    assert "called through an entry point" in value_and_grad.report()
    assert type(gradient) is nn.Sequential
    assert gradient[1] is model[1]
    other = nn.Sequential(model[0].replace(bias=None), model[1])
    assert value_and_grad(other, x)[1][0].bias is None
    wider = nn.Sequential(nn.Linear(4, 5, rng=0, dtype=float), model[1])
    assert value_and_grad(wider, x)[1][0].weight.shape == (5, 4)
    lstm, steps = nn.LSTM(3, 4, rng=0), np.ones((5, 2, 3), np.float32)
    gradient_of = hg.grad(lambda m, x: np.sum(m(x)[0]))
    for _ in range(3):
        gradient = gradient_of(lstm, steps)
    assert "called through an entry point" in gradient_of.report()
    np.testing.assert_allclose(
        gradient.layers[0].weight_ih, hg.grad(lambda m: np.sum(m(steps)[0]), backend="numpy")(lstm).layers[0].weight_ih,
        rtol=1e-4,
    )  # fmt: skip


@pytest.mark.parametrize("n", [4, 700_000])
def test_a_steady_function_writes_once_at_its_first_call(n: int) -> None:
    compiled = hg.compile(descend, steady=True)
    p, g = np.ones(n), np.ones(n)
    compiled(p, g)
    np.testing.assert_allclose(p, 0.9, rtol=1e-15)
    compiled(p, g)
    np.testing.assert_allclose(p, 0.8, rtol=1e-15)


@dataclasses.dataclass
class Net:
    first: nn.Linear
    blocks: list[nn.Linear]
    activation: Any = nn.static(np.tanh)
    scale: float = nn.static(2.0)

    def __call__(self, x: Any) -> Any:
        x = self.activation(self.first(x))
        for block in self.blocks:
            x = x + self.scale * block(x)
        return x


def test_classes_of_the_user_have_entry_points_that_see_their_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    def net(**static: Any) -> Net:
        return Net(nn.Linear(4, 4, rng=0, dtype=float), [nn.Linear(4, 4, rng=1, dtype=float)], **static)

    def loss(net: Any, x: Any) -> Any:
        return np.sum(net(x) ** 2)

    x = np.ones((3, 4))
    value_and_grad = hg.value_and_grad(loss)
    for _ in range(3):
        value_and_grad(net(), x)
    assert "called through an entry point" in value_and_grad.report()
    for other in (net(scale=0.5), net(activation=np.sin), net(activation=lambda x: x), net(), net(scale=0.5)):
        for _ in range(3):
            value, gradient = value_and_grad(other, x)
            assert value == pytest.approx(loss(other, x), rel=1e-12)
            assert type(gradient) is Net
            assert gradient.activation is other.activation
    call = Net.__call__
    monkeypatch.setattr(Net, "__call__", lambda self, x: 3.0 * call(self, x))
    for _ in range(3):
        assert value_and_grad(net(), x)[0] == pytest.approx(loss(net(), x), rel=1e-12)
    monkeypatch.setattr(Net, "__call__", lambda self, x: self.extra * call(self, x))
    monkeypatch.setattr(Net, "extra", 5.0, raising=False)
    for factor in (5.0, 5.0, 7.0):
        monkeypatch.setattr(Net, "extra", factor)
        assert value_and_grad(net(), x)[0] == pytest.approx(loss(net(), x), rel=1e-12)
    optimizer, model = optim.SGD(1e-7), net()
    state = optimizer.init(model)

    @hg.compile
    def step(net: Any, state: Any) -> Any:
        value, gradient = hg.value_and_grad(loss)(net, x)
        optim.assign((net, state), optimizer.update(gradient, state, net))
        return value

    losses = [step(model, state) for _ in range(5)]
    assert "called through an entry point" in step.report()
    assert losses == sorted(losses, reverse=True)
