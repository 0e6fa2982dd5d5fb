"""Training: batches, the loop with evaluation and early stopping, checkpoints, and the history.

>>> import numpy as np
>>> from hopgrad import optim, train
>>> x = np.linspace(-1, 1, 50)
>>> def loss(w, x, y):
...     return np.mean((w * x - y) ** 2)
>>> found = train.fit(np.zeros(()), loss, (x, 2 * x), optimizer=optim.SGD(lr=1.0), epochs=10, batch_size=10)
>>> round(float(found.model), 6)
2.0
"""

from hopgrad.train.batches import batches as batches
from hopgrad.train.checkpoints import Checkpoints as Checkpoints
from hopgrad.train.checkpoints import CheckpointWarning as CheckpointWarning
from hopgrad.train.diagnosis import NonFiniteError as NonFiniteError
from hopgrad.train.history import Evaluation as Evaluation
from hopgrad.train.history import History as History
from hopgrad.train.layers import Activity as Activity
from hopgrad.train.layers import Layer as Layer
from hopgrad.train.layers import activity as activity
from hopgrad.train.loop import DataWarning as DataWarning
from hopgrad.train.loop import Fit as Fit
from hopgrad.train.loop import Moment as Moment
from hopgrad.train.loop import evaluate as evaluate
from hopgrad.train.loop import fit as fit
