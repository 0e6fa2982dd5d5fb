"""Minimizing by gradients: optimizers with a state, schedules of their learning rate, clipping, and plain descent.

An optimizer is a frozen dataclass of its options with two pure functions: ``init(params)`` gives its first state, and
``update(gradient, state, params)`` the next parameters and state. Names, formulas and defaults are PyTorch's.

>>> import numpy as np
>>> import hopgrad as hg
>>> from hopgrad import optim
>>> optimizer = optim.Adam(lr=0.1)
>>> params = {"x": np.array([1.0, -2.0])}
>>> state = optimizer.init(params)
>>> gradient = hg.grad(lambda params: np.sum(params["x"] ** 2))
>>> for _ in range(200):
...     params, state = optimizer.update(gradient(params), state, params)
>>> bool(np.abs(params["x"]).max() < 1e-3)
True
"""

from hopgrad.optim import schedules as schedules
from hopgrad.optim.clipping import clip_by_global_norm as clip_by_global_norm
from hopgrad.optim.clipping import clip_by_value as clip_by_value
from hopgrad.optim.clipping import global_norm as global_norm
from hopgrad.optim.descent import Descent as Descent
from hopgrad.optim.descent import DivergenceError as DivergenceError
from hopgrad.optim.descent import descend as descend
from hopgrad.optim.lbfgs import LBFGS as LBFGS
from hopgrad.optim.optimizers import SGD as SGD
from hopgrad.optim.optimizers import Adagrad as Adagrad
from hopgrad.optim.optimizers import Adam as Adam
from hopgrad.optim.optimizers import AdamW as AdamW
from hopgrad.optim.optimizers import Lion as Lion
from hopgrad.optim.optimizers import Optimizer as Optimizer
from hopgrad.optim.optimizers import RMSprop as RMSprop
from hopgrad.optim.optimizers import State as State
from hopgrad.optim.optimizers import assign as assign
