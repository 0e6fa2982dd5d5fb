"""Training steps: forward, backward, and Adam's update of all parameters where they are; single precision.

Written with each library's own layers, losses and optimizer: `hopgrad.nn` and `hopgrad.optim` in one compiled function,
PyTorch's modules and fused Adam, and a jitted function of donated arrays for JAX. Parameters and moments stay with the
library from step to step; batches come as NumPy arrays. All start from the same parameters, in the midst of training:
at the very first step, Adam takes the sign of every gradient, rounding errors too.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import hopgrad as hg
from bench.case import Array, Case
from bench.cases.mlp import DECAY, DECAY2, EPSILON, RATE
from hopgrad import nn, optim

Params = dict[str, Array]  # by the names that hopgrad.nn and PyTorch share
HEAD = 32  # the width of a head of attention
VOCABULARY = 96


@dataclass(eq=False, repr=False)
class Classifier(nn.Module):
    """A class for each sequence, from the last result of an LSTM."""

    lstm: nn.LSTM
    head: nn.Linear

    def __call__(self, x: Array) -> Array:
        y, _ = self.lstm(x)
        return self.head(y[-1])


@dataclass(eq=False, repr=False)
class Language(nn.Module):
    """Scores of the next token at each place, from those up to it."""

    embed: nn.Embedding
    places: Array
    blocks: tuple[nn.TransformerBlock, ...]
    norm: nn.LayerNorm
    head: nn.Linear

    def __call__(self, tokens: Array) -> Array:
        x = self.embed(tokens) + self.places
        for block in self.blocks:
            x = block(x, causal=True)
        return self.head(self.norm(x)).reshape(-1, VOCABULARY)


# -- hopgrad: the layers for so many widths ----------------------------------------------------------------------------


def perceptron(*widths: int, rng: Any = 0) -> nn.Sequential:
    linears = [nn.Linear(*pair, rng=rng) for pair in itertools.pairwise(widths)]
    return nn.Sequential(*[part for linear in linears[:-1] for part in (linear, nn.relu)], linears[-1])


def convolutional(colours: int, first: int, second: int, features: int, rng: Any = 0) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(colours, first, 3, padding=1, rng=rng),
        nn.relu,
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 3, padding=1, rng=rng),
        nn.relu,
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(features, 10, rng=rng),
    )


def recurrent(inside: int, hidden: int, rng: Any = 0) -> Classifier:
    return Classifier(nn.LSTM(inside, hidden, rng=rng), nn.Linear(hidden, 10, rng=rng))


def language(time: int, layers: int, width: int, rng: Any = 0) -> Language:
    rng = np.random.default_rng(rng)
    return Language(
        nn.Embedding(VOCABULARY, width, rng=rng),
        rng.normal(size=(time, width)).astype(np.float32),
        tuple(
            nn.TransformerBlock(width, width // HEAD, 4 * width, nn.gelu, norm_first=True, rng=rng)
            for _ in range(layers)
        ),
        nn.LayerNorm(width),
        nn.Linear(width, VOCABULARY, rng=rng),
    )


def perceptron_widths(params: Params) -> tuple[int, ...]:
    shapes = [np.shape(value) for name, value in sorted(params.items()) if name.endswith("weight")]
    return shapes[0][1], *[shape[0] for shape in shapes]


def convolutional_widths(params: Params) -> tuple[int, ...]:
    first, second, last = (np.shape(params[f"{place}.weight"]) for place in (0, 3, 7))
    return first[1], first[0], second[0], last[1]


def recurrent_widths(params: Params) -> tuple[int, ...]:
    rows, inside = np.shape(params["lstm.weight_ih_l0"])
    return inside, rows // 4


def language_widths(params: Params) -> tuple[int, ...]:
    time, width = np.shape(params["places"])
    return time, len({name.split(".")[1] for name in params if name.startswith("blocks.")}), width


# -- PyTorch: the same, with the same names ----------------------------------------------------------------------------


def perceptron_torch(*widths: int) -> Any:
    from torch import nn

    linears = [nn.Linear(*pair) for pair in itertools.pairwise(widths)]
    return nn.Sequential(*[part for linear in linears[:-1] for part in (linear, nn.ReLU())], linears[-1])


def convolutional_torch(colours: int, first: int, second: int, features: int) -> Any:
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(colours, first, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(features, 10),
    )


def recurrent_torch(inside: int, hidden: int) -> Any:
    from torch import nn

    class Classifier(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(inside, hidden), nn.Linear(hidden, 10)

        def forward(self, x: Any) -> Any:
            y, _ = self.lstm(x)
            return self.head(y[-1])

    return Classifier()


def language_torch(time: int, layers: int, width: int) -> Any:
    import torch
    from torch import nn

    class Language(nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.embed, self.places = nn.Embedding(VOCABULARY, width), nn.Parameter(torch.zeros(time, width))
            options: dict[str, Any] = {"activation": "gelu", "batch_first": True, "norm_first": True, "dropout": 0.0}
            block = lambda: nn.TransformerEncoderLayer(width, width // HEAD, 4 * width, **options)  # noqa: E731
            self.blocks = nn.ModuleList([block() for _ in range(layers)])
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, VOCABULARY)
            self.mask = nn.Transformer.generate_square_subsequent_mask(time)

        def forward(self, tokens: Any) -> Any:
            x = self.embed(tokens) + self.places
            for block in self.blocks:
                x = block(x, src_mask=self.mask, is_causal=True)
            return self.head(self.norm(x)).flatten(0, 1)

    return Language()


# -- JAX: functions of the same parameters -----------------------------------------------------------------------------


def linear_jax(params: Params, name: str, x: Array) -> Array:
    return x @ params[f"{name}.weight"].T + params[f"{name}.bias"]


def perceptron_jax(params: Params, x: Array) -> Array:
    import jax

    *hidden, last = sorted(name.removesuffix(".weight") for name in params if name.endswith("weight"))
    for name in hidden:
        x = jax.nn.relu(linear_jax(params, name, x))
    return linear_jax(params, last, x)


def convolutional_jax(params: Params, x: Array) -> Array:
    import jax

    for place in (0, 3):
        x = jax.lax.conv(x, params[f"{place}.weight"], (1, 1), "SAME") + params[f"{place}.bias"][:, None, None]
        x = jax.lax.reduce_window(jax.nn.relu(x), -np.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    return linear_jax(params, "7", x.reshape(len(x), -1))


def recurrent_jax(params: Params, x: Array) -> Array:
    import jax
    from jax import numpy as jnp

    own = {name.removeprefix("lstm.").removesuffix("_l0"): value for name, value in params.items()}
    driven = x @ own["weight_ih"].T + own["bias_ih"] + own["bias_hh"]

    def step(state: Any, row: Array) -> tuple[Any, None]:
        h, c = state
        i, f, g, o = jnp.split(row + h @ own["weight_hh"].T, 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    zero = jnp.zeros((x.shape[1], own["weight_hh"].shape[1]), x.dtype)
    (h, _), _ = jax.lax.scan(step, (zero, zero), driven)
    return linear_jax(params, "head", h)


def normalized_jax(params: Params, name: str, x: Array) -> Array:
    from jax import numpy as jnp

    centred = x - jnp.mean(x, -1, keepdims=True)
    scaled = centred / jnp.sqrt(jnp.mean(centred**2, -1, keepdims=True) + 1e-5)
    return scaled * params[f"{name}.weight"] + params[f"{name}.bias"]


def attention_jax(params: Params, name: str, x: Array) -> Array:
    import jax
    from jax import numpy as jnp

    n, t, d = x.shape
    joined = x @ params[f"{name}.in_proj_weight"].T + params[f"{name}.in_proj_bias"]
    query, key, value = (part.reshape(n, t, d // HEAD, HEAD) for part in jnp.split(joined, 3, -1))
    y = jax.nn.dot_product_attention(query, key, value, is_causal=True)
    return linear_jax(params, f"{name}.out_proj", y.reshape(n, t, d))


def language_jax(params: Params, tokens: Array) -> Array:
    import jax

    x = params["embed.weight"][tokens] + params["places"]
    for k in range(language_widths(params)[1]):
        block = f"blocks.{k}"
        x = x + attention_jax(params, f"{block}.self_attn", normalized_jax(params, f"{block}.norm1", x))
        hidden = linear_jax(params, f"{block}.linear1", normalized_jax(params, f"{block}.norm2", x))
        x = x + linear_jax(params, f"{block}.linear2", jax.nn.gelu(hidden, approximate=False))
    return linear_jax(params, "head", normalized_jax(params, "norm", x)).reshape(-1, VOCABULARY)


# -- steps -------------------------------------------------------------------------------------------------------------


def copied(params: Params) -> Params:
    return {name: value.copy() for name, value in params.items()}


def by_hopgrad(network: Callable[..., Any]) -> Callable[..., Any]:
    """The step of a network: `network` gives a model for parameters."""

    def start(params: Params, mean: Params, square: Params, count: Array, x: Array, labels: Array) -> Any:
        model, *moments = (nn.with_parameters(network(params), copied(part)) for part in (params, mean, square))
        optimizer = optim.Adam(RATE, (DECAY, DECAY2), EPSILON)
        state = optim.State(np.array(count, np.int64), dict(zip(("mean", "square"), moments, strict=True)))

        def loss(model: Any, x: Array, labels: Array) -> Any:
            return nn.losses.cross_entropy(model(x), labels)

        @hg.compile
        def step(model: Any, state: optim.State, x: Array, labels: Array) -> Any:
            value, gradient = hg.value_and_grad(loss)(model, x, labels)
            optim.assign((model, state), optimizer.update(gradient, state, model))
            return value

        after = [nn.named_parameters(part) for part in (model, *moments)]
        return lambda x, labels: (step(model, state, x, labels), *after, state.count)

    return start


def by_torch(network: Callable[..., Any], widths: Callable[..., Any]) -> Callable[..., Any]:
    """The same by PyTorch; `compiler` may be ``torch.compile``."""

    def start(
        params: Params, mean: Params, square: Params, count: Array, x: Array, labels: Array,
        compiler: Callable[..., Any] = lambda model: model,
    ) -> Any:  # fmt: skip
        import torch

        model = network(*widths(params))
        model.load_state_dict({name: torch.tensor(value) for name, value in params.items()})
        named = dict(model.named_parameters())
        optimizer = torch.optim.Adam(named.values(), lr=RATE, betas=(DECAY, DECAY2), eps=EPSILON, fused=True)
        for name, parameter in named.items():
            own = {"exp_avg": torch.tensor(mean[name]), "exp_avg_sq": torch.tensor(square[name])}
            optimizer.state[parameter] = {"step": torch.tensor(float(count)), **own}
        states = {name: optimizer.state[parameter] for name, parameter in named.items()}
        moments = ({name: state[slot].numpy() for name, state in states.items()} for slot in ("exp_avg", "exp_avg_sq"))
        after = {name: value.detach().numpy() for name, value in named.items()}, *moments
        loss = compiler(lambda x, labels: torch.nn.functional.cross_entropy(model(x), labels))

        def step(x: Array, labels: Array) -> Any:
            optimizer.zero_grad()
            value = loss(torch.from_numpy(x), torch.from_numpy(labels))
            value.backward()
            optimizer.step()
            return value.detach().numpy(), *after, next(iter(states.values()))["step"].numpy()

        return step

    return start


def by_jax(network: Callable[..., Any]) -> Callable[..., Any]:
    """The same by JAX: what is updated is donated, so that its memory is used again."""

    def start(params: Params, mean: Params, square: Params, count: Array, x: Array, labels: Array) -> Any:
        import jax
        from jax import numpy as jnp

        def loss(params: Params, x: Array, labels: Array) -> Any:
            scores = jax.nn.log_softmax(network(params, x))
            return -jnp.mean(jnp.take_along_axis(scores, labels.reshape(-1, 1), 1))

        def step(kept: Any, x: Array, labels: Array) -> Any:
            params, mean, square, count = kept
            value, gradient = jax.value_and_grad(loss)(params, x, labels)
            count = count + 1
            mean = jax.tree.map(lambda m, g: DECAY * m + (1 - DECAY) * g, mean, gradient)
            square = jax.tree.map(lambda s, g: DECAY2 * s + (1 - DECAY2) * g * g, square, gradient)
            rate, correction = RATE / (1 - DECAY**count), jnp.sqrt(1 - DECAY2**count)
            moved = lambda p, m, s: p - rate * m / (jnp.sqrt(s) / correction + EPSILON)  # noqa: E731
            return value, (jax.tree.map(moved, params, mean, square), mean, square, count)

        compiled = jax.jit(step, donate_argnums=0)
        kept = jax.tree.map(jnp.array, (params, mean, square, count))

        def call(x: Array, labels: Array) -> Any:
            nonlocal kept
            value, kept = jax.block_until_ready(compiled(kept, x, labels))
            return value, *kept

        return call

    return start


def in_training(model: Any, x: Array, labels: Array) -> tuple[Any, ...]:
    """The arguments of a step: after ten others."""
    params = nn.named_parameters(model)
    mean, square = ({name: np.full_like(value, fill) for name, value in params.items()} for fill in (0, 1e-4))
    return params, mean, square, np.float32(10), x, labels


def make_perceptron(size: tuple[int, ...], rng: np.random.Generator) -> tuple[Any, ...]:
    batch, *widths = size
    x = rng.normal(size=(batch, widths[0])).astype(np.float32)
    return in_training(perceptron(*widths, rng=rng), x, rng.integers(widths[-1], size=batch))


def make_convolutional(size: tuple[int, ...], rng: np.random.Generator) -> tuple[Any, ...]:
    batch, colours, side, first, second = size
    model = convolutional(colours, first, second, second * (side // 4) ** 2, rng=rng)
    x = rng.normal(size=(batch, colours, side, side)).astype(np.float32)
    return in_training(model, x, rng.integers(10, size=batch))


def make_recurrent(size: tuple[int, ...], rng: np.random.Generator) -> tuple[Any, ...]:
    batch, time, inside, hidden = size
    x = rng.normal(size=(time, batch, inside)).astype(np.float32)
    return in_training(recurrent(inside, hidden, rng=rng), x, rng.integers(10, size=batch))


def make_language(size: tuple[int, ...], rng: np.random.Generator) -> tuple[Any, ...]:
    batch, time, layers, width = size
    tokens = rng.integers(VOCABULARY, size=(batch, time + 1))
    return in_training(language(time, layers, width, rng=rng), tokens[:, :-1].copy(), tokens[:, 1:].ravel())


def case(
    name: str,
    make: Callable[..., Any],
    model: Callable[..., Any],
    widths: Callable[..., Any],
    torch: Callable[..., Any],
    jax: Callable[..., Any],
    sizes: tuple[tuple[int, ...], ...],
    label: str,
) -> Case:
    """A network's case. `model` and `torch` take widths, which `widths` reads off the parameters' shapes."""

    def function(params: Params, x: Array, labels: Array) -> Any:
        return nn.losses.cross_entropy(nn.with_parameters(model(*widths(params)), params)(x), labels)

    return Case(
        f"training/{name}",
        function,
        make,
        sizes,
        want="training",
        program=by_hopgrad(lambda params: model(*widths(params))),
        torch=by_torch(torch, widths),
        jax=by_jax(jax),
        label=lambda size: label.format(*size),
        skip={"JAX device": "JAX keeps the parameters on the device", "autograd": "has no layers"},
    )


CASES = (
    case(
        "mlp",
        make_perceptron,
        perceptron,
        perceptron_widths,
        perceptron_torch,
        perceptron_jax,
        ((32, 64, 32, 32, 10), (64, 256, 128, 128, 10), (128, 784, 512, 512, 10)),
        "{1}-{2}-{3}-{4}, batch {0}",
    ),
    case(
        "cnn",
        make_convolutional,
        convolutional,
        convolutional_widths,
        convolutional_torch,
        convolutional_jax,
        ((8, 1, 28, 8, 16), (32, 1, 28, 16, 32), (32, 3, 32, 32, 64)),
        "{2}×{2}×{1}, {3} and {4} channels, batch {0}",
    ),
    case(
        "lstm",
        make_recurrent,
        recurrent,
        recurrent_widths,
        recurrent_torch,
        recurrent_jax,
        ((16, 32, 16, 32), (32, 64, 32, 64), (32, 64, 64, 128)),
        "{1} steps, {2} to {3}, batch {0}",
    ),
    case(
        "transformer",
        make_language,
        language,
        language_widths,
        language_torch,
        language_jax,
        ((4, 64, 2, 64), (4, 128, 4, 128), (2, 256, 6, 256)),
        "{2} layers × {3}, {1} places, batch {0}",
    ),
)
