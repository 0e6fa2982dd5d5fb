"""Arrays in files: nested parameters saved by name and loaded again, in the formats safetensors and ``.npz``.

A leaf's name is the way to it, joined by dots: ``layers.0.weight``, as in the state dicts of PyTorch. Both formats hold
arrays and nothing that could run. Files are written beside their place and then renamed, so that a file is whole or not
there at all; they are checked as a whole before anything of them is used.

>>> import numpy as np, tempfile, os
>>> params = {"layers": [{"weight": np.ones((2, 3), np.float32), "bias": np.zeros(2, np.float32)}]}
>>> with tempfile.TemporaryDirectory() as folder:
...     path = save(os.path.join(folder, "params.npz"), params)
...     sorted(read(path))
...     loaded = load(path, params)
['layers.0.bias', 'layers.0.weight']
>>> loaded["layers"][0]["weight"].dtype
dtype('float32')
"""

from __future__ import annotations

import contextlib
import math
import os
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hopgrad import tree
from hopgrad.errors import HopgradError

__all__ = ["FileError", "load", "read", "read_metadata", "save"]

MAX_LINES = 20
"""An error lists this many faults, and counts the rest."""

# The formats of PyTorch's own that run code when they are read; said so instead of "unknown format".
_PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle", ".joblib")

# Of the dtypes that safetensors knows and NumPy does too.
_SAFE_DTYPES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4", "U64": "<u8",
    "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8", "C64": "<c8",
}  # fmt: skip

Names = Callable[[str], str] | Mapping[str, str]


class FileError(HopgradError, ValueError):
    """A file is damaged, is in no format that is read here, or holds other arrays than were asked for."""


class Stored(NamedTuple):
    """An array in a file that was not read yet. Of bfloat16, which NumPy lacks, the dtype is float32."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    read: Callable[[], np.ndarray[Any, Any]]


# -- writing -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], *, durable: bool = True) -> Iterator[Path]:
    """A new file beside `path`, to be written in the block: when that ends without an error, it takes the place.

    So whoever looks at `path`, at any time, finds the old contents or the new ones. With `durable` that holds even if
    the machine stops: contents reach the disk before the name does.
    """
    target = Path(path)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(handle)
    try:
        yield Path(name)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # mkstemp's own mode keeps others out
        if durable:
            _sync(name)
        os.replace(name, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    if durable and os.name == "posix":
        _sync(target.parent)  # the name is in the folder's own data


def _sync(path: str | os.PathLike[str]) -> None:
    # Windows syncs only what is open for writing; folders cannot be opened so anywhere.
    handle = os.open(path, os.O_RDONLY if os.path.isdir(path) else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def save(path: str | os.PathLike[str], value: Any, metadata: Mapping[str, str] | None = None) -> Path:
    """Write the arrays and numbers of a nested structure by their names.

    Leaves that are neither (functions, strings) belong to the structure and are not stored; `load` gets the structure
    from its caller.

    Args:
        path: Ends in ``.safetensors`` (needs the package safetensors: ``pip install 'hopgrad[files]'``) or ``.npz``.
        value: Arrays in nested lists, tuples, dicts, dataclasses and the like (`hopgrad.tree`).
        metadata: Further texts by name, for files in the format safetensors.

    Returns:
        The path.

    Raises:
        FileError: There is no such format, an array's dtype cannot be stored in it, or two leaves have one name.
        OSError: The disk is full, or the folder cannot be written to. What was at the path is still there.
    """
    target = Path(path)
    arrays = {name: _storable(name, leaf, target) for name, leaf in named(value).items()}
    suffix = _format(target)
    if suffix == ".npz" and metadata:
        raise FileError(f"{target}: a .npz file has no place for metadata: write .safetensors")
    with replacing(target) as fresh:
        if suffix == ".npz":
            # np.savez takes names as keywords, and would not store an array that is called "file".
            with zipfile.ZipFile(fresh, "w") as archive:
                for name, array in arrays.items():
                    with archive.open(name + ".npy", "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, array, allow_pickle=False)
        else:
            package = _safetensors()
            try:
                package.numpy.save_file(arrays, fresh, dict(metadata) if metadata else None)
            except package.SafetensorError as error:  # a full disk, say
                raise OSError(f"{target} could not be written: {error}") from error
    return target


def named(value: Any) -> dict[str, Any]:
    """The leaves of a nested structure that hold numbers, by name.

    >>> named({"layers": [{"weight": 1.0, "activation": max}], "scale": 2})
    {'layers.0.weight': 1.0, 'scale': 2}
    """
    leaves, structure = tree.flatten(value)
    return {name or WHOLE: leaf for name, leaf in zip(names_of(structure), leaves, strict=True) if is_numeric(leaf)}


WHOLE = "value"
"""The name of an array that is the whole structure."""


def names_of(structure: tree.Structure) -> list[str]:
    """The name of each leaf: the way to it, joined by dots."""
    names = [".".join(key.name for key in path) for path in tree.paths(structure)]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise FileError(f"two leaves have the name {twice!r}: keys of dicts must not contain what looks like a path")
    return names


def is_numeric(leaf: Any) -> bool:
    """Whether a leaf is an array or a number."""
    return isinstance(leaf, (np.ndarray, np.generic, bool, int, float, complex))


def _storable(name: str, leaf: Any, target: Path) -> np.ndarray[Any, Any]:
    array = np.asarray(leaf, order="C")
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    safe = target.suffix.lower() == ".safetensors"
    known = array.dtype.str.replace("|", "") in {np.dtype(d).str.replace("|", "") for d in _SAFE_DTYPES.values()}
    if array.dtype.kind not in "biufc" or (safe and not known):
        cure = "; .npz can hold it" if array.dtype.kind in "fc" else ""
        raise FileError(f"{target.name}: {name} has dtype {array.dtype}, which this format cannot hold{cure}")
    return array


# -- reading -----------------------------------------------------------------------------------------------------------


def read(path: str | os.PathLike[str]) -> dict[str, np.ndarray[Any, Any]]:
    """All arrays of a file, by name: a state dict. bfloat16, which NumPy lacks, becomes float32.

    Raises:
        FileError: The file is damaged or in another format.
        OSError: It cannot be read.
    """
    with opened(path) as stored:
        return {name: one.read() for name, one in stored.items()}


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The texts that a safetensors file holds besides arrays.

    Raises:
        FileError: The file is damaged or in another format.
    """
    if _format(Path(path)) != ".safetensors":
        return {}
    with _open_safetensors(Path(path)) as file:
        return dict(file.metadata() or {})


