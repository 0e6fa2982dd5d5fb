/** Linear algebra of small matrices: elimination with partial pivots, and Cholesky's factorization. */

export type Matrix = number[][];

/** The upper triangle after elimination, with the right-hand sides changed likewise, and the sign of the row exchanges. */
function eliminated(a: Matrix, b: Matrix): { upper: Matrix; right: Matrix; sign: number } {
  const n = a.length;
  const [upper, right] = [a, b].map((m) => m.map((row) => [...row])) as [Matrix, Matrix];
  let sign = 1;
  for (let k = 0; k < n; k++) {
    let pivot = k;
    for (let i = k + 1; i < n; i++) if (Math.abs(upper[i][k]) > Math.abs(upper[pivot][k])) pivot = i;
    if (pivot !== k) {
      sign = -sign;
      for (const m of [upper, right]) [m[k], m[pivot]] = [m[pivot], m[k]];
    }
    if (upper[k][k] === 0) continue; // singular
    for (let i = k + 1; i < n; i++) {
      const factor = upper[i][k] / upper[k][k];
      for (let j = k; j < n; j++) upper[i][j] -= factor * upper[k][j];
      right[i] = right[i].map((x, j) => x - factor * right[k][j]);
    }
  }
  return { upper, right, sign };
}

/** X with A X = B. Where A is singular there is none: a RangeError. */
export function solve(a: Matrix, b: Matrix): Matrix {
  const { upper, right } = eliminated(a, b);
  if (upper.some((row, k) => row[k] === 0)) throw new RangeError("a singular matrix");
  for (let k = right.length - 1; k >= 0; k--) {
    right[k] = right[k].map((x, j) => {
      let rest = x;
      for (let i = k + 1; i < right.length; i++) rest -= upper[k][i] * right[i][j];
      return rest / upper[k][k];
    });
  }
  return right;
}

export function inverse(a: Matrix): Matrix {
  return solve(a, identity(a.length));
}

export function identity(n: number): Matrix {
  return Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => Number(i === j)));
}

/** A triangle of a square matrix: the rest 0, the diagonal 1 if `unit`. */
export function triangle(a: Matrix, lower: boolean, unit: boolean): Matrix {
  return a.map((row, i) => row.map((x, j) => (i === j && unit ? 1 : (lower ? j <= i : j >= i) ? x : 0)));
}

/** The pivots, whose product with the sign is the determinant. */
export function pivots(a: Matrix): { readonly pivots: number[]; readonly sign: number } {
  const { upper, sign } = eliminated(a, a.map(() => []));
  return { pivots: upper.map((row, k) => row[k]), sign };
}

/** L with A = L Lᵀ, from the lower triangle, or U with A = Uᵀ U from the upper one; a RangeError if A is not definite. */
export function cholesky(a: Matrix, upper: boolean): Matrix {
  const found: Matrix = a.map((row) => row.map(() => 0));
  for (let i = 0; i < a.length; i++) {
    for (let j = 0; j <= i; j++) {
      let rest = upper ? a[j][i] : a[i][j];
      for (let k = 0; k < j; k++) rest -= found[i][k] * found[j][k];
      if (i === j && rest <= 0) throw new RangeError("a matrix that is not positive definite");
      found[i][j] = i === j ? Math.sqrt(rest) : rest / found[j][j];
    }
  }
  return upper ? found.map((_, i) => found.map((row) => row[i])) : found;
}

export function determinant(a: Matrix): number {
  const { pivots: found, sign } = pivots(a);
  return found.reduce((product, p) => product * p, sign);
}
