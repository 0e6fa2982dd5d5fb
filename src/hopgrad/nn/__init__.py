"""Neural networks: modules are dataclasses of arrays, called as functions.

>>> import numpy as np
>>> import hopgrad as hg
>>> from hopgrad import nn
>>> model = nn.Sequential(nn.Linear(2, 16, rng=0), nn.tanh, nn.Linear(16, 1, rng=1))
>>> def loss(model, x, y):
...     return np.mean((model(x) - y) ** 2)
>>> gradient = hg.grad(loss)(model, np.ones((4, 2), np.float32), np.zeros((4, 1), np.float32))
>>> gradient[0]
Linear(weight=float32[16, 2], bias=float32[16])

Layouts of parameters, defaults and names are PyTorch's; see docs/networks.md.
"""

from hopgrad.nn import initializers as initializers
from hopgrad.nn import losses as losses
from hopgrad.nn.activations import celu as celu
from hopgrad.nn.activations import elu as elu
from hopgrad.nn.activations import gelu as gelu
from hopgrad.nn.activations import gelu_tanh as gelu_tanh
from hopgrad.nn.activations import glu as glu
from hopgrad.nn.activations import hardshrink as hardshrink
from hopgrad.nn.activations import hardsigmoid as hardsigmoid
from hopgrad.nn.activations import hardswish as hardswish
from hopgrad.nn.activations import hardtanh as hardtanh
from hopgrad.nn.activations import leaky_relu as leaky_relu
from hopgrad.nn.activations import log_sigmoid as log_sigmoid
from hopgrad.nn.activations import log_softmax as log_softmax
from hopgrad.nn.activations import mish as mish
from hopgrad.nn.activations import relu as relu
from hopgrad.nn.activations import relu6 as relu6
from hopgrad.nn.activations import selu as selu
from hopgrad.nn.activations import sigmoid as sigmoid
from hopgrad.nn.activations import silu as silu
from hopgrad.nn.activations import softmax as softmax
from hopgrad.nn.activations import softmin as softmin
from hopgrad.nn.activations import softplus as softplus
from hopgrad.nn.activations import softshrink as softshrink
from hopgrad.nn.activations import softsign as softsign
from hopgrad.nn.activations import tanh as tanh
from hopgrad.nn.activations import tanhshrink as tanhshrink
from hopgrad.nn.attention import AttentionCache as AttentionCache
from hopgrad.nn.attention import MultiheadAttention as MultiheadAttention
from hopgrad.nn.attention import TransformerBlock as TransformerBlock
from hopgrad.nn.attention import attention as attention
from hopgrad.nn.attention import causal_mask as causal_mask
from hopgrad.nn.convolution import Conv1d as Conv1d
from hopgrad.nn.convolution import Conv2d as Conv2d
from hopgrad.nn.convolution import ConvTranspose1d as ConvTranspose1d
from hopgrad.nn.convolution import ConvTranspose2d as ConvTranspose2d
from hopgrad.nn.convolution import conv as conv
from hopgrad.nn.convolution import conv_transpose as conv_transpose
from hopgrad.nn.dropout import Dropout as Dropout
from hopgrad.nn.dropout import dropout as dropout
from hopgrad.nn.linear import Embedding as Embedding
from hopgrad.nn.linear import Linear as Linear
from hopgrad.nn.losses import bce as bce
from hopgrad.nn.losses import bce_with_logits as bce_with_logits
from hopgrad.nn.losses import cosine_embedding as cosine_embedding
from hopgrad.nn.losses import cosine_similarity as cosine_similarity
from hopgrad.nn.losses import cross_entropy as cross_entropy
from hopgrad.nn.losses import gaussian_nll as gaussian_nll
from hopgrad.nn.losses import hinge as hinge
from hopgrad.nn.losses import huber as huber
from hopgrad.nn.losses import kl_div as kl_div
from hopgrad.nn.losses import l1 as l1
from hopgrad.nn.losses import margin_ranking as margin_ranking
from hopgrad.nn.losses import mse as mse
from hopgrad.nn.losses import multi_margin as multi_margin
from hopgrad.nn.losses import nll as nll
from hopgrad.nn.losses import poisson_nll as poisson_nll
from hopgrad.nn.losses import smooth_l1 as smooth_l1
from hopgrad.nn.losses import soft_margin as soft_margin
from hopgrad.nn.losses import triplet_margin as triplet_margin
from hopgrad.nn.module import Module as Module
from hopgrad.nn.module import Rng as Rng
from hopgrad.nn.module import Sequential as Sequential
from hopgrad.nn.module import named_parameters as named_parameters
from hopgrad.nn.module import num_parameters as num_parameters
from hopgrad.nn.module import static as static
from hopgrad.nn.module import with_parameters as with_parameters
from hopgrad.nn.normalization import BatchNorm as BatchNorm
from hopgrad.nn.normalization import BatchStatistics as BatchStatistics
from hopgrad.nn.normalization import GroupNorm as GroupNorm
from hopgrad.nn.normalization import LayerNorm as LayerNorm
from hopgrad.nn.normalization import RMSNorm as RMSNorm
from hopgrad.nn.pooling import AdaptiveAvgPool1d as AdaptiveAvgPool1d
from hopgrad.nn.pooling import AdaptiveAvgPool2d as AdaptiveAvgPool2d
from hopgrad.nn.pooling import AdaptiveMaxPool1d as AdaptiveMaxPool1d
from hopgrad.nn.pooling import AdaptiveMaxPool2d as AdaptiveMaxPool2d
from hopgrad.nn.pooling import AvgPool1d as AvgPool1d
from hopgrad.nn.pooling import AvgPool2d as AvgPool2d
from hopgrad.nn.pooling import Flatten as Flatten
from hopgrad.nn.pooling import MaxPool1d as MaxPool1d
from hopgrad.nn.pooling import MaxPool2d as MaxPool2d
from hopgrad.nn.recurrent import GRU as GRU
from hopgrad.nn.recurrent import LSTM as LSTM
from hopgrad.nn.recurrent import RNN as RNN
from hopgrad.nn.recurrent import RecurrentLayer as RecurrentLayer
from hopgrad.nn.summary import Summary as Summary
from hopgrad.nn.summary import summary as summary
