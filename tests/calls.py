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
_ones_like bitwise_count frexp gcd isnat lcm ldexp left_shift nextafter right_shift spacing
""")  # fmt: skip
ON_BOOLEANS = {"bitwise_and", "bitwise_or", "bitwise_xor", "invert", "logical_and", "logical_or", "logical_xor"}
ON_MATRICES = {
    "matmul": ["A @ B", "x @ y", "A @ x", "x @ B", "np.matmul(A, B)", "np.matmul(T, np.ones((4, 5)))",
               "S @ np.eye(3)", "np.eye(2) @ A", "np.matmul(x, y)", "np.matmul(T, np.ones(4))"],
    "vecdot": ["np.vecdot(x, y)", "np.vecdot(A, x)", "np.vecdot(T, np.ones(4))"],
    "matvec": ["np.matvec(A, x)", "np.matvec(S, A)"],
    "vecmat": ["np.vecmat(x, B)", "np.vecmat(A, S)"],
}  # fmt: skip
SEVERAL_RESULTS = {"divmod": ["np.divmod(x, p)", "divmod(x, 0.7)", "divmod(2.1, p)", "divmod(s, 0.4)"],
                   "modf": ["np.modf(x)", "np.modf(s)"]}  # fmt: skip
OTHER_UFUNCS = {"clip": ["np._core.umath.clip(x, -1.0, 1.0)"]}
STRINGS = words("""
_center _expandtabs _expandtabs_length _ljust _lstrip_chars _lstrip_whitespace _partition _partition_index _replace
_rjust _rpartition _rpartition_index _rstrip_chars _rstrip_whitespace _slice _strip_chars _strip_whitespace _zfill
count endswith find index isalnum isalpha isdecimal isdigit islower isnumeric isspace istitle isupper rfind rindex
startswith str_len
""")  # fmt: skip

# -- array functions -------------------------------------------------------------------------------------------------

CALLS = """
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
ARRAY_CALLS = [call for text in (CALLS, COMPLEX_CALLS) for call in re.split(r"\s+(?=np\.)", text.strip())]

REFUSED_FUNCTIONS = words("""
np.busday_count np.busday_offset np.datetime_as_string
np.histogram2d np.histogramdd np.i0 np.is_busday np.may_share_memory np.min_scalar_type
np.polyadd np.polydiv np.polymul np.polysub np.save np.savetxt
np.savez np.savez_compressed np.setxor1d np.shares_memory np.sort_complex
np.fromfile
""")  # fmt: skip
REFUSED_MODULES = {
    "np.char", "np.lib.recfunctions", "np.lib.scimath", "np.polynomial.polynomial", "np.strings",
}  # fmt: skip

UFUNCS = {u.__name__: u for u in get_overridable_numpy_ufuncs()}


def names_of(function: Any) -> str:
    """The name under which a user knows an array function."""
    return f"{function.__module__.replace('numpy', 'np', 1)}.{function.__name__}"


FUNCTIONS = sorted(get_overridable_numpy_array_functions(), key=names_of)
