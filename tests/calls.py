"""Calls of NumPy's functions, as text: what the sweep in test_tracing compares with NumPy, and what is refused by name.

Variables: ``s t`` floats, ``n`` a NumPy scalar, ``z`` a 0-d array, ``x y v`` arrays of 3, ``p`` positive, ``u`` between
−1 and 1, ``A C`` of shape (2, 3), ``B`` (3, 2), ``S`` (3, 3), ``T`` (2, 3, 4), ``N`` (3,) with a NaN, ``L`` of 7.
Complex: a number ``c``, arrays ``Z`` of 3, ``G`` (2, 3) and ``H`` (3, 3). Everything else is fixed.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import numpy.char
import numpy.fft
import numpy.lib.recfunctions  # NumPy knows a function as overridable once its module is imported
import numpy.ma
import numpy.polynomial
import numpy.strings
from numpy.testing.overrides import get_overridable_numpy_array_functions, get_overridable_numpy_ufuncs


def words(text: str) -> set[str]:
    return set(text.split())


random = np.random.default_rng(7)
VARIABLES: dict[str, Any] = {
    "s": 1.3, "t": -0.7, "n": np.float64(0.9), "z": np.array(1.7),
    "x": np.array([0.4, -1.2, 2.3]), "y": np.array([1.5, 0.6, -0.8]), "v": np.array([0.3, 1.1, 2.4]),
    "p": np.array([0.5, 1.6, 2.2]), "u": np.array([0.2, -0.6, 0.7]),
    "A": random.normal(size=(2, 3)), "C": random.normal(size=(2, 3)), "B": random.normal(size=(3, 2)),
    "S": random.normal(size=(3, 3)), "T": random.normal(size=(2, 3, 4)), "N": np.array([1.0, np.nan, 3.0]),
    "L": random.normal(size=7),
    "c": 0.6 - 0.9j, "Z": np.array([0.5 + 0.8j, -1.1 + 0.3j, 0.7 - 1.4j]),
    "G": random.normal(size=(2, 3)) + 1j * random.normal(size=(2, 3)),
    "H": random.normal(size=(3, 3)) + 1j * random.normal(size=(3, 3)),
}  # fmt: skip
FIXED: dict[str, Any] = {
    "np": np, "k": np.array([2, 0, 1]), "m": np.array([True, False, True]), "M": np.array([[True, False, True]] * 2),
    "w": np.array([1.0, 2.0, 3.0]), "K": np.array([[0, 2, 1], [1, 1, 0]]),
}  # fmt: skip

# -- ufuncs: unary and binary ones are called on each kind of argument by the test itself ----------------------------

POSITIVE_ONLY = {"log", "log2", "log10", "log1p", "sqrt", "arccosh", "power", "float_power"}
UNIT_ONLY = {"arcsin", "arccos", "arctanh"}

REFUSED_UFUNCS = words("""
_ones_like isnat
""")  # fmt: skip
ON_BOOLEANS = {"bitwise_and", "bitwise_or", "bitwise_xor", "invert", "logical_and", "logical_or", "logical_xor"}
ON_MATRICES = {
    "matmul": ["A @ B", "x @ y", "A @ x", "x @ B", "np.matmul(A, B)", "np.matmul(T, np.ones((4, 5)))",
               "S @ np.eye(3)", "np.eye(2) @ A", "np.matmul(A, C, axes=[(0, 1), (1, 0), (0, 1)])",
               "np.matmul(T, A, axes=[(-1, 0), (0, 1), (0, 2)])",
               "np.matmul(A, B, dtype=np.float32, casting='same_kind')",
               "np.matmul(x, y)", "np.matmul(T, np.ones(4))"],
    "vecdot": ["np.vecdot(x, y)", "np.vecdot(A, x)", "np.vecdot(T, np.ones(4))"],
    "matvec": ["np.matvec(A, x)", "np.matvec(S, A)"],
    "vecmat": ["np.vecmat(x, B)", "np.vecmat(A, S)"],
}  # fmt: skip
SEVERAL_RESULTS = {"divmod": ["np.divmod(x, p)", "divmod(x, 0.7)", "divmod(2.1, p)", "divmod(s, 0.4)"],
                   "modf": ["np.modf(x)", "np.modf(s)", "np.modf(x, out=(x.copy(), x.copy()))"],
                   "frexp": ["np.frexp(x)", "np.frexp(s)", "np.frexp(A * 1e-300)", "np.frexp(x * 0)"]}  # fmt: skip
ON_INTEGERS = {
    "bitwise_count": ["np.bitwise_count(np.argsort(x))"], "gcd": ["np.gcd(np.argsort(x), 3)"],
    "lcm": ["np.lcm(np.argsort(x), 3)"], "left_shift": ["np.left_shift(np.argsort(x), 1)", "np.argsort(x) << 2"],
    "right_shift": ["np.right_shift(np.argsort(x), 1)"],
    "ldexp": ["np.ldexp(x, 2)", "np.ldexp(A, k)", "np.ldexp(s, 3)", "np.ldexp(x.astype(np.float32), -140)",
              "np.ldexp(x, np.argsort(y))", "np.ldexp(x, [-3, 0, 40])"],
}  # fmt: skip
OTHER_UFUNCS = {"clip": ["np._core.umath.clip(x, -1.0, 1.0)"]}
STRINGS = words("""
_center _expandtabs _expandtabs_length _ljust _lstrip_chars _lstrip_whitespace _partition _partition_index _replace
_rjust _rpartition _rpartition_index _rstrip_chars _rstrip_whitespace _slice _strip_chars _strip_whitespace _zfill
count endswith find index isalnum isalpha isdecimal isdigit islower isnumeric isspace istitle isupper rfind rindex
startswith str_len
""")  # fmt: skip

# -- array functions -------------------------------------------------------------------------------------------------

CALLS = """
np.i0(x) np.i0(s) np.i0(A)
np.sum(x) np.sum(A,0) np.sum(A,axis=(0,1),keepdims=True) np.sum(A,axis=-1,initial=2.0) np.sum(x,where=m) np.sum(s)
np.sum(n) np.sum(z) np.mean(z) np.max(n) np.cumsum(n) np.copy(n) np.copy(z) np.real(n) np.imag(n) np.real(z)
np.sinc(z) np.nan_to_num(n) np.nan_to_num(z) np.fix(z) np.where(z>0,z,n) np.isclose(z,n) np.linalg.norm(n) np.dot(z,n)
np.outer(z,n) np.vdot(z,n) np.inner(z,n) np.kron(x,n) np.trapezoid(x,dx=z) np.polyval(x,z) np.atleast_1d(n)
np.diff(x,prepend=n) np.linspace(z,n,3) np.geomspace(z,n,3) np.meshgrid(z,n) np.stack([z,n]) np.tile(n,2) np.roll(z,1)
np.broadcast_to(n,2) np.full_like(z,n) np.angle(z) np.angle(n) np.sum(x,dtype=np.float32) np.sum(x>0)
np.sum(A>0,axis=0) np.sum(T,(0,2)) np.sum(A,where=M,axis=0) np.sum(x,initial=s) np.prod(x) np.prod(A,0)
np.prod(A,axis=1,keepdims=True) np.prod(x,where=m,initial=2.0) np.prod(s) np.prod(x>0) np.mean(x) np.mean(A,0)
np.mean(A,axis=1,keepdims=True) np.mean(x,where=m) np.mean(A,axis=1,where=M) np.mean(x>0) np.mean(s)
np.mean(x,dtype=np.float32) np.var(x) np.var(A,0,ddof=1) np.var(A,axis=1,keepdims=True) np.var(x,where=m)
np.var(x,mean=np.mean(x)) np.var(x,correction=1) np.std(x) np.std(A,0,ddof=1) np.std(A,axis=(0,1))
np.std(A,axis=1,where=M) np.std(x,correction=1) np.max(x) np.max(A,0) np.max(A,axis=1,keepdims=True)
np.max(x,initial=5.0) np.max(x,where=m,initial=-9.0) np.amax(x) np.max(s) np.min(x) np.min(A,0)
np.min(A,axis=1,keepdims=True) np.min(x,initial=-5.0) np.min(x,where=m,initial=9.0) np.amin(A,1) np.ptp(x)
np.ptp(A,axis=0) np.ptp(A,axis=1,keepdims=True) np.argmax(x) np.argmax(A,0) np.argmax(A,axis=1,keepdims=True)
np.argmin(x) np.argmin(A,1) np.argmax(A) np.any(x) np.any(A>0,axis=0) np.any(x,where=m) np.all(x)
np.all(A>0,axis=1,keepdims=True) np.all(s>0) np.count_nonzero(x) np.count_nonzero(A>0,axis=0)
np.count_nonzero(A,keepdims=True) np.count_nonzero(x)*x.astype(np.float32) np.average(x) np.average(x,weights=w)
np.average(A,axis=1,weights=w) np.average(x,weights=p) np.average(A,0,returned=True)
np.average(x,weights=w,returned=True) np.cumsum(x) np.cumsum(A) np.cumsum(A,1) np.cumsum(A,axis=0) np.cumsum(s)
np.cumsum(x>0) np.cumprod(x) np.cumprod(A) np.cumprod(A,1) np.cumprod(L) np.cumprod(x>0) np.cumulative_sum(x)
np.cumulative_sum(A,axis=1,include_initial=True) np.cumulative_prod(x)
np.cumulative_prod(A,axis=0,include_initial=True) np.nansum(N) np.nansum(A,0) np.nansum(x>0) np.nanprod(N)
np.nanprod(A,1) np.nanmean(N) np.nanmean(A,axis=0,keepdims=True) np.nanmean(x,where=m) np.nanvar(N)
np.nanvar(A,0,ddof=1) np.nanstd(N) np.nanstd(A,axis=1) np.nanmax(N) np.nanmax(A,0) np.nanmin(N) np.nanmin(A,1)
np.nanmax(x>0) np.nanargmax(N) np.nanargmin(A,0) np.nancumsum(N) np.nancumsum(A,1) np.nancumprod(N) np.nancumprod(A,0)
np.cov(x) np.cov(A) np.cov(x,y) np.cov(A,rowvar=False) np.cov(A,bias=True) np.cov(A,C,ddof=0) np.corrcoef(A)
np.corrcoef(x,y) np.linalg.norm(x) np.linalg.norm(A) np.linalg.norm(A,axis=1) np.linalg.norm(A,'fro')
np.linalg.norm(x,1) np.linalg.norm(x,3) np.linalg.norm(x,np.inf) np.linalg.norm(x,-np.inf) np.linalg.norm(A,1)
np.linalg.norm(A,np.inf) np.linalg.norm(A,-1) np.linalg.norm(A,-np.inf,keepdims=True) np.linalg.norm(T,axis=(0,2))
np.linalg.norm(T,1,axis=(2,0)) np.linalg.norm(x,0) np.linalg.norm(A,axis=0,keepdims=True) np.linalg.norm(x,-1.5)
np.linalg.norm(T) np.linalg.vector_norm(x) np.linalg.vector_norm(A,axis=1) np.linalg.vector_norm(A,ord=1)
np.linalg.vector_norm(x,ord=4) np.linalg.matrix_norm(A) np.linalg.matrix_norm(T,keepdims=True)
np.linalg.matrix_norm(T,ord=1) np.dot(x,y) np.dot(A,B) np.dot(A,x) np.dot(2.0,x) np.dot(s,x)
np.dot(T,np.ones((2,4,3))) np.dot(S,w) np.dot(w,S) np.vdot(x,y) np.vdot(A,C) np.inner(x,y) np.inner(A,C) np.inner(s,x)
np.outer(x,y) np.outer(A,x) np.outer(w,x) np.outer(s,x) np.tensordot(A,B,1) np.tensordot(x,y,1) np.tensordot(A,C,2)
np.tensordot(T,A,axes=((0,1),(0,1))) np.tensordot(A,x,0) np.tensordot(A,B,axes=([0],[1])) np.einsum('ij,jk->ik',A,B)
np.einsum('i,i',x,y) np.einsum('ij->ji',A) np.einsum('ii->i',S) np.einsum('ii',S) np.einsum('i->',x)
np.einsum('...i,i->...',T[...,:3],x) np.einsum('ij,j',A,x) np.einsum(A,[0,1],x,[1],[0]) np.einsum('i,j,k->ijk',x,y,w)
np.einsum('ij,ij->i',A,C) np.einsum('...j,...j',A,C) np.einsum('ij',A) np.einsum_path('ij,jk->ik',A,B)
np.linalg.matmul(A,B) np.linalg.outer(x,y) np.linalg.tensordot(A,B,axes=1) np.linalg.trace(S)
np.linalg.trace(T,offset=1) np.linalg.vecdot(x,y) np.linalg.vecdot(A,C,axis=0) np.linalg.cross(x,y)
np.linalg.multi_dot([A,B,A,x]) np.linalg.diagonal(T) np.linalg.diagonal(S,offset=-1) np.linalg.matrix_transpose(T)
np.linalg.norm(A,'nuc') np.linalg.norm(A,2) np.linalg.norm(A,-2,keepdims=True) np.linalg.norm(T,2,axis=(2,0))
np.linalg.norm(x,2.5) np.linalg.norm(x,0.5) np.linalg.norm(T,'nuc',(0,1),keepdims=True)
np.linalg.matrix_norm(T,ord=-2) np.linalg.vector_norm(T,axis=(0,2),ord=3,keepdims=True)
np.linalg.inv(S) np.linalg.solve(S,x) np.linalg.solve(S,B) np.linalg.solve(S,w) np.linalg.solve(np.eye(3)*2,x)
np.linalg.det(S) np.linalg.det(np.stack([S,S.T*2])) np.linalg.slogdet(S) np.linalg.slogdet(S)[1]
np.linalg.cholesky(S@S.T+np.eye(3)) np.linalg.cholesky(np.diag(p)+0.1,upper=True) np.linalg.eigh(S) np.linalg.eigh(S)[0]
np.linalg.eigh(S,UPLO='u').eigenvalues np.linalg.eigvalsh(S) np.linalg.eigvalsh(S,'U')
np.linalg.svd(A,full_matrices=False) np.linalg.svd(A,full_matrices=False).S np.linalg.svd(S)[0]
np.linalg.svd(A,compute_uv=False) np.linalg.svdvals(B) np.linalg.qr(B) np.linalg.qr(A) np.linalg.qr(B,mode='r')
np.linalg.qr(A,'complete').R np.linalg.pinv(A) np.linalg.pinv(B,1e-9) np.linalg.pinv(S,rtol=None)
np.linalg.lstsq(B,x) np.linalg.lstsq(B,x)[0] np.linalg.lstsq(A,[1.0,2.0],rcond=None)[0] np.linalg.lstsq(B,S)[1]
np.linalg.tensorsolve(S,x) np.linalg.tensorsolve(S[:,None],x[:,None]) np.linalg.tensorinv(S,1) np.linalg.cond(S)
np.linalg.cond(S,-2) np.linalg.cond(S,1) np.linalg.cond(S,'fro') np.linalg.matrix_rank(A) np.linalg.matrix_rank(x)
np.linalg.matrix_rank(S,tol=s) np.linalg.matrix_rank(T,rtol=0.1) np.linalg.matrix_power(S,-2)
np.linalg.inv(S.astype(np.float32)) np.linalg.multi_dot([A,B,A,S,x]) np.linalg.multi_dot([x,B,A,x])
np.linalg.matrix_power(S,3) np.linalg.matrix_power(S,0) np.linalg.matrix_power(S,1) np.cross(x,y) np.cross(A,x)
np.cross(B,B,axis=0) np.cross(np.ones((4,3)),x) np.cross(S,S,axisa=0,axisc=0) np.trace(S) np.trace(A,1)
np.trace(T,axis1=1,axis2=2) np.trace(S,dtype=np.float32) np.kron(x,y) np.kron(A,B) np.kron(x,A) np.reshape(A,(3,2))
np.reshape(A,-1) np.reshape(A,(3,2),order='F') np.reshape(x,(1,3,1)) np.reshape(s,(1,1)) np.reshape(A,6)
np.reshape(A,(3,2),copy=True) np.reshape(A,(3,-1),order='A') np.ravel(A) np.ravel(A,'F') np.ravel(s) np.ravel(n)
np.ravel(A.T) np.ravel(A,'K') np.ravel(x,'A') np.transpose(A) np.transpose(T,(2,0,1)) np.transpose(x)
np.transpose(T,(0,-1,1)) np.matrix_transpose(T) np.permute_dims(T,(1,0,2)) np.swapaxes(T,0,2) np.moveaxis(T,0,-1)
np.moveaxis(T,(0,1),(2,0)) np.rollaxis(T,2) np.rollaxis(T,0,3) np.rollaxis(T,1,0) np.expand_dims(x,0)
np.expand_dims(A,(0,-1)) np.expand_dims(s,0) np.squeeze(A[None,:,None]) np.squeeze(A[None],0) np.squeeze(x)
np.squeeze(n) np.squeeze(s) np.squeeze(z) np.transpose(n) np.transpose(s) np.broadcast_to(x,(2,3))
np.broadcast_to(s,3) np.broadcast_arrays(x,A) np.broadcast_arrays(x,y) np.atleast_1d(s) np.atleast_1d(x,2.0)
np.atleast_2d(x) np.atleast_2d(s,A) np.atleast_3d(x) np.atleast_3d(A) np.atleast_3d(s,T) np.concatenate([x,y])
np.concatenate([A,C],1) np.concatenate([A,x[None]]) np.concatenate([A,C],axis=None) np.concat([x,[1.0,2]])
np.concatenate(A) np.concatenate([x,w.astype(np.float32)]) np.concatenate([x,y],dtype=np.float32) np.stack([x,y])
np.stack([x,y],1) np.stack([s,2.0,t]) np.stack([A,C],-1) np.stack(A) np.stack([s,1]) np.vstack([x,y]) np.vstack([A,x])
np.vstack([s,t]) np.hstack([x,y]) np.hstack([A,C]) np.hstack([s,x]) np.hstack([s,1]) np.dstack([x,y]) np.dstack([A,C])
np.column_stack([x,y]) np.column_stack([A,np.ones(2)]) np.vstack(A) np.block([[A,C],[x,y]]) np.block([x,s])
np.block([[S,x[:,None]],[y,1.0]]) np.append(x,y) np.append(A,C,axis=0) np.append(x,2.0) np.append(w,s)
np.array_split(L,3) np.array_split(A,2,axis=1) np.split(x,3) np.split(L,[2,5]) np.split(T,2,axis=2) np.hsplit(A,3)
np.hsplit(x,3) np.vsplit(A,2) np.dsplit(T,2) np.unstack(A) np.unstack(A,axis=1) np.tile(x,2) np.tile(A,(2,1))
np.tile(x,(2,2)) np.tile(s,3) np.tile(A,1) np.repeat(x,2) np.repeat(A,2,axis=1) np.repeat(x,[1,0,2]) np.repeat(A,3)
np.repeat(s,2) np.roll(x,1) np.roll(A,1) np.roll(A,1,axis=1) np.roll(A,(1,2),axis=(0,1)) np.roll(x,-4) np.flip(x)
np.flip(A) np.flip(A,1) np.fliplr(A) np.flipud(A) np.rot90(A) np.rot90(A,2) np.rot90(A,3) np.rot90(A,0)
np.rot90(T,1,(1,2)) np.diff(x) np.diff(A) np.diff(A,axis=0) np.diff(L,2) np.diff(x,prepend=0.0) np.diff(x,append=y)
np.diff(x>0) np.diff(x,0) np.diff(x,prepend=s,append=[1.0,2.0]) np.ediff1d(x)
np.ediff1d(A,to_end=s,to_begin=[1.0,2.0]) np.trapezoid(x) np.trapezoid(x,v) np.trapezoid(A,dx=0.5)
np.trapezoid(A,axis=0) np.trapezoid(T,v,axis=1) np.trapezoid(x,dx=s) np.trapezoid(A,C) np.gradient(x)
np.gradient(L,2.0) np.gradient(A) np.gradient(A,axis=0) np.gradient(L,edge_order=2) np.gradient(x,v)
np.gradient(L,np.array([0,1,3,4,6,7,9.0])) np.gradient(L,np.array([0,1,3,4,6,7,9.0]),edge_order=2)
np.gradient(T,0.5,s,axis=(1,2)) np.gradient(L,s,edge_order=2) np.unwrap(L*3) np.unwrap(L*3,discont=3.5)
np.unwrap(A*4,axis=0) np.unwrap(L*3,period=4.0) np.convolve(x,y) np.convolve(L,x,'same') np.convolve(x,L,'valid')
np.convolve(L,[1.0,2.0]) np.convolve(s,x) np.correlate(L,x) np.correlate(L,x,'full') np.correlate(x,L,'same')
np.correlate(x,y,'same') np.correlate(x,L,'valid') np.correlate(L,x,'same') np.correlate(x,L,'full')
np.correlate(L,p[:2],'same') np.correlate(p[:2],L,'same') np.polyval(x,s) np.polyval(x,A) np.polyval([1,2,3],s)
np.polyval([1.0,2,3],x) np.polyder(x) np.polyder(L,2) np.polyint(x) np.polyint(x,2,[1.0,s]) np.polyder(x,0)
np.polyint(x,k=2.0) np.vander(x) np.vander(x,2) np.vander(x,4,increasing=True) np.where(m,x,y) np.where(x>0,x,0.0)
np.where(M,A,s) np.where(True,s,t) np.where(x>0,x.astype(np.float32),1.0) np.where(x,1.0,y) np.clip(x,-1,1)
np.clip(x,None,1.0) np.clip(x,-1.0,None) np.clip(x,t,s) np.clip(s,-1,1) np.clip(n,-1,1) np.clip(z,-1,2)
np.clip(x,min=0) np.clip(A,-1,x) np.clip(x,None,None) np.clip(x.astype(int),0,1) np.clip(x,max=s) np.round(x)
np.round(n) np.round(z) np.round(x,1) np.around(s,1) np.round(A*10,-1) np.fix(x) np.fix(s) np.take(x,[0,2])
np.take(x,1) np.take(A,[1,1],axis=1) np.take(A,[0,5]) np.take(x,[3,-4],mode='wrap') np.take(x,[7,-2],mode='clip')
np.take(x,np.argmax(x)) np.take(A,K) np.take(s,0) np.take(x,[[0]]) np.take_along_axis(A,K,1)
np.take_along_axis(A,K,-1) np.take_along_axis(A,k,None) np.take_along_axis(A,np.argmax(A,axis=1,keepdims=True),1)
np.compress([True,False,True],x) np.compress(m,A,axis=1) np.compress([True,False],A,0) np.choose(k,[x,y,w])
np.choose([0,1,3],[x,y],mode='wrap') np.choose([0,1,3],[x,y],mode='clip') np.select([x>0,y>0],[x,y])
np.select([m,~m],[x*2,y],default=s) np.select([x>1],[x],w) np.diagonal(S) np.diagonal(A,1) np.diagonal(T,0,1,2)
np.diagonal(S,-1) np.diagonal(A,5) np.diag(x) np.diag(S) np.diag(x,-1) np.diag(A,1) np.diagflat(A) np.diagflat(x,1)
np.tril(S) np.tril(A,-1) np.triu(S,1) np.triu(T) np.tril(x) np.delete(x,1) np.delete(A,[0,2],axis=1)
np.delete(L,slice(1,5,2)) np.insert(x,1,s) np.insert(A,1,x,axis=0) np.insert(x,[0,2],[s,t])
np.insert(A,[1],[[1.0],[2.0]],axis=1) np.insert(A,2,5.0) np.resize(x,(2,4)) np.resize(A,4) np.pad(x,2)
np.pad(A,((1,0),(0,2))) np.pad(x,(1,2),constant_values=3.0) np.pad(x,2,'edge') np.pad(A,1,'reflect')
np.pad(x,2,'wrap') np.pad(A,1,'symmetric') np.pad(x,1,constant_values=s) np.pad(x,(1,1),constant_values=((1,2),))
np.pad(A,{-1:(1,2)}) np.lib.stride_tricks.sliding_window_view(L,3)
np.lib.stride_tricks.sliding_window_view(T,(2,2),axis=(1,2)) np.lib.stride_tricks.sliding_window_view(A,(2,2))
np.full_like(x,s) np.full_like(x,2.0) np.full_like(x,s,shape=(2,2)) np.zeros_like(x)+x np.ones_like(A)*A
np.empty_like(x)*0+x np.zeros_like(s)+s np.ones_like(x,dtype=np.float32)*x np.zeros_like(x,dtype=int)+x np.copy(x)
np.copy(A.T) np.copy(s) np.astype(x,np.float32) np.astype(x,int) np.astype(x,float,copy=False) np.real(x) np.real(s)
np.imag(x) np.imag(s) np.real_if_close(x) np.sinc(x) np.sinc(s) np.angle(x) np.angle(x,deg=True) np.nan_to_num(N)
np.nan_to_num(s) np.nan_to_num(x,nan=s) np.nan_to_num(x.astype(int)) np.linspace(s,3.0) np.linspace(0.0,s,5)
np.linspace(x,y,4) np.linspace(x,y,4,axis=1) np.linspace(s,t,4,endpoint=False) np.linspace(s,9.7,3,retstep=True)
np.linspace(s,9.0,4,dtype=np.float32) np.linspace(x,1.0,1) np.linspace(s*3,9.7,3,dtype=int) np.logspace(s,2.0,4)
np.logspace(x,1.0,3,base=2.0) np.logspace(0.0,1.0,3,base=s+1) np.geomspace(s,20.0,4) np.geomspace(p,9.0,3)
np.geomspace(s,20.0,3,endpoint=False) np.meshgrid(x,y[:2]) np.meshgrid(x,y,indexing='ij')
np.meshgrid(x,[1.0,2.0],sparse=True) np.meshgrid(x) np.meshgrid(x,y,w[:2]) np.full((2,3),s,like=x)
np.full(2,x[0],like=x) np.zeros(3,like=x)+x np.ones((2,3),like=x)*x np.empty(3,like=x)*0+x np.eye(3,like=x)*x
np.identity(3,like=x)*x np.tri(3,like=x)*x np.arange(3.0,like=x)*x np.array([x,y],like=x) np.asarray(x,like=x)
np.array([[s,1],[2,t]],like=x) np.asanyarray([s,t],like=x) np.ascontiguousarray(A.T,like=x)
np.asfortranarray(A,like=x) np.fromfunction(lambda i:i*2.0,(3,),like=x)*x np.array([s,2],dtype=np.float32,like=x)
np.require([1.0,2.0,3.0],like=x)*x np.array(x,ndmin=2,like=x) np.frombuffer(b'\\0'*24,like=x)+x
np.fromiter(range(3),float,like=x)+x np.fromstring('1,2,3',sep=',',like=x)*x np.loadtxt(['1','2','3'],like=x)*x
np.genfromtxt(['1','2','3'],like=x)*x np.shape(A) np.shape(s) np.ndim(A) np.size(A) np.size(A,1) np.ndim(s)
np.result_type(x,np.float32) np.result_type(s,np.float32) np.result_type(n,np.float32) np.can_cast(x,np.float32)
np.common_type(x,np.float32(1)) np.iscomplexobj(x) np.isrealobj(x) np.diag_indices_from(S) np.tril_indices_from(S)
np.triu_indices_from(S,1) np.isclose(x,y) np.isclose(x,x+1e-9) np.isclose(N,N,equal_nan=True) np.isclose(s,t)
np.allclose(x,y) np.allclose(x,x) np.array_equal(x,y) np.array_equal(x,A) np.array_equal(N,N,equal_nan=True)
np.array_equiv(x,x[None]) np.array_equiv(x,A[:,:2]) np.isreal(x) np.iscomplex(x) np.isposinf(x) np.isneginf(N)
np.array_repr(x) np.array_str(x) np.array2string(A,precision=2) np.apply_along_axis(lambda row:row[0]*row,1,A)
np.apply_along_axis(np.sum,0,T) np.apply_along_axis(np.diag,-1,A) np.apply_along_axis(lambda row:row.sum(),0,x)
np.apply_over_axes(np.sum,T,[0,2]) np.apply_over_axes(np.max,A,1) np.copyto(a:=x.copy(),y) or a
np.copyto(a:=x.copy(),s,where=m) or a np.copyto(a:=A.copy(),x,where=M) or a np.copyto(a:=x.copy(),2.0,where=x>0) or a
np.copyto(a:=np.zeros_like(x),x) or a np.put(a:=x.copy(),[0,2],[s,t]) or a np.put(a:=A.copy(),[4],s) or a
np.put(a:=np.zeros_like(A),[1,2],x[:2]) or a np.putmask(a:=x.copy(),m,y) or a np.putmask(a:=x.copy(),x>0,s) or a
np.place(a:=x.copy(),m,s) or a np.fill_diagonal(a:=S.copy(),s) or a np.fill_diagonal(a:=S.copy(),x) or a
np.fill_diagonal(a:=B.copy(),x[:2]) or a np.fill_diagonal(a:=np.zeros_like(S),x) or a
np.put_along_axis(a:=A.copy(),K[:,:1],s,1) or a np.put_along_axis(a:=A.copy(),K[:,:2],C[:,:2],1) or a
np.put(a:=A.copy(),[0,1,1],[s,t]) or a np.put(a:=x.copy(),[5,-1],y,mode='clip') or a
np.put(a:=x.copy(),[4,-4],y,mode='wrap') or a np.put(a:=x.copy(),np.argmax(x),s) or a np.put(a:=x.copy(),[],s) or a
np.putmask(a:=A.copy(),A>0,[s,t]) or a np.putmask(a:=x.copy(),x,y[:2]) or a np.place(a:=A.copy(),A>0,[s,t]) or a
np.place(a:=x.copy(),x>9,y) or a np.put_along_axis(a:=A.copy(),np.argmax(A,axis=1,keepdims=True),s,1) or a
np.put_along_axis(a:=A.copy(),k,x,None) or a np.nonzero(x>0) np.nonzero(A) np.flatnonzero(A>0) np.argwhere(A>0)
np.argwhere(x) np.where(x>0) np.where(A>0,A,0.0)[np.nonzero(A>0)] np.extract(x>0,x) np.extract(m,x) np.extract(A>0,C)
np.compress(x>0,x) np.compress(x>0,A,axis=1) np.trim_zeros(np.where(x>1,x,0.0)) np.trim_zeros(np.maximum(x,0),'b')
np.trim_zeros(x,'f') np.argsort(x) np.argsort(A,axis=0) np.take(x,np.argsort(x)) np.argpartition(L,2) np.lexsort((y,x))
np.searchsorted(w,x) np.searchsorted(np.cumsum(p),[1.0,2.0]) np.digitize(x,w) np.isin(x,y) np.bincount(np.argmax(A,1))
np.bincount(k,x) np.bincount(k,weights=x,minlength=5) np.bincount(np.argmax(A,0),x) np.linalg.matrix_rank(S)
np.ix_(np.argmax(A,1),[0,1]) np.ravel_multi_index((np.argmax(x),1),(3,3)) np.unravel_index(np.argmax(A),A.shape)
np.packbits(x>0) np.unpackbits(np.packbits(x>0)) np.repeat(x,np.argmax(x)) np.roll(x,np.argmax(x))
np.delete(x,np.argmax(x)) np.delete(A,np.argmax(A[0]),axis=1) np.insert(x,np.argmax(x),s) np.take(A,np.argmax(x),1)
np.add.reduceat(L,[0,3,1,1]) np.multiply.reduceat(A,[1,0],axis=0) np.maximum.reduceat(A,[0,1],1)
np.piecewise(x,[x<0,x>1],[np.abs,np.sin,s]) np.piecewise(A,[A>s],[np.exp,0.5])
np.reshape(A,(np.argmax(x)+1,-1)) np.tile(x,np.argmax(x)) np.split(L,[np.argmax(x)]) np.eye(np.argmax(x))@A
np.sum(A,axis=np.argmax(x)-1) np.zeros(np.argmax(x))+s np.arange(np.argmax(x))*s np.expand_dims(x,np.argmax(x)-1)
np.median(x) np.median(A,0) np.median(T,(0,2),keepdims=True) np.median(L) np.nanmedian(N) np.nanmedian(A,1) np.median(N)
np.quantile(L,0.3) np.quantile(A,[0.1,0.9],axis=1) np.quantile(L,0.5,method='midpoint') np.quantile(L,u[0])
np.quantile(L,0.41,method='hazen') np.quantile(L,0.4,method='inverted_cdf') np.quantile(T,0.3,(0,1),keepdims=True)
np.percentile(A,30) np.percentile(L,[20,75]) np.percentile(L,s*20) np.nanquantile(N,0.3) np.nanpercentile(N,70)
np.nanpercentile(A,30,axis=0) np.interp(x,w,y) np.interp(1.7,w,x) np.interp(x,np.sort(v),y) np.interp(x,w,y,s,t)
np.interp(x,w,y,period=2.5) np.interp(A,[-1.0,0.5,1.0],[s,t,2.0]) np.histogram(L,4) np.histogram(x,w)
np.histogram(L,3,(-1,1))
np.histogram(x,[-2.0,0.0,3.0],weights=y) np.histogram(x,[-2.0,0.0,3.0],density=True) np.histogram_bin_edges(L,4)
np.polyfit(w,x,1) np.polyfit(v,y,1) np.polyfit(w,S,1) np.polyfit(v,y,2,w=p) np.unique(A) np.unique(K*s)
np.unique(K*s,return_index=True,return_inverse=True,return_counts=True) np.unique_values(x) np.unique_counts(K*s)
np.unique_inverse(K*s) np.unique_all(K*s) np.union1d(x,y) np.setdiff1d(x,y) np.setdiff1d(K*s,[0.0,7.0])
np.intersect1d(K*s,w*s) np.intersect1d(x,[1]) np.digitize(x,p) np.isin(x,[s,t,0.4])
np.sort(x) np.sort(A,axis=0) np.sort(A,axis=None) np.sort(L[::-1],kind='stable') np.partition(L,3) np.sort(N)
np.partition(A,1,axis=1) np.swapaxes(T,0,np.argmax(x)) np.diag(x,np.argmax(x)) np.pad(x,np.argmax(x))
"""  # fmt: skip

EVERY_ARGUMENT = """
np.sum(a=x) np.sum(A,axis=()) np.sum(A,None,np.float32,None,True) np.sum(A,out=np.zeros_like(A[0]),axis=0)
np.sum(x,initial=s,where=m) np.sum(x,where=x>0) np.sum(A,axis=0,keepdims=1) np.sum(T,axis=(-1,0)) np.sum([x,y])
np.prod(A,dtype=np.float32) np.prod(A,axis=(0,1)) np.prod(x,initial=s) np.prod(x,where=x>0)
np.prod(A,0,out=np.zeros_like(A[0])) np.mean(A,out=np.zeros_like(A[0]),axis=0) np.mean(A,axis=()) np.mean(x,where=x>0)
np.var(x,where=x>0) np.var(A,0,np.float32) np.var(A,axis=1,mean=np.mean(A,axis=1,keepdims=True))
np.var(A,axis=0,out=np.zeros_like(A[0])) np.var(x,ddof=0.5) np.var(x,ddof=s) np.std(x,ddof=0.5)
np.std(A,0,mean=np.mean(A,0,keepdims=True)) np.std(A,0,dtype=np.float32) np.std(x,where=x>0,ddof=1)
np.max(A,axis=(0,1)) np.max(A,0,out=np.zeros_like(A[0])) np.max(x,initial=s) np.max(x,where=x>0,initial=s)
np.min(A,axis=(0,1),initial=s,where=A>0) np.ptp(A,out=np.zeros_like(A[0]),axis=0) np.ptp(A,axis=(0,1))
np.argmax(A,0,out=np.zeros(3,int)) np.argmax(s) np.any(A,axis=(0,1)) np.any(x,out=np.zeros((),bool))
np.any(x,where=x>0) np.all(x,where=x>0) np.all(A>0,axis=(0,1),keepdims=True) np.count_nonzero(A>0,axis=(0,1))
np.average(A,axis=(0,1)) np.average(A,axis=(0,1),weights=C) np.average(A,axis=1,keepdims=True)
np.average(A,axis=1,weights=C*C,keepdims=True) np.average(A,weights=np.abs(C))
np.average(T,axis=(0,1),weights=np.abs(A)) np.average(T,axis=(1,0),weights=np.abs(B)) np.average(A,weights=M)
np.average(A,axis=0,weights=[1,2]) np.average(A,axis=-1,weights=w,returned=True)
np.average(A,axis=(0,1),returned=True) np.average(A>0,axis=0) np.cumsum(A,axis=-1,dtype=np.float32)
np.cumsum(x,out=np.zeros_like(x)) np.cumprod(A,axis=-1,dtype=np.float32) np.cumulative_sum(A,axis=-1,dtype=np.float32)
np.cumulative_sum(x,include_initial=True) np.cumulative_prod(x,out=np.zeros_like(x)) np.nansum(N,dtype=np.float32)
np.nansum(A,axis=(0,1),keepdims=True) np.nansum(N,initial=2.0) np.nansum(x,where=m)
np.nanprod(A,axis=0,keepdims=True,initial=s) np.nanprod(x,where=m) np.nanmean(N,dtype=np.float32)
np.nanmean(A,out=np.zeros_like(A[0]),axis=0) np.nanvar(A,0,np.float32) np.nanvar(x,mean=np.mean(x))
np.nanvar(A,0,correction=1) np.nanstd(A,axis=0,keepdims=True) np.nanstd(A,axis=0,mean=np.mean(A,0,keepdims=True))
np.nanmax(A,axis=(0,1),keepdims=True) np.nanmax(N,initial=s) np.nanmax(A,where=M,initial=-9.0)
np.nanmin(A,where=M,initial=s,axis=0) np.nanargmax(A,axis=1,keepdims=True) np.nanargmin(A,0,out=np.zeros(3,int))
np.nancumsum(A,dtype=np.float32) np.nancumprod(A,axis=1,dtype=np.float32) np.cov(A,fweights=[1,2,1])
np.cov(A,aweights=p) np.cov(A,aweights=w) np.cov(A,fweights=[1,2,1],aweights=w)
np.cov(A,fweights=[1,2,1],aweights=p,ddof=0) np.cov(x,aweights=p,ddof=2) np.cov(A,aweights=p,bias=True)
np.cov(A,dtype=np.float32) np.cov(A,ddof=2) np.cov(x,y,rowvar=False) np.cov(A,C,rowvar=False)
np.cov(A.T,x,rowvar=False) np.cov(A>0) np.cov([x,y]) np.corrcoef(A,C) np.corrcoef(A,rowvar=False)
np.corrcoef(A,dtype=np.float32) np.corrcoef(x) np.corrcoef(A,x) np.linalg.norm(x,keepdims=True)
np.linalg.norm(A,axis=(0,1),keepdims=True) np.linalg.norm(x,-2) np.linalg.vector_norm(x,ord=np.inf,keepdims=True)
np.linalg.vector_norm(x,ord=-np.inf) np.linalg.vector_norm(x,ord=0) np.linalg.matrix_norm(T,ord='nuc')
np.linalg.matrix_norm(T,ord=2,keepdims=True) np.linalg.matrix_norm(T,ord=np.inf) np.linalg.matrix_norm(T,ord=-np.inf)
np.linalg.matrix_norm(T,ord=-1) np.dot(A,B,out=np.zeros_like(A@B)) np.dot(A,B,np.zeros_like(A@B))
np.dot(x,[1.0,2.0,3.0]) np.vdot(A,A) np.vdot(s,t) np.inner(T,np.ones((5,4))) np.inner(A,x)
np.outer(x,y,np.zeros_like(S)) np.tensordot(A,C,axes=((0,1),(0,1))) np.tensordot(A,B,axes=(1,0))
np.tensordot(A,B,axes=([-1],[-2])) np.tensordot(A,B,axes=[[1,0],[0,1]]) np.tensordot(s,t,0)
np.einsum('ij,jk->ik',A,B,optimize=True) np.einsum('ij,jk,kl->il',A,B,C,optimize='greedy')
np.einsum('ij,jk,kl->il',A,B,C,optimize='optimal')
np.einsum('ij,jk,kl->il',A,B,C,optimize=['einsum_path',(0,1),(0,1)]) np.einsum('ij,jk->ik',A,B,out=np.zeros_like(A@B))
np.einsum('ij,jk->ik',A,B,dtype=np.float32,casting='same_kind') np.einsum('ij,jk->ik',A,B,order='F')
np.einsum('iij->j',T[:,:2]) np.einsum('iij->ji',T[:,:2]) np.einsum('...ij,...jk->...ik',T,np.ones((4,2)))
np.einsum('...ij,jk',T,np.ones((4,2))) np.einsum('i...->...',T) np.einsum('...',x) np.einsum('...->...',T)
np.einsum('...i->i...',T) np.einsum('ij,...j->i...',A,T.transpose(0,2,1)) np.einsum('i j,j k -> i k',A,B)
np.einsum(',->',s,t) np.einsum('i,->i',x,s) np.einsum(A,[0,1],B,[1,2]) np.einsum(A,[0,1],B,[1,2],[2,0])
np.einsum(T,[Ellipsis,0],np.ones(4),[0],[Ellipsis]) np.einsum(T,[0,Ellipsis],[Ellipsis,0]) np.einsum(S,[0,0],[0])
np.einsum('ii->',S) np.einsum('ab,cb->abc',A,C) np.einsum('i,i,i->i',x,y,w) np.einsum('ij,ij',A,C)
np.einsum('i,j',x,y) np.einsum('ji',A) np.einsum('ij->',A) np.einsum('ijk->kj',T)
np.einsum('ij,kj->ik',A,[[1.0,2.0,3.0]]) np.einsum('ij,j->i',A,np.ones(1))
np.einsum_path('ij,jk,kl->il',A,B,C,optimize='optimal') np.trace(T,offset=1,axis1=-2,axis2=-1)
np.trace(S,out=np.zeros_like(s)) np.trace(T,-1,0,2) np.linalg.trace(S,dtype=np.float32) np.kron(A,x) np.kron(s,A)
np.kron(T,A) np.kron(T,x) np.kron(x,[1,2]) np.cross(A,C,axis=1) np.cross(A,x,axisc=0) np.cross(A,C,axisa=-1,axisb=1)
np.cross(x,T[:,:,0]) np.cross([1,2,3],x) np.linalg.cross(B,C.T,axis=0)
np.linalg.multi_dot([A,B,A],out=np.zeros_like(A)) np.linalg.tensorsolve(np.reshape(np.eye(6)*s+0.1,(2,3,2,3)),A)
np.linalg.tensorinv(np.reshape(np.eye(6)*s+0.1,(2,3,6)))
np.linalg.tensorinv(np.reshape(np.eye(6)*s+0.1,(6,3,2)),ind=1) np.reshape(A,shape=(3,2))
np.reshape(A,(3,2),copy=False) np.reshape(A.T,(3,2),'A') np.ravel(T,'K') np.transpose(T,axes=[2,0,1])
np.rollaxis(T,-1,-3) np.moveaxis(T,[0,-1],[-1,0]) np.expand_dims(A,[0,2]) np.squeeze(A[None,:,None],axis=(0,2))
np.broadcast_to(x,(2,3),subok=True) np.broadcast_to(s,()) np.broadcast_arrays(x,A,subok=True)
np.broadcast_arrays(s,x,[1.0]) np.atleast_1d(s,t,x) np.atleast_3d(x,A) np.concatenate((x,y),axis=-1)
np.concatenate([x,y],out=np.zeros_like(L[:6])) np.concatenate([x,y],dtype=np.float32,casting='same_kind')
np.concatenate([x,y],dtype=np.float32,casting='unsafe') np.concatenate([x,y],casting='no') np.concatenate([x,[1,2]])
np.concatenate((A,T[:,:,0])) np.stack([x,y],axis=-1,out=np.zeros_like(B))
np.stack([x,y],dtype=np.float32,casting='unsafe') np.stack((A,C),axis=1)
np.vstack([x,y],dtype=np.float32,casting='unsafe') np.hstack([x,y],dtype=np.float32,casting='unsafe') np.hstack(A)
np.dstack([A,C,np.ones((2,3))]) np.dstack(A) np.column_stack([x,A.T,y]) np.column_stack(A) np.block(s) np.block(x)
np.block([[[A]],[[C]]]) np.block([s,t,1]) np.append(A,x) np.append(A,[[1,2,3]],axis=0) np.append(s,t)
np.array_split(L,[1,3,9]) np.array_split(A,4,axis=-1) np.split(A,[1],axis=-1) np.split(A,3,-1) np.hsplit(T,[1])
np.tile(A,[2]) np.tile(A,(2,1,2)) np.tile(x,0) np.tile(s,(2,2)) np.repeat(A,[1,2],axis=0) np.repeat(A,[2],axis=1)
np.repeat(x,np.array(2)) np.repeat(A,[1,0,2,1,1,1]) np.roll(A,(1,-1),axis=1) np.roll(A,[1,2],(0,1))
np.roll(A,-1,axis=(0,1)) np.flip(T,(0,2)) np.rot90(A,-1) np.rot90(T,5,axes=(2,0)) np.rot90(T,k=2,axes=(1,-1))
np.diff(A,2,0) np.diff(A,axis=0,prepend=0) np.diff(A,axis=1,append=x[:2,None]) np.diff(A,axis=0,prepend=x[None])
np.diff(A,n=2,prepend=s,append=t) np.ediff1d(x,to_end=[s,t]) np.ediff1d(x,to_begin=0)
np.ediff1d(x,to_begin=-99,to_end=[88,99]) np.trapezoid(A,x=C,axis=1) np.trapezoid(A,x=x)
np.trapezoid(A,x=[0.0,1.0],axis=0) np.trapezoid(A,dx=2,axis=0) np.trapezoid([1,2,3],x) np.trapezoid([1,2,3],dx=s)
np.trapezoid(A,dx=x[:2]) np.trapezoid(x>0,x) np.gradient(A,s) np.gradient(A,s,t) np.gradient(A,[0.0,1.5],x)
np.gradient(A,2.0,v,axis=(0,1)) np.gradient(A,v,axis=1) np.gradient(A,v,axis=-1,edge_order=2)
np.gradient(S,axis=(1,0)) np.gradient(S,edge_order=2) np.gradient(T,axis=None)
np.gradient(L,np.array([0,1,2,3,4,5,6.0])) np.gradient(L,[0,1,2,3,4,5,6]) np.gradient(x,np.array([1,2,3]))
np.gradient(A,axis=()) np.gradient(x.astype(np.float32)) np.gradient([1,2,4],s) np.gradient([1.0,2,4],x)
np.unwrap(L*3,axis=0) np.unwrap(L*3,discont=1.0) np.unwrap(L*3,discont=s*3) np.unwrap(L*3,period=s*3)
np.unwrap(L*3,period=6) np.unwrap(A*4) np.unwrap(L*3,None,-1,period=2.0) np.convolve(x,s) np.convolve(x,y,mode='same')
np.convolve(x,y,mode='valid') np.convolve(x,L,'full') np.convolve(L,[1,2,1],'same') np.convolve(x,L,1)
np.convolve(x,p[:2],'same') np.correlate(x,y) np.correlate(x,y,'full') np.correlate(L,[1,2,1],mode='same')
np.correlate(x,p[:2],2) np.where(x>0,[1,2,3],y) np.where(M,x,A) np.where(x>0,1,0)*x np.where(m,s,np.float32(2))
np.where([True,False,True],x,y) np.round(x,decimals=2) np.round(x,1,out=np.zeros_like(x)) np.around(A,0)
np.fix(x,out=np.zeros_like(x)) np.take(x,[0,2],out=np.zeros_like(x[:2])) np.take(A,[0,1],1,None,'clip')
np.take(A,[5,-7],axis=1,mode='wrap') np.take(A,[[0,1],[1,2]],axis=1) np.take(A,(0,1),axis=-1)
np.take(x,np.argsort(y)+5,mode='wrap') np.take(x,np.argsort(y)+1,mode='clip') np.take(x,1,mode='clip')
np.take([1.0,2.0,3.0],np.argmax(x))*x np.take_along_axis(x,np.argsort(x),axis=0)
np.take_along_axis(A,np.argsort(A,axis=0),axis=0) np.take_along_axis(A,np.argsort(A,axis=None),axis=None)
np.take_along_axis(T,np.argmax(T,axis=1,keepdims=True),axis=1) np.take_along_axis(A,np.array([[0]]),axis=1)
np.compress([1,0,1],x,out=np.zeros_like(x[:2])) np.compress([True],A,axis=0) np.compress([0,1,1,0,1],A)
np.choose(k,[x,y,w],mode='clip') np.choose(np.argsort(x),[x,y,w]) np.choose(np.argmax(x),[x,y,w])
np.choose([[0],[1]],[x,y]) np.choose(k,S) np.choose(k,(x,s,2.0)) np.choose(k,[x,y,w],out=np.zeros_like(x))
np.choose(x>0,[x,y]) np.choose([5,-1,0],[x,y,w],mode='wrap') np.choose(k+1,[x,y],mode='wrap') np.choose(0,[x,y])
np.select([x>0],[x]) np.select([x>0,x<-1],[s,y],-1) np.select([M,~M],[A,x],default=2) np.select([True,False],[s,t])
np.select([x>0],[x],default=y) np.select((m,),(x.astype(np.float32),),1.0) np.diagonal(T,offset=1,axis1=2,axis2=0)
np.diag(A,-1) np.diagflat(S,-1) np.diagflat(s) np.tril(T,k=1) np.triu(x,-1) np.delete(x,[]) np.delete(x,-1)
np.delete(A,1) np.delete(A,[True,False],axis=0) np.delete(x,m) np.delete(A,slice(None,None,2),1)
np.delete(A,np.array([0,0]),1) np.insert(x,[1,1],[s,t]) np.insert(x,slice(0,2),s) np.insert(A,[0,2],[[s],[t]],axis=1)
np.insert(A,1,[s,t],axis=1) np.insert(A,[1],[[s],[t]],axis=1) np.insert(x,-1,s) np.insert(x,m,s) np.insert(A,[1,3],s)
np.insert([1,2,3],1,s) np.insert([1.0,2,3],1,s) np.insert(x,np.argsort(x),s) np.resize(x,5) np.resize(A,(3,1))
np.resize(s,3) np.resize(x,0) np.sinc(A) np.nan_to_num(N,nan=1.0,posinf=2.0,neginf=s)
np.nan_to_num(N*np.inf,posinf=3.0) np.nan_to_num(N*np.inf,posinf=s,neginf=t,nan=s) np.nan_to_num(x,copy=True)
np.nan_to_num(a:=x.copy(),copy=False)+0*a np.linspace(s,t,num=3,endpoint=False,retstep=True)
np.linspace(x,y,3,axis=-1) np.linspace(x,[1,2,3],3) np.linspace(x,1.0,0) np.linspace(s,t,1)
np.linspace(s,t,1,endpoint=False) np.linspace(s,t,2,device='cpu') np.linspace(A,x,4) np.logspace(x,y,3,axis=1)
np.logspace(s,t,3,endpoint=False) np.logspace(s,t,3,base=[2.0,3.0],axis=-1) np.logspace(s,t,3,base=p)
np.logspace(s,t,3,dtype=np.float32) np.geomspace(p,9.0,3,axis=1) np.geomspace(s,20.0,4,dtype=np.float32)
np.geomspace(-s,-20.0,4) np.geomspace(s,20,1) np.geomspace(s,20,3,endpoint=False)
np.geomspace(np.abs(x)*x/np.abs(x),x*9,3) np.meshgrid(x,y,w,indexing='ij',sparse=True) np.meshgrid(s,x)
np.meshgrid(A,x) np.array([x,y],dtype=np.float32,like=x) np.copy(A,order='F') np.copy(A,subok=True)
np.astype(x,np.float32,device='cpu') np.full_like(x,s,dtype=np.float32) np.full_like(A,x) np.full_like(A,x,order='F')
np.full_like(x,s,shape=4) np.full_like(x,s,device='cpu') np.full_like(k,s) np.full((2,3),x,like=x)
np.full((2,3),s,dtype=np.float32,like=x) np.interp(x,w,y,left=s) np.interp(x,w,y,right=t) np.interp(x,[1,2,3],y)
np.interp(x,w,[1,2,3]) np.interp([1.5,2.5],w,y,left=0) np.interp(A,w,y) np.apply_along_axis(lambda r,c:r*c,1,A,2.0)
np.apply_along_axis(lambda r,c=1:r*c,1,A,c=s) np.apply_along_axis(np.outer,0,A,x)
np.apply_along_axis(func1d=np.cumsum,axis=0,arr=A) np.apply_along_axis(lambda r:s,0,A)
np.apply_over_axes(np.mean,T,(0,-1)) np.apply_over_axes(np.sum,A,0) np.piecewise(x,x<0,[np.sin,np.cos])
np.piecewise(x,[x<0],[lambda v:-v,lambda v:v*2]) np.piecewise(x,[x<0,x>=0],[lambda v,c:v*c,lambda v,c:v+c],s)
np.piecewise(x,[x<0,x>=0],[lambda v,c:v*c,lambda v,c:v+c],c=2.0) np.piecewise(s,[s<0,s>=0],[np.sin,np.cos])
np.piecewise(x,[x<0,x<1],[s,t,1.0]) np.piecewise(x,[m,~m],[1,2])*x np.piecewise(w,[m],[s]) np.pad(x,2,mode='constant')
np.pad(x,(2,1),'constant',constant_values=(s,t)) np.pad(A,((1,0),(2,1)),constant_values=((1,2),(s,t)))
np.pad(A,1,constant_values=((s,),(t,))) np.pad(A,{0:1,1:(0,2)}) np.pad(A,{-1:1},mode='edge') np.pad(A,((1,2),),'edge')
np.pad(A,[(1,2),(0,1)],'edge') np.pad(x,2,'linear_ramp') np.pad(x,(2,1),'linear_ramp',end_values=(s,t))
np.pad(A,2,'linear_ramp',end_values=3.0) np.pad(A,((1,2),(2,0)),'linear_ramp',end_values=((1,2),(3,s)))
np.pad(x,2,'maximum') np.pad(L,(2,1),'maximum',stat_length=3) np.pad(A,1,'maximum')
np.pad(A,1,'maximum',stat_length=((1,1),(2,2))) np.pad(L,(3,2),'mean') np.pad(L,2,'mean',stat_length=(2,3))
np.pad(A,((1,2),(2,1)),'mean') np.pad(L,2,'median') np.pad(L,2,'median',stat_length=4) np.pad(A,1,'median')
np.pad(L,2,'minimum') np.pad(A,1,'minimum',stat_length=2) np.pad(L,(3,9),'reflect')
np.pad(x,(3,9),'reflect',reflect_type='even') np.pad(L,(3,2),'reflect',reflect_type='odd')
np.pad(x,(5,7),'reflect',reflect_type='odd') np.pad(A,((1,2),(2,5)),'reflect',reflect_type='odd')
np.pad(L,(3,2),'symmetric',reflect_type='odd') np.pad(x,(5,7),'symmetric',reflect_type='odd')
np.pad(A,2,'symmetric',reflect_type='odd') np.pad(x,(7,9),'symmetric') np.pad(x,(7,9),'wrap')
np.pad(A,((1,2),(2,5)),'wrap') np.pad(x,2,'empty')[2:-2] np.pad(A,(1,0),'reflect',reflect_type='odd')
np.pad(x[:1],2,'reflect') np.pad(x[:1],2,'reflect',reflect_type='odd') np.pad(x,0) np.pad(k,1,constant_values=s)
np.pad(w,1,constant_values=s) np.histogram(x,bins=3,range=(-1.0,1.0),weights=y) np.histogram(x,bins=3,weights=y)
np.histogram(x,bins=[-2.0,0,1,3],weights=y,density=True) np.histogram(x,bins=3,density=True) np.histogram2d(x,y)
np.histogram2d(x,y,bins=3) np.histogram2d(x,y,bins=[2,3]) np.histogram2d(x,y,bins=[-2.0,0.0,3.0])
np.histogram2d(x,y,bins=[[-2.0,0,3],[-1.0,1.0,2.0]],weights=w) np.histogram2d(x,y,bins=[2,[-1.0,1.0,2.0]],weights=p)
np.histogram2d(x,y,bins=2,range=[[-2,3],[-1,2]]) np.histogram2d(x,y,2,density=True)
np.histogram2d(x,y,2,[[-2,3],[-1,2]],True,p) np.histogram2d(w,w,[[0.0,2,4],[0.0,2,4]],weights=x) np.histogramdd(B)
np.histogramdd(B,bins=3) np.histogramdd(B,bins=(2,3),range=[(-3,3),(-3,3)])
np.histogramdd(B,bins=[[-3.0,0.0,3.0],[-3.0,1.0,3.0]],weights=x) np.histogramdd((x,y),bins=2)
np.histogramdd(B,bins=2,density=True) np.histogramdd(B,bins=2,weights=p,density=True)
np.histogramdd(B,bins=2,range=[None,(-3,3)],weights=x) np.histogram_bin_edges(x,[s,2.0,3.0])
np.histogram_bin_edges(L,3,(0,1)) np.histogram_bin_edges(L,3,weights=L) np.bincount(k,weights=x)
np.bincount(np.argsort(x),weights=y,minlength=4) np.bincount(np.argmax(A,1),[1.0,2.0]) np.digitize(x,w,right=True)
np.digitize(x,w[::-1]) np.digitize(1.5,np.sort(x)) np.median(A,axis=0,out=np.zeros_like(A[0]))
np.median(A,axis=1,overwrite_input=True) np.median(A,axis=1,keepdims=True) np.median(x>0) np.median(k*1)*s
np.nanmedian(A,axis=(0,1),keepdims=True) np.nanmedian(A,axis=0,out=np.zeros_like(A[0]))
np.quantile(L,0.41,method='averaged_inverted_cdf') np.quantile(L,0.41,method='closest_observation')
np.quantile(L,0.41,method='interpolated_inverted_cdf') np.quantile(L,0.41,method='weibull')
np.quantile(L,0.41,method='linear') np.quantile(L,0.41,method='median_unbiased')
np.quantile(L,0.41,method='normal_unbiased') np.quantile(L,0.41,method='lower') np.quantile(L,0.41,method='higher')
np.quantile(L,0.41,method='nearest') np.quantile(A,0.41,axis=0,out=np.zeros_like(A[0]))
np.quantile(A,0.41,0,None,True) np.quantile(L,0.41,method='inverted_cdf',weights=np.ones(7))
np.quantile(L,0.41,method='inverted_cdf',weights=np.arange(7))
np.quantile(L,[0.2,0.8],method='inverted_cdf',weights=np.abs(L))
np.quantile(A,0.41,axis=1,method='inverted_cdf',weights=w)
np.quantile(A,0.41,axis=1,method='inverted_cdf',weights=np.abs(C),keepdims=True)
np.percentile(A,41,axis=0,method='inverted_cdf',weights=[1.0,2.0]) np.nanquantile(N,[0.3,0.4])
np.nanquantile(A,0.3,axis=0,method='hazen',keepdims=True) np.nanpercentile(N,40,method='midpoint')
np.percentile(A,[10,50],axis=1,keepdims=True) np.sort(A,kind='mergesort') np.sort(A,axis=0,stable=True)
np.partition(L,[1,3]) np.partition(A,1,axis=None) np.argpartition(A,1,axis=0) np.argpartition(L,[1,3])
np.argsort(A,axis=None) np.argsort(x,kind='stable') np.lexsort((x,y)) np.lexsort(A) np.lexsort((A,C),axis=0)
np.searchsorted(w,x,side='right') np.searchsorted(x,y,sorter=np.argsort(x)) np.searchsorted(x,s,sorter=[1,0,2])
np.isin(x,[0.4],assume_unique=True,invert=True) np.isin(x,y,kind='sort') np.unique(A,axis=0) np.unique(A,axis=1)
np.unique(np.stack([x,x,y]),axis=0)
np.unique(np.stack([x,x,y]),axis=0,return_index=True,return_inverse=True,return_counts=True)
np.unique(K*s,equal_nan=False) np.unique(K*s,sorted=False) np.unique(K*s,sorted=True,return_counts=True)
np.unique_values(K*s) np.setxor1d(x,y) np.setxor1d(K*s,w*s) np.setxor1d(x,y,assume_unique=True)
np.setdiff1d(x,y,assume_unique=True) np.intersect1d(K*s,w*s,return_indices=True)
np.intersect1d(x,y,assume_unique=True) np.intersect1d(x,x[:2],assume_unique=True,return_indices=True) np.union1d(A,x)
np.polyfit(w,x,1,rcond=1e-9) np.polyfit(w,x,1,full=True) np.polyfit(np.arange(7.0),L,1,cov=True)
np.polyfit(np.arange(7.0),L,1,cov='unscaled') np.polyfit(w,x,1,w=p) np.polyfit(w,S,1,w=[1,2,3]) np.poly(x)
np.poly([s,t]) np.polyadd(x,y) np.polyadd(x,L) np.polyadd([1,2],x) np.polyadd(s,x) np.polysub(x,y) np.polysub(L,x)
np.polysub([1,2],x) np.polymul(x,y) np.polymul(x,[1,2]) np.polymul(s,x) np.polymul(L,x) np.polydiv(L,x)
np.polydiv(x,L) np.polydiv(x,[1.0,2.0]) np.polydiv(x,[2.0]) np.polydiv([1.0,2,3],p[:2]) np.polyval(A,s)
np.polyval([s,t,1],x) np.polyval(p,A) np.polyder([s,t,1,2],2) np.polyder(x,3) np.polyder(x,5) np.polyint(x,0)
np.polyint(x,m=2,k=[s,t]) np.polyint([s,1,2]) np.vander(x,N=4) np.vander([s,t],3) np.vander(x,0)
np.real_if_close(x,tol=10) np.angle(z,True) np.packbits(A>0,axis=1) np.packbits(x>0,bitorder='little')
np.unpackbits(np.packbits(x>0),count=3) np.min_scalar_type(s) np.min_scalar_type(x) np.ix_(x>0,[0,1])
np.extract(A>0,A) np.nonzero(x) np.trim_zeros(np.where(x>1,x,0.0),trim='f') np.trim_zeros(np.where(A>0.5,A,0.0))
np.trim_zeros(np.where(A>0.5,A,0.0),axis=0) np.put(a:=x.copy(),[0,2],s) or a np.put(a:=x.copy(),1,s,mode='raise') or a
np.fill_diagonal(a:=B.copy(),s,wrap=True) or a np.copyto(dst=(a:=x.copy()),src=y) or a
np.copyto(a:=x.copy(),[s,t,1.0]) or a np.copyto(a:=x.copy(),y,casting='no') or a
np.copyto(a:=x.copy(),y,where=[True,False,True]) or a np.place(a:=x.copy(),[True,False,True],[s,t]) or a
np.putmask(a:=x.copy(),[True,False,True],[s,t]) or a np.isclose(x,y,rtol=s,atol=0.1)
np.isclose(x,y,rtol=[0.1,0.2,0.3]) np.allclose(x,y,equal_nan=True) np.array_equal(x,[1.0,2.0])
np.isposinf(x,out=np.zeros(3,bool)) np.iscomplex(s) np.sum(np.ix_(x>0)[0])*s np.argsort(x)>>1 np.argsort(x)|1
np.argsort(x)^3 np.linalg.vecdot(T,C[:,:,None],axis=1) np.clip(A,x,y+3) np.clip(x,a_min=0,a_max=1)
np.clip(x,-1,1,out=np.zeros_like(x)) np.clip(x,-1,1,out=x.copy()) np.clip(x,min=-1,max=None)
np.clip(x,-1,1,dtype=np.float32,casting='same_kind') np.clip(x,np.float32(-1),np.float32(1)) np.clip([1.5,2.5],s,9.0)
np.clip(x,-1,1,out=y.copy(),where=m) np.clip(x,-1,1,y.copy(),where=x>0) np.meshgrid(x,y,copy=False)
np.meshgrid(x,y,w,sparse=True,copy=False,indexing='ij')
np.pad(x,2,lambda v,n,k,o:v.__setitem__(slice(0,n[0]),v[n[0]]*v[-3]))
np.pad(A,((1,0),(2,1)),lambda v,n,k,o:v.__setitem__(slice(0,n[0]),o['to']*k+v[2]),to=s) np.sort_complex(x)
np.sort_complex(A) np.shares_memory(x,x[1:]) np.shares_memory(x,y) np.may_share_memory(A,A.T) np.shares_memory(A,2*A)
np.polyfit(v,y,1,rcond=1e-9) np.maximum.accumulate(x) np.minimum.accumulate(A,axis=1) np.fmax.accumulate(A)
np.fmin.accumulate(T,2) np.maximum.accumulate(x,dtype=np.float32)
np.clip(x,s,None) np.clip(x,-1,1,casting='safe') np.clip(x) np.lib.scimath.sqrt(p) np.lib.scimath.log(p)
np.lib.scimath.power(p,2.0) np.lib.scimath.arcsin(u) np.lib.scimath.log2(p) np.lib.scimath.log10(p)
np.lib.scimath.logn(s,p) np.lib.scimath.arccos(u) np.lib.scimath.arctanh(u) np.lib.scimath.sqrt(s)
np.lib.scimath.power(p,x) np.lib.scimath.power(p,k-1)
np.interp(x,w,y,period=s*3) np.interp(x,w,y,s,t,4.0) np.interp(x,w,[s,t,1.0],left=s) np.interp([0.5,1.5],w,x)
np.interp(x,np.sort(v)*s,y) np.take(A,[-1,0],axis=0) np.take(A,3) np.select([x>0,y>0,w>2],[x,y,w],default=np.nan)
np.select([A>0],[A]) np.select([x>0],[1.0],default=s) np.piecewise(A,[A>0,A<-1],[lambda v:v**2,np.exp,s])
np.piecewise(x,[x>0,x>1],[s,t]) np.apply_along_axis(lambda r:np.stack([r,r*2]),0,A)
np.apply_along_axis(lambda r:r[0],-1,T) np.apply_over_axes(np.sum,T,(0,2)) np.append(x,[[s],[t]])
np.insert(A,[0,1],x[:2],axis=1) np.insert(x,2,[s,t]) np.insert(x,slice(None,2),[s,t]) np.insert(A,0,x,axis=0)
np.insert(A,-1,s,axis=1) np.delete(A,np.s_[::2],1) np.delete(x,[0,-1]) np.delete(T,0,-1) np.resize(x,(0,))
np.resize(T,(2,5)) np.put_along_axis(a:=A.copy(),np.array([[0],[1]]),[[s],[t]],1) or a
np.put_along_axis(a:=A.copy(),np.array([[0,1,1]]),C[:1],0) or a
np.put_along_axis(arr=(a:=A.copy()),indices=np.array([[0],[1]]),values=s,axis=1) or a
np.put(a=(a:=x.copy()),ind=[0],v=s) or a np.putmask(a:=x.copy(),mask=m,values=s) or a
np.place(arr=(a:=x.copy()),mask=m,vals=[s,t]) or a np.fill_diagonal(a:=np.zeros((3,3))*s,x) or a
np.fill_diagonal(a:=T[:,:2,:2].copy(),s) or a np.copyto(a:=A.copy(),x,where=[[True],[False]]) or a
np.copyto(a:=A.copy(),s,casting='unsafe') or a np.lexsort([x,y,x]) np.argpartition(x,-1)
np.argpartition(A,(0,1),axis=1,kind='introselect') np.partition(x,-2) np.sort(A,axis=-2)
np.searchsorted(x,y,'left',np.argsort(x)) np.block([[A],[C]]) np.block([[1.0,x],[y,s]]) np.broadcast_arrays(A,x,s)
np.broadcast_arrays(s,t) np.tensordot(T,T,axes=([0,1,2],[0,1,2])) np.tensordot(T,A,((1,0),(1,0)))
np.cross(A,C,-1,-1,0) np.cross(A.T,C.T,axisa=0,axisb=0) np.cross(A.T,C.T,axis=0) np.gradient(A,2,axis=0)
np.gradient(A,s,axis=1,edge_order=2) np.gradient(T,s,v[:2]*0+[1.0,2.0],axis=(2,0)) np.gradient(T,1,2,3)
np.gradient(L,edge_order=1,axis=-1) np.trapezoid(y=x,x=y) np.trapezoid(T,x=T*2,axis=0)
np.cov(x,y,aweights=p,fweights=[1,1,2]) np.cov(A,C,bias=True,aweights=w)
np.cov(A.T,rowvar=False,aweights=[1.0,2.0,3.0]) np.cov(A,aweights=np.abs(y)) np.corrcoef(A.T,rowvar=False)
np.corrcoef(x,y,False) np.quantile(A,q=[0.2,0.7],axis=(0,1),method='weibull',keepdims=True)
np.percentile(a=A,q=30,axis=-1,keepdims=True) np.percentile(A,[[10,20],[30,40]],axis=0)
np.nanpercentile(A,[10,20],axis=0,keepdims=True) np.nanmedian(N,keepdims=True) np.median(T,axis=(0,-1))
np.vander(x,increasing=True) np.polyval(np.poly1d([1.0,2.0]),x) np.polyder(np.poly1d([1.0,2.0,3.0]))(s)
np.polyint(np.poly1d([1.0,2.0]))(s) np.poly([])*s np.poly(A[0]) np.nansum(N,where=[True,True,False])
np.nanmean(N,axis=-1) np.nanvar(N,ddof=1) np.nanstd(N,keepdims=True) np.nanprod(N,initial=s) np.nanmin(N,initial=s)
np.nanmax(A,axis=1,out=np.zeros_like(A[:,0])) np.nancumsum(N,axis=0) np.unwrap(L*3,s*4,-1,period=5.0)
np.ediff1d(x,[s],[t]) np.diff(T,1,1,prepend=0,append=1) np.convolve(s,t) np.fromfunction(lambda i,j:i*s+j,(2,3))
np.fromfunction(lambda i:i*s,(3,),dtype=np.float32) np.fromfunction(lambda i:x[i],(3,),dtype=int)
np.ix_(np.argsort(x),np.argsort(y)) np.tri(3,k=1)@x np.unique(A,return_inverse=True)
np.unique(np.stack([A[0],A[1],A[0]]),axis=0,return_inverse=True) np.unique(T,axis=2)
np.nan_to_num(x*np.inf,False,0.0,s) np.round(A,decimals=-1,out=A.copy())
np.std(A,axis=0,mean=np.mean(A,axis=0,keepdims=True),ddof=1) np.var(A,mean=s,axis=1) np.average(T,axis=1,weights=w)
np.average(A,0,C*C,True,keepdims=True) np.min_scalar_type(A) np.packbits(A>0,axis=0,bitorder='big')
np.unpackbits(np.packbits(x>0),axis=0,bitorder='little') np.bincount(np.argsort(x),y*2,minlength=2)
np.choose([[0,1,2]],[x,y,w]) np.choose(a=k,choices=[x,y,w],mode='raise') np.polyadd(np.poly1d([1.0,2.0]),x).coeffs
np.polysub(x,np.poly1d([1.0,2.0])).coeffs np.polymul(np.poly1d([1.0,2.0]),x).coeffs
np.polymul(np.poly1d([1.0,2.0]),x)(s) np.polydiv(x,np.poly1d([1.0,2.0]))[0].coeffs
np.polydiv(x,np.poly1d([1.0,2.0]))[1](2.0) np.polyval(np.poly1d([1.0,2.0]),x) np.polyint(x,2,[s,t])
np.histogram(x,bins='auto') np.histogram(L,'fd') np.histogram(L,bins='sturges',density=True)
np.histogram(L,'doane',range=(-1,1)) np.histogram_bin_edges(L,'scott') np.histogram_bin_edges(L,'rice',(-2,2))
np.histogram_bin_edges(L,bins='sqrt') np.histogram(L,bins='stone')
np.polynomial.polynomial.polyval2d(x,y,S) np.polynomial.polynomial.polygrid2d(x,y,S)
"""  # fmt: skip
"""The other arguments that NumPy's signatures have."""

