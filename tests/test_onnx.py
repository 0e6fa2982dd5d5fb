"""Exported functions give the same numbers in onnxruntime; what cannot be exported is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import network_cases as cases
import numpy as np
import pytest

import hopgrad as hg
from hopgrad import nn, tree
from hopgrad.onnx import OPSET, ExportError, export

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

rng = np.random.default_rng(0)


def session(path: Path) -> Any:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def compare(tmp_path: Path, f: Callable[..., Any], *args: Any, tol: float = 1e-5, others: tuple[Any, ...] = ()) -> Any:
    """Export at `args`, run there and at `others`, and compare."""
    model = session(export(tmp_path / "f.onnx", f, *args))
    for given in (args, *others):
        leaves = tree.flatten(given)[0]
        names = [one.name for one in model.get_inputs()]
        found = model.run(None, dict(zip(names, leaves, strict=True)))
        wanted = tree.flatten(f(*given))[0]
        assert len(found) == len(wanted)
        for a, b in zip(found, wanted, strict=True):
            assert a.dtype == np.asarray(b).dtype
            assert a.shape == np.shape(b)
            np.testing.assert_allclose(a, b, rtol=tol, atol=tol)
    return model


def f32(*shape: int) -> Any:
    return rng.normal(size=shape).astype(np.float32)


def test_mlp_with_every_activation(tmp_path: Path) -> None:
    layers: list[Any] = []
    activations = [
        nn.relu, nn.tanh, nn.gelu, nn.gelu_tanh, nn.silu, nn.elu, nn.selu, nn.softplus, nn.mish, nn.sigmoid,
        nn.leaky_relu, nn.relu6, nn.hardtanh, nn.softsign, nn.log_sigmoid, nn.softmax, nn.log_softmax,
    ]  # fmt: skip
    for k, activation in enumerate(activations):
        layers += [nn.Linear(6, 6, rng=k), activation]
    compare(tmp_path, nn.Sequential(*layers), f32(4, 6), others=((f32(4, 6),),))


def test_names_opset_and_initializers(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 4, rng=0), nn.tanh, nn.Linear(4, 2, rng=1))
    path = export(tmp_path / "m.onnx", model, f32(5, 3), input_names=["pixels"], output_names=["scores"])
    proto = onnx.load(path)
    assert proto.opset_import[0].version == OPSET
    assert [i.name for i in proto.graph.input] == ["pixels"]
    assert [o.name for o in proto.graph.output] == ["scores"]
    shapes = sorted(tuple(i.dims) for i in proto.graph.initializer)
    assert {(4, 3), (4,), (2, 4), (2,)} <= set(shapes)
    assert sum(int(np.prod(s)) for s in shapes) < 40  # each parameter once
    with pytest.raises(ValueError, match="there are 1 inputs, but 2 input_names"):
        export(tmp_path / "m.onnx", model, f32(5, 3), input_names=["a", "b"])
    with pytest.raises(ValueError, match="two of the output_names are the same: a, a"):
        export(tmp_path / "m.onnx", lambda x: (x + 1, x + 2), f32(3), output_names=["a", "a"])


@pytest.mark.parametrize("images", [(2, 1, 12, 12), (1, 3, 9, 14)])
def test_cnn(images: tuple[int, ...], tmp_path: Path) -> None:
    net = nn.Sequential(
        nn.Conv2d(images[1], 4, 3, padding=1, rng=0),
        nn.relu,
        nn.MaxPool2d(2),
        nn.Conv2d(4, 8, 3, stride=2, rng=1),
        nn.GroupNorm(2, 8),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 10, rng=2),
    )
    compare(tmp_path, net, f32(*images), others=((f32(*images),),))


def test_transposed_convolution(tmp_path: Path) -> None:
    compare(tmp_path, nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1, rng=0), f32(2, 3, 5, 4))


@pytest.mark.parametrize("layer", [nn.RNN, nn.GRU, nn.LSTM])
def test_recurrent_layers_become_scans(layer: Any, tmp_path: Path) -> None:
    net = layer(5, 4, rng=0)
    model = compare(tmp_path, lambda x: net(x)[0], f32(6, 2, 5), others=((f32(6, 2, 5),),))
    assert model is not None
    assert "Scan" in {node.op_type for node in onnx.load(tmp_path / "f.onnx").graph.node}


def single(model: Any) -> Any:
    return tree.map(lambda leaf: np.float32(leaf) if leaf.dtype.kind == "f" else leaf, model)


@pytest.mark.parametrize("name", cases.LAYERS)
def test_every_layer(name: str, tmp_path: Path) -> None:
    make, _, x = cases.LAYERS[name]
    model = cases.prepared(make())
    compare(tmp_path, single(model), single(x), tol=1e-4)
    if name != "transformer norm first":  # onnxruntime has no error function in double precision
        compare(tmp_path, model, x, tol=1e-11)


@pytest.mark.parametrize("name", cases.ACTIVATIONS)
def test_every_activation(name: str, tmp_path: Path) -> None:
    make, _, x = cases.activated(name)
    compare(tmp_path, single(cases.prepared(make())), single(x), tol=1e-4)


@pytest.mark.parametrize("name", cases.LOSSES)
def test_every_loss(name: str, tmp_path: Path) -> None:
    make, loss, x = cases.lossy(name)
    model = single(cases.prepared(make()))
    compare(tmp_path, lambda x: loss(model, x), single(x), tol=1e-4)


def test_batch_norm_by_its_statistics(tmp_path: Path) -> None:
    norm = cases.prepared(nn.BatchNorm(4))
    statistics = nn.BatchStatistics(f32(4), np.abs(f32(4)) + np.float32(0.1))
    compare(tmp_path, lambda x: norm(x, statistics, training=False)[0], f32(2, 4, 3, 5))


def test_decoding_with_a_cache(tmp_path: Path) -> None:
    layer = nn.MultiheadAttention(8, 2, rng=0)
    compare(tmp_path, lambda x, cache: layer.decode(x, cache), f32(2, 1, 8), layer.init_cache(2, 5))


def test_transformer_block(tmp_path: Path) -> None:
    block = nn.TransformerBlock(8, 2, 16, norm_first=True, rng=0)
    table = nn.Embedding(11, 8, rng=1)
    tokens = rng.integers(0, 11, (2, 7))
    compare(
        tmp_path, lambda tokens: block(table(tokens), causal=True), tokens, others=((rng.integers(0, 11, (2, 7)),),)
    )


def test_nested_arguments_and_results(tmp_path: Path) -> None:
    def f(pair: Any, scale: Any) -> Any:
        return {"sum": pair["a"] + pair["b"] * scale, "both": (np.sum(pair["a"]), pair["b"] > 0)}

    compare(tmp_path, f, {"a": f32(3), "b": f32(3)}, f32(3))


def loop(x: Any) -> Any:
    def step(carry: Any, row: Any) -> Any:
        carry = np.tanh(carry * 0.5 + row)
        return carry, carry * 2

    last, rows = hg.scan(step, np.zeros(4, np.float32), x, reverse=True)
    return last, rows


CASES: dict[str, Callable[[Any], Any]] = {
    "arithmetic": lambda x: (x + 1) * x - x / 3 - (-x) ** 2 + np.abs(x) ** 1.5,
    "exponentials": lambda x: np.exp(x) + np.expm1(x) + np.log1p(np.abs(x)) + np.log2(np.abs(x) + 1) + np.exp2(x),
    "logarithms": lambda x: np.log10(x * x + 1) + np.logaddexp(x, 2 * x) + np.hypot(x, 1) + np.cbrt(x),
    "trigonometry": lambda x: np.sin(x) + np.cos(x) * np.tan(x / 3) + np.arcsin(np.tanh(x)) + np.arctan(x),
    "hyperbolic": lambda x: np.sinh(x) + np.cosh(x) + np.arcsinh(x) + np.arctanh(np.tanh(x) / 2),
    "rounding": lambda x: np.floor(x) + np.ceil(x) + np.rint(3 * x) + np.trunc(x) + x // 0.5 + x % 0.7,
    "remainders": lambda x: np.fmod(x, 0.7) + np.fmod(x, -0.3) + x % -0.3,
    "choices": lambda x: np.where(x > 0, x, 2 * x) + np.clip(x, -0.5, 0.5) + np.maximum(x, 0.1) * np.minimum(x, 0.3),
    "questions": lambda x: ((x > 0) & (x <= 1)) | (np.abs(x) == 0) | ~np.isfinite(x) | (x != x),
    "sums": lambda x: x.sum() + x.sum(0) + x.mean(1, keepdims=True) + x.max(0) + x.min() + np.prod(x / 2, 1)[:, None],
    "spreads": lambda x: np.var(x, 0) + np.std(x, 1, ddof=1)[:, None] + np.linalg.norm(x),
    "counts": lambda x: (np.any(x > 0, 1), np.all(x < 2), np.sum(x > 0), np.argmax(x, 1), np.argmin(x)),
    "running": lambda x: np.cumsum(x, 1) + np.cumsum(x, 0),
    "softmax": lambda x: nn.softmax(x) + nn.log_softmax(x, 0),
    "shapes": lambda x: (x.T.reshape(2, 2, 3)[:, ::-1], np.broadcast_to(x, (2, 3, 4)), x[None, :, None]),
    "slices": lambda x: (x[1:, ::2], x[::-1, -2], x[..., 1], x[2, 3], x[0:0], x[:, -3:-1]),
    "rows by number": lambda x: (x[np.array([2, 0, -1])], x[:, np.array([[1, 0], [3, 3]])], x[np.arange(3), [0, 3, 1]]),
    "joined": lambda x: (np.concatenate([x, 2 * x], 1), np.stack([x, x]), np.pad(x, 1), np.tile(x, (1, 2))),
    "triangles": lambda x: np.tril(x) + np.triu(x, 1),
    "products": lambda x: x @ x.T + np.einsum("ij,kj->ik", x, x) + x[:, 0] @ x[:, 1],
    "written": lambda x: written(x),
    "loop": loop,
}  # fmt: skip


def written(x: Any) -> Any:
    y = np.zeros_like(x)
    y[1:, ::2] = x[:2, :2]
    y[0] = 3.0
    return y


@pytest.mark.parametrize("name", CASES)
def test_hops(name: str, tmp_path: Path) -> None:
    compare(tmp_path, CASES[name], f32(3, 4), others=((f32(3, 4),),))


@pytest.mark.parametrize("name", ["arithmetic", "sums", "products", "softmax", "shapes"])
def test_double_precision(name: str, tmp_path: Path) -> None:
    compare(tmp_path, CASES[name], rng.normal(size=(3, 4)), tol=1e-12)


def test_small_numbers_keep_their_digits(tmp_path: Path) -> None:
    x = np.float32([1e-6, -1e-4, 0.3, -0.4, 20.0, -20.0, 0.0])
    model = session(export(tmp_path / "f.onnx", lambda x: (np.expm1(x), np.log1p(np.abs(x))), x))
    found = model.run(None, {model.get_inputs()[0].name: x})
    np.testing.assert_allclose(found[0], np.expm1(x.astype(float)), 1e-5)
    np.testing.assert_allclose(found[1], np.log1p(np.abs(x.astype(float))), 1e-5)


def test_whole_numbers(tmp_path: Path) -> None:
    k = np.array([7, -7, 3, 0])
    compare(tmp_path, lambda k: (k // 3, k % 3, k * 2 - 1, np.sum(k), k.astype(np.float32) / 2), k)


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: np.linalg.inv(x[:3, :3]), r"the hop inv of float32\[3, 3\] \(at .*\): has no counterpart in ONNX"),
        (lambda x: np.sort(x), "argsort"),
        (lambda x: x if x.sum() > 0 else -x, r"takes a branch at .*, which depends on its arguments"),
        (lambda x: (x, "word"), "all of it has to be arrays"),
        (lambda x: hg.scipy.special.gamma(x), "the hop gamma of"),
        (lambda x: x[0, [1, 0], 0:1] if x.ndim > 2 else x[[0, 1], None], "index arrays beside None"),
    ],
)
def test_what_cannot_be_exported_is_named(f: Callable[..., Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=message):
        export(tmp_path / "f.onnx", f, f32(3, 4))
    assert not list(tmp_path.iterdir())