def load(
    path: str | os.PathLike[str],
    like: Any,
    *,
    names: Names | None = None,
    prefix: str = "",
    strict: bool = True,
) -> Any:
    """A nested structure like `like`, with its arrays and numbers read from a file.

    Everything is checked before the first array is read: a file that does not fit changes nothing and takes no memory.

    Args:
        path: A file in the format safetensors or ``.npz``.
        like: The structure; its arrays say which shapes and dtypes are wanted. Numbers are converted among
            floating-point dtypes, and from smaller to larger ones.
        names: From the names here to those in the file, where they differ: a function, or a dict of those that do.
        prefix: What all names in the file begin with.
        strict: Whether arrays of the file (below `prefix`) that are not asked for are an error.

    Raises:
        FileError: The file is damaged, or does not fit: the message names each array that is missing, not
            asked for, or of another shape or dtype.
    """
    leaves, structure = tree.flatten(like)
    with opened(path) as stored:
        faults: list[str] = []
        whole = prefix.removesuffix(".")
        wanted: dict[int, Stored] = {}
        seen = set()
        for k, (name, leaf) in enumerate(zip(names_of(structure), leaves, strict=True)):
            if not is_numeric(leaf):
                continue
            there = prefix + _renamed(names, name) if name else whole or WHOLE
            called = there if there == prefix + name or not name else f"{there} (here {name})"
            found = stored.get(there)
            seen.add(there)
            if found is None:
                faults.append(f"missing: {called}, {_kind(np.shape(leaf), np.asarray(leaf).dtype)}")
            elif found.shape != np.shape(leaf):
                faults.append(f"shape of {called}: {found.shape} in the file, {np.shape(leaf)} here")
            elif not np.can_cast(found.dtype, np.asarray(leaf).dtype, "same_kind"):
                faults.append(f"dtype of {called}: {found.dtype} in the file, {np.asarray(leaf).dtype} here")
            else:
                wanted[k] = found
        if strict:
            extra = [n for n in stored if (n.startswith(prefix) or n == whole) and n not in seen]
            faults += [f"not asked for: {name}, {_kind(stored[name].shape, stored[name].dtype)}" for name in extra]
        if faults:
            raise FileError(f"{path} does not fit:\n" + listed(faults))
        filled = [_like(wanted[k].read(), leaf) if k in wanted else leaf for k, leaf in enumerate(leaves)]
    return tree.unflatten(structure, filled)


def listed(faults: list[str]) -> str:
    """Lines for a message: the first ones, and how many more there are."""
    more = [f"and {len(faults) - MAX_LINES} more"] if len(faults) > MAX_LINES else []
    return "\n".join(f"  {line}" for line in [*faults[:MAX_LINES], *more])


