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
from hopgrad.nn.activations import relu as relu
from hopgrad.nn.activations import tanh as tanh
from hopgrad.nn.linear import Embedding as Embedding
from hopgrad.nn.linear import Linear as Linear
from hopgrad.nn.module import Module as Module
from hopgrad.nn.module import Sequential as Sequential
from hopgrad.nn.module import named_parameters as named_parameters
from hopgrad.nn.module import num_parameters as num_parameters
from hopgrad.nn.module import static as static
from hopgrad.nn.module import with_parameters as with_parameters
