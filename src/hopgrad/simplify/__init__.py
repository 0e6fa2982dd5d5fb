"""From a graph to an equal, cheaper one, before native code is made of it.

`simplify` copies what some outputs need into a new builder, in one pass over the ids, and offers each value to the
rules for its hop (`rules.table`). Equal values become one, values that depend on constants alone become constants as
long as they are small, and what nobody needs is left behind.

**The contract.** For all inputs, unsimplified and simplified graph give the same shapes, dtypes, and values, except

- *rounding*, by the rules that say so: integer powers become multiplications (xⁿ within n/2 units in the last place
  for n ≤ 8, x⁻ⁿ within n for n ≤ 4; one that is as near to the largest number may become ∞), (c₁·x)·c₂ becomes
  (c₁c₂)·x if one of the constants is a power of two, sums and products of matrices add in another order and with
  other factors taken out, systems with a triangular matrix are solved by substitution. Where NumPy computes a scalar
  by other code than an array, so that they differ in the last place, either may be used;
- *the sign of a zero* that a sum (also that of arrays which are zero but for one place each), a product of matrices or
  an einsum gives, and what is added to zeros by an index array: where NumPy makes +0.0 of −0.0, that may stay −0.0;
- *overflow on the way*, in sums and products of matrices only: a finite result may be found where another order of the
  same additions overflows, and the other way round;
- *NaN in chains of three and more matrices with infinite elements*, where another order multiplies other zeros by them;
- *which NaN*: payload and sign of a NaN mean nothing;
- *floating-point flags*, and so warnings: what is not computed does not warn. Whatever stands for a hop of the user's
  own has stage 0, so that it warns as that did;
- *errors* of values that turn out not to be needed.

So NaN, infinities and signed zeros are otherwise the same: x·0 is never folded, since 0·∞ is NaN; x + 0.0 is not x,
since −0.0 + 0.0 is 0.0; nothing is cancelled against its own inverse. Results of functions with a rule of the user's
own, loops, branches and the user's own hops are copied as they are.
"""

from hopgrad.simplify.driver import Simplified, simplify
from hopgrad.simplify.roll import rolled
from hopgrad.simplify.rows import by_rows
from hopgrad.simplify.rules import Rule, table
from hopgrad.simplify.sums import is_short
from hopgrad.simplify.tile import tiled
from hopgrad.simplify.unloop import unlooped

__all__ = ["Rule", "Simplified", "by_rows", "is_short", "rolled", "simplify", "table", "tiled", "unlooped"]