def _kind(shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    return f"{dtype}{list(shape)}"


def _renamed(names: Names | None, name: str) -> str:
    if names is None:
        return name
    return names(name) if callable(names) else names.get(name, name)


def _like(array: np.ndarray[Any, Any], leaf: Any) -> Any:
    """An array of its own in the kind of a leaf: array, NumPy scalar or Python number."""
    if isinstance(leaf, np.ndarray):
        return np.array(array, leaf.dtype)
    if isinstance(leaf, np.generic):
        return np.array(array, leaf.dtype)[()]
    return type(leaf)(array[()].item())


@contextlib.contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Mapping[str, Stored]]:
    """What a file holds, by name, to be read while the block lasts.

    Raises:
        FileError: The file is damaged or in another format.
    """
    source = Path(path)
    if _format(source) == ".npz":
        with _open_npz(source) as archive:
            yield dict(_stored_npz(archive, source))
    else:
        package = _safetensors()
        with _open_safetensors(source) as file, _damage(source, package.SafetensorError):
            yield dict(_stored_safetensors(file, source))


def _format(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in (".safetensors", ".npz"):
        return suffix
    if suffix in _PICKLES:
        raise FileError(
            f"{path}: {suffix} files are pickles, which may run any code when they are read. In PyTorch, write"
            ' safetensors.torch.save_file(model.state_dict(), "model.safetensors"), and load that'
        )
    raise FileError(f"{path}: the suffix says which format; known are .safetensors and .npz")


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError("files in the format safetensors need a package: pip install 'hopgrad[files]'") from None
    return safetensors


@contextlib.contextmanager
def _damage(path: Path, *kinds: type[BaseException]) -> Iterator[None]:
    """Turn what a reader raises for a bad file into `FileError`."""
    try:
        yield
    except FileError:
        raise
    except kinds as error:
        raise FileError(f"{path} is damaged or no {path.suffix} file: {error}") from None


def _open_safetensors(path: Path) -> Any:
    package = _safetensors()
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    with _damage(path, package.SafetensorError, ValueError, OverflowError):
        return package.safe_open(path, framework="np")


def _stored_safetensors(file: Any, path: Path) -> Iterator[tuple[str, Stored]]:
    for name in file.keys():  # noqa: SIM118 - no dict
        part = file.get_slice(name)
        kind, shape = part.get_dtype(), tuple(part.get_shape())
        if kind == "BF16":
            yield name, Stored(shape, np.dtype(np.float32), partial(_bfloat16, path, name))
        elif kind in _SAFE_DTYPES:
            yield name, Stored(shape, np.dtype(_SAFE_DTYPES[kind]), partial(file.get_tensor, name))
        else:
            raise FileError(f"{path}: {name} has dtype {kind}, which NumPy does not have")


def _bfloat16(path: Path, name: str) -> np.ndarray[Any, Any]:
    """An array of bfloat16 as float32, of which it is the upper half."""
    for found, part in _safetensors().deserialize(path.read_bytes()):
        if found == name:
            half = np.frombuffer(part["data"], "<u2").astype(np.uint32)
            return (half << 16).view(np.float32).reshape(part["shape"])
    raise FileError(f"{path} changed while it was read")


@contextlib.contextmanager
def _open_npz(path: Path) -> Iterator[zipfile.ZipFile]:
    # RuntimeError: encrypted, or written in a way that this version does not know. OSError: at a negative place.
    kinds = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, OverflowError, RuntimeError, OSError)
    with path.open("rb") as file, _damage(path, *kinds), zipfile.ZipFile(file) as archive:
        yield archive


def _stored_npz(archive: zipfile.ZipFile, path: Path) -> Iterator[tuple[str, Stored]]:
    for info in archive.infolist():
        name = info.filename.removesuffix(".npy")
        with archive.open(info) as member:
            version = np.lib.format.read_magic(member)
            if version not in _NPY_HEADERS:
                raise FileError(f"{path}: {name} has version {version} of the format .npy, which is not known")
            shape, _, dtype = _NPY_HEADERS[version](member)
            start = member.tell()
        if dtype.hasobject:
            raise FileError(f"{path}: {name} holds Python objects, which may run any code when they are read")
        # A header may claim any size, and memory is taken for it: the archive's own figure, which is checked, decides.
        if info.file_size - start != math.prod(shape) * dtype.itemsize:
            raise FileError(f"{path}: {name} claims {_kind(shape, dtype)}, but has {info.file_size - start} bytes")
        yield name, Stored(shape, dtype, partial(_member, archive, info))


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray[Any, Any]:
    with archive.open(info) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


_NPY_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
