"""What a traced function reads from outside itself: globals, closure cells, default arguments, modules.

NumPy does not let a traced value take part in ``np.zeros(3)[0] = x`` or ``math.sin(x)``, and a trace that was made
while ``scale`` was 2 is wrong when it is 3. Both are answered in one place, by running a *copy* of the user's function:
the same code over globals, builtins and cells that are ours. Each read of an outside value comes here, and is

* answered with a stand-in (``hopgrad.numpy`` for ``numpy``, a traced array for a captured one, a copy in turn for a
  helper function), and
* recorded with what it has to be when the trace is replayed. Where that cannot be told (an object with state), the
  trace counts for one call only, and says why.

Where a copy does not reach (methods, other libraries) the user's code meets plain NumPy, and what would lose a
gradient there is refused.
"""

from hopgrad.outside.code import is_ours
from hopgrad.outside.objects import is_copyable, member_of, names_of, users_class
from hopgrad.outside.reads import SCALARS, Read, array_token
from hopgrad.outside.world import Outside, outside_of

__all__ = ["SCALARS", "Outside", "Read", "array_token", "is_copyable", "is_ours", "member_of", "names_of", "outside_of"]
__all__ += ["users_class"]
