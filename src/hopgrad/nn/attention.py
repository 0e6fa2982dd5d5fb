"""Attention, and the transformer's block. Vaswani et al., "Attention is all you need" (2017)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from hopgrad.nn import initializers
from hopgrad.nn.activations import relu, softmax
from hopgrad.nn.dropout import Dropout, dropout
from hopgrad.nn.linear import Linear
from hopgrad.nn.module import Array, Module, Rng, check_last, floating, generator, misfit, size
from hopgrad.nn.normalization import LayerNorm
from hopgrad.random import fold_in
from hopgrad.tree import static

__all__ = ["AttentionCache", "MultiheadAttention", "TransformerBlock", "attention", "causal_mask"]


def causal_mask(queries: int, keys: int | None = None, offset: Array = 0) -> Any:
    """Whether a query may look at a key: at those up to its own place, which is `offset` for the first query.

    >>> causal_mask(3).astype(int)
    array([[1, 0, 0],
           [1, 1, 0],
           [1, 1, 1]])
    """
    return np.arange(queries if keys is None else keys) <= np.arange(queries)[:, None] + offset


def attention(query: Array, key: Array, value: Array, mask: Array | None = None, causal: bool = False) -> Any:
    """softmax(Q Kᵀ/√d) V, over the last two axes.

    Args:
        query: (…, queries, d).
        key: (…, keys, d).
        value: (…, keys, width).
        mask: True where a query may look, broadcast to (…, queries, keys); or floats to add to the scores.
        causal: Whether to look at no later places.

    Returns:
        (…, queries, width). A query that may look nowhere gives NaN, as in PyTorch.

    >>> attention(np.zeros((1, 2)), np.zeros((3, 2)), np.array([[1.0], [2.0], [6.0]]))
    array([[3.]])
    """
    scores = query @ np.swapaxes(key, -1, -2) * (1.0 / math.sqrt(np.shape(query)[-1]))
    if causal:
        scores = np.where(causal_mask(*np.shape(scores)[-2:]), scores, -math.inf)
    if mask is not None:
        scores = np.where(mask, scores, -math.inf) if mask.dtype.kind == "b" else scores + mask
    return softmax(scores) @ value


@dataclasses.dataclass(eq=False, repr=False)
class AttentionCache(Module):
    """Keys and values of the places before, for decoding one place after the other.

    Attributes:
        key: (batch, heads, most, width): the first `count` places are filled.
        value: The same.
        count: An integer without axes.
    """

    key: Array
    value: Array
    count: Array


@dataclasses.dataclass(eq=False, repr=False, init=False)
class MultiheadAttention(Module):
    """Attention in several heads, between projections of the input: (batch, time, embed_dim), the batch first.

    Args:
        embed_dim: Width of the input and of the result.
        num_heads: It has to divide the width.
        bias: Whether the projections have biases.
        rng: A generator or seed for the first values: Glorot's, biases 0, as in PyTorch.
        dtype: Of the parameters.

    Attributes:
        in_proj_weight: (3·embed_dim, embed_dim): of queries, keys and values, as in PyTorch.
        in_proj_bias: (3·embed_dim,), or None.
        out_proj: A `Linear`.

    >>> layer = MultiheadAttention(8, 2, rng=0)
    >>> layer(np.ones((1, 5, 8), np.float32), causal=True).shape
    (1, 5, 8)
    """

    in_proj_weight: Array
    in_proj_bias: Array | None
    out_proj: Linear
    num_heads: int = static()

    def __init__(
        self, embed_dim: int, num_heads: int, bias: bool = True, *, rng: Rng, dtype: DTypeLike = np.float32
    ) -> None:
        rng, dtype = generator(rng), floating(dtype)
        width, heads = size(embed_dim, "embed_dim"), size(num_heads, "num_heads")
        if width % heads:
            raise ValueError(f"{heads} heads do not divide a width of {width}")
        self.in_proj_weight = initializers.glorot_uniform((3 * width, width), rng, dtype)
        self.in_proj_bias = np.zeros(3 * width, dtype) if bias else None
        out = Linear(width, width, bias, rng=rng, dtype=dtype)
        self.out_proj = out.replace(bias=np.zeros(width, dtype) if bias else None)
        self.num_heads = heads

    def __call__(
        self, x: Array, context: Array | None = None, mask: Array | None = None, causal: bool = False
    ) -> Array:
        """Each place looks at all others, or at those of `context`.

        Args:
            x: (batch, time, embed_dim).
            context: (batch, places, embed_dim): where keys and values come from, if not from x.
            mask: As of `attention`, broadcast to (batch, heads, time, places).
            causal: Whether to look at no later places.
        """
        query, key, value = self._projected(x, x if context is None else context)
        return self._joined(attention(query, key, value, mask, causal))

    def init_cache(self, batch: int, most: int) -> AttentionCache:
        """An empty cache for so many places."""
        shape = batch, self.num_heads, most, np.shape(self.in_proj_weight)[1] // self.num_heads
        dtype = self.in_proj_weight.dtype
        return AttentionCache(np.zeros(shape, dtype), np.zeros(shape, dtype), np.zeros((), np.int64))

    def decode(self, x: Array, cache: AttentionCache) -> tuple[Array, AttentionCache]:
        """``(y, cache)`` for the next places: what a causal call on all places so far gives for these.

        Args:
            x: (batch, new places, embed_dim): mostly one.
            cache: Of the places before. Places beyond its size are lost.
        """
        query, new_key, new_value = self._projected(x, x)
        new, most = np.shape(new_key)[2], np.shape(cache.key)[2]
        # One row for each place of the cache: which new place goes there, if any.
        chosen = np.arange(most)[:, None] == np.arange(new) + cache.count
        moved = chosen.astype(new_key.dtype)
        filled = np.any(chosen, 1)[:, None]
        key = np.where(filled, moved @ new_key, cache.key)
        value = np.where(filled, moved @ new_value, cache.value)
        y = attention(query, key, value, causal_mask(new, most, cache.count))
        count = (cache.count.reshape(1) + new).reshape(())
        return self._joined(y), AttentionCache(key, value, count)

    def _projected(self, x: Array, context: Array) -> list[Any]:
        """Queries, keys and values as (batch, heads, time, width)."""
        width = np.shape(self.in_proj_weight)[1]
        for given in (x, context):
            check_last(given, width, "MultiheadAttention")
            if np.ndim(given) != 3:
                raise misfit(f"MultiheadAttention needs an input of three axes, but its shape is {np.shape(given)}")
        if context is x:
            joined = x @ self.in_proj_weight.T
            joined = joined if self.in_proj_bias is None else joined + self.in_proj_bias
            return [self._split(part) for part in np.split(joined, 3, -1)]
        weights = np.split(self.in_proj_weight, 3)
        biases = [None] * 3 if self.in_proj_bias is None else np.split(self.in_proj_bias, 3)
        parts = []
        for given, weight, bias in zip((x, context, context), weights, biases, strict=True):
            part = given @ weight.T
            parts.append(self._split(part if bias is None else part + bias))
        return parts

    def _split(self, x: Array) -> Any:
        batch, time, width = np.shape(x)
        return x.reshape(batch, time, self.num_heads, width // self.num_heads).transpose(0, 2, 1, 3)

    def _joined(self, x: Array) -> Any:
        batch, heads, time, width = np.shape(x)
        return self.out_proj(x.transpose(0, 2, 1, 3).reshape(batch, time, heads * width))


@dataclasses.dataclass(eq=False, repr=False, init=False)
class TransformerBlock(Module):
    """Attention and a network of two layers, each with a residual and a `LayerNorm` (PyTorch's encoder layer).

    Args:
        d_model: Width.
        nhead: Heads of the attention.
        dim_feedforward: Width between the two layers.
        activation: Between them.
        norm_first: Whether norms stand before both parts (Xiong et al. 2020) instead of after the sums.
        dropout: How likely an element of both parts, and of what is between the two layers, is left out; only where
            a key is given.
        rng: A generator or seed for the first values, which are PyTorch's.
        dtype: Of the parameters.
        eps: Of the norms.

    Attributes:
        self_attn: A `MultiheadAttention`.
        linear1: A `Linear`.
        linear2: A `Linear`.
        norm1: A `LayerNorm`.
        norm2: A `LayerNorm`.

    >>> block = TransformerBlock(8, 2, 32, norm_first=True, rng=0)
    >>> block(np.ones((1, 5, 8), np.float32), causal=True).shape
    (1, 5, 8)
    """

    self_attn: MultiheadAttention
    linear1: Linear
    linear2: Linear
    norm1: LayerNorm
    norm2: LayerNorm
    activation: Callable[[Any], Any] = static()
    norm_first: bool = static()
    dropout: float = static()
    takes_key = True

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        activation: Callable[[Any], Any] = relu,
        norm_first: bool = False,
        dropout: float = 0.0,
        *,
        rng: Rng,
        dtype: DTypeLike = np.float32,
        eps: float = 1e-5,
    ) -> None:
        rng = generator(rng)
        self.self_attn = MultiheadAttention(d_model, nhead, rng=rng, dtype=dtype)
        self.linear1 = Linear(d_model, dim_feedforward, rng=rng, dtype=dtype)
        self.linear2 = Linear(dim_feedforward, d_model, rng=rng, dtype=dtype)
        self.norm1, self.norm2 = LayerNorm(d_model, eps, dtype=dtype), LayerNorm(d_model, eps, dtype=dtype)
        self.activation = activation
        self.norm_first = norm_first
        self.dropout = Dropout(dropout).p

    def __call__(self, x: Array, mask: Array | None = None, causal: bool = False, key: Array | None = None) -> Array:
        """(batch, time, d_model) to the same shape."""
        return self._around(x, lambda v: self.self_attn(v, mask=mask, causal=causal), key)

    def decode(self, x: Array, cache: AttentionCache) -> tuple[Array, AttentionCache]:
        """``(y, cache)`` for the next places, as `MultiheadAttention.decode`."""
        after = []

        def attend(v: Array) -> Array:
            y, new = self.self_attn.decode(v, cache)
            after.append(new)
            return y

        return self._around(x, attend, None), after[0]

    def _around(self, x: Array, attend: Callable[[Any], Any], key: Array | None) -> Any:
        def left_out(y: Array, number: int) -> Any:
            return y if key is None else dropout(y, self.dropout, fold_in(key, number))

        def feed(v: Array) -> Any:
            return left_out(self.linear2(left_out(self.activation(self.linear1(v)), 1)), 2)

        if self.norm_first:
            x = x + left_out(attend(self.norm1(x)), 0)
            return x + feed(self.norm2(x))
        x = self.norm1(x + left_out(attend(x), 0))
        return self.norm2(x + feed(x))