# Complex arguments, and functions with complex results.
COMPLEX_CALLS = """
np.real(c) np.imag(c) np.real(Z) np.imag(Z) np.real(H.T) np.abs(c) np.angle(c) np.angle(Z) np.angle(Z,deg=True)
np.conj(Z) np.conjugate(c) np.sum(x*1j) np.sum(Z) np.sum(H,axis=0) np.sum(Z,where=m) np.sum(Z,initial=1j) np.prod(Z)
np.prod(H,axis=1) np.mean(Z) np.mean(H,axis=0,keepdims=True) np.mean(Z,where=m) np.var(Z) np.var(H,0,ddof=1)
np.var(H,axis=(0,1),keepdims=True) np.var(Z,where=m) np.std(Z) np.std(H,axis=1) np.cumsum(Z) np.cumprod(H,axis=0)
np.max(Z) np.min(H,axis=1) np.ptp(Z) np.argmax(Z) np.sort(Z) np.sort(H,axis=0) np.argsort(Z) np.median(Z) np.any(Z)
np.average(Z,weights=p) np.nansum(Z) np.nanmean(H,axis=0) np.nanvar(Z) np.nanstd(H) np.cov(Z) np.cov(G) np.cov(G,x)
np.corrcoef(G) np.diff(Z) np.gradient(Z) np.gradient(H,axis=1) np.trapezoid(Z) np.trapezoid(Z,v) np.convolve(Z,x)
np.convolve(Z,[1j,2.0],'same') np.correlate(Z,x) np.correlate(Z,Z[::-1]*1j,'full') np.correlate(x,Z,'same')
np.polyval(Z,s) np.polyval(x,c) np.polyder(Z) np.polyint(Z) np.polyfit(v,Z,1) np.vander(Z) np.interp(s,w,Z)
np.interp(x,w,Z,left=1j) np.dot(Z,x) np.dot(G,Z) np.vdot(Z,x) np.vdot(H,H*1j) np.inner(Z,Z) np.outer(Z,x) np.kron(G,x)
np.tensordot(H,G,axes=(1,1)) np.einsum('ij,jk->ik',G,H) np.einsum('i,i->',Z,x) np.cross(Z,x) np.trace(H)
np.linalg.vecdot(Z,H) np.linalg.matmul(G,H) np.where(m,Z,x) np.where(np.abs(Z)>1,Z,0.0) np.concatenate([Z,x])
np.stack([c,s]) np.array_split(Z,2) np.reshape(H,(9,)) np.ravel(H.T) np.transpose(H) np.tile(Z,2) np.roll(Z,1)
np.flip(H) np.take(Z,[0,2]) np.diag(Z) np.diagonal(H) np.tril(H) np.pad(Z,1) np.repeat(Z,2) np.append(Z,c)
np.insert(Z,1,c) np.delete(Z,0) np.full_like(Z,c) np.zeros_like(Z)+x np.linspace(c,s,4) np.round(Z,1) np.nan_to_num(Z)
np.isclose(Z,Z+1e-9) np.allclose(Z,x) np.array_equal(Z,Z) np.isreal(Z) np.iscomplex(Z) np.iscomplexobj(Z) np.sinc(Z)
np.sort_complex(Z)
np.real_if_close(Z) np.real_if_close(Z*np.conj(Z)) np.clip(np.real(Z),0,1) np.copyto(a:=Z.copy(),x) or a
np.put(a:=Z.copy(),[0],c) or a np.copyto(a:=x*1j,Z) or a np.meshgrid(Z,x) np.broadcast_to(c,3) np.count_nonzero(Z)
np.linalg.inv(H) np.linalg.inv(np.stack([H,H.T])) np.linalg.solve(H,Z) np.linalg.solve(H,x) np.linalg.solve(S,Z)
np.linalg.det(H) np.linalg.det(np.stack([H,2j*H])) np.linalg.det(H[:2,:2]) np.linalg.det(np.kron(np.eye(2),H))
np.linalg.slogdet(H) np.linalg.slogdet(np.stack([H,H.T*2])) np.linalg.slogdet(np.eye(3)*c)
np.linalg.cholesky(H@np.conj(H.T)+np.eye(3)) np.linalg.cholesky(H@np.conj(H.T)+np.eye(3),upper=True)
np.linalg.eigvalsh(H) np.linalg.eigvalsh(H,'U') np.linalg.eigh(H)[0] np.abs(np.linalg.eigh(H)[1])
np.abs(np.linalg.eigh(H,'U').eigenvectors) np.linalg.svd(H)[1] np.linalg.svd(G,compute_uv=False) np.linalg.svdvals(G)
np.abs(np.linalg.svd(H)[0]) np.abs(np.linalg.svd(G,full_matrices=False).Vh) np.linalg.qr(H) np.linalg.qr(G)
np.linalg.qr(G.T) np.linalg.qr(H,'r') np.linalg.pinv(G) np.linalg.pinv(G.T) np.linalg.pinv(H)
np.linalg.lstsq(G,x[:2])[0]
np.linalg.lstsq(G.T,Z)[0] np.linalg.lstsq(G.T,x)[1] np.linalg.lstsq(G.T,x)[3] np.linalg.tensorsolve(H,Z)
np.linalg.tensorinv(H,1) np.linalg.matrix_power(H,3) np.linalg.matrix_power(H,-1) np.linalg.multi_dot([G,H,Z])
np.linalg.norm(Z) np.linalg.norm(H) np.linalg.norm(Z,3) np.linalg.norm(Z,1) np.linalg.norm(Z,np.inf) np.linalg.norm(Z,0)
np.linalg.norm(H,2) np.linalg.norm(H,'nuc') np.linalg.norm(H,1) np.linalg.norm(H,axis=1,keepdims=True)
np.linalg.norm(H,-np.inf) np.linalg.vector_norm(H,axis=0,ord=2.5) np.linalg.matrix_norm(H) np.linalg.cond(H)
np.linalg.cond(H,1) np.linalg.matrix_rank(G) np.linalg.eigvals(H) np.linalg.eigvals(S)
np.linalg.eigvals(S@S.T+np.eye(3))
np.linalg.eigvals(np.stack([S,S.T])) np.linalg.eig(H)[0] np.linalg.eig(S).eigenvalues np.abs(np.linalg.eig(H)[1])
np.abs(np.linalg.eig(S)[1]) np.abs(np.linalg.eig(S@S.T+np.eye(3)).eigenvectors) np.roots(L) np.roots(p) np.roots(Z)
np.roots([1.0,s,0.0]) np.poly(x) np.poly(Z) np.poly(S) np.poly(np.concatenate([Z,np.conj(Z)]))
np.fft.fft(x) np.fft.fft(Z) np.fft.fft(x,5) np.fft.fft(Z,2,norm='ortho') np.fft.fft(A,axis=0)
np.fft.fft(x.astype(np.float32))
np.fft.ifft(Z) np.fft.ifft(H,4,0,'forward') np.fft.ifft(x) np.fft.fft2(H) np.fft.fft2(A,(3,2)) np.fft.fft2(T,axes=(0,2))
np.fft.ifft2(H,norm='ortho') np.fft.fftn(T) np.fft.fftn(H,(2,),(0,)) np.fft.fftn(H,axes=(0,0)) np.fft.ifftn(H)
np.fft.ifftn(H,(4,-1),(1,0),'forward') np.fft.rfft(L) np.fft.rfft(x) np.fft.rfft(A,4,0,'ortho') np.fft.rfft(L,4)
np.fft.rfft(x,1) np.fft.irfft(Z) np.fft.irfft(Z,5) np.fft.irfft(H,3,0,'ortho') np.fft.irfft(Z,8,norm='forward')
np.fft.irfft(x,1) np.fft.rfft2(A) np.fft.rfft2(T,(2,3),(1,2)) np.fft.irfft2(H) np.fft.irfft2(H,(3,5)) np.fft.rfftn(T)
np.fft.rfftn(T,(3,5),(1,2),'ortho') np.fft.irfftn(H) np.fft.irfftn(H,(4,3),(1,0),'forward') np.fft.hfft(Z)
np.fft.hfft(Z,5,norm='ortho') np.fft.ihfft(L) np.fft.ihfft(A,5,1,'forward') np.fft.fftshift(L) np.fft.fftshift(H,0)
np.fft.fftshift(T,(0,2)) np.fft.ifftshift(Z) np.fft.ifftshift(L) np.fft.ifftshift(H,axes=(1,))
np.abs(np.fft.fft(T[0].T))
np.fft.fft(x[::-1]) np.fft.rfft(A.T,axis=0) np.fft.fft(np.fft.ifft(Z)) np.fft.irfft(np.fft.rfft(L),7)
"""  # fmt: skip
REAL_CALLS = re.split(r"\s+(?=np\.)", CALLS.strip() + EVERY_ARGUMENT.rstrip())
ARRAY_CALLS = REAL_CALLS + re.split(r"\s+(?=np\.)", COMPLEX_CALLS.strip())

REFUSED_FUNCTIONS = words("""
np.busday_count np.busday_offset np.datetime_as_string np.is_busday np.save
np.savetxt np.savez np.savez_compressed
np.fromfile
""")  # fmt: skip
REFUSED_MODULES = {
    "np.char", "np.lib.recfunctions", "np.strings",
}  # fmt: skip

UFUNCS = {u.__name__: u for u in get_overridable_numpy_ufuncs()}


def names_of(function: Any) -> str:
    """The name under which a user knows an array function."""
    return f"{function.__module__.replace('numpy', 'np', 1)}.{function.__name__}"


FUNCTIONS = sorted(get_overridable_numpy_array_functions(), key=names_of)
