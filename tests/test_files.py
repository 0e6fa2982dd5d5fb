"""Arrays in files: what is saved comes back bit for bit, and what does not fit or is damaged changes nothing."""

import dataclasses
import io
import json
import os
import stat
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hopgrad import files, nn, tree
from hopgrad.files import FileError, load, read, read_metadata, replacing, save

safetensors = pytest.importorskip("safetensors.numpy")

FORMATS = [".safetensors", ".npz"]


@dataclasses.dataclass
class Layer:
    weight: Any
    bias: Any
    activation: Any = np.tanh


def model() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {
        "layers": [Layer(rng.normal(size=(4, 3)).astype(np.float32), np.zeros(4, np.float32)), Layer(np.eye(2), 1.5)],
        "file": np.float16(0.5),  # the name that np.savez keeps for itself
        "steps": 7,
        "on": True,
        "none": None,
    }


def same(a: Any, b: Any) -> None:
    (first, structure), (second, other) = tree.flatten(a), tree.flatten(b)
    assert structure == other
    for x, y in zip(first, second, strict=True):
        assert type(x) is type(y)
        if isinstance(x, (np.ndarray, np.generic)):
            assert x.dtype == y.dtype
            assert x.tobytes() == y.tobytes()
        else:
            assert x == y


@pytest.mark.parametrize("suffix", FORMATS)
def test_comes_back_as_it_was(suffix: str, tmp_path: Path) -> None:
    path = save(tmp_path / f"model{suffix}", model())
    zeros = tree.map(lambda leaf: leaf * 0 if files.is_numeric(leaf) else leaf, model())
    zeros["on"], zeros["steps"] = False, 0
    same(load(path, zeros), model())
    loaded = load(path, model())
    loaded["layers"][0].weight[:] = 0  # an array of its own, that may be written to


DTYPES = ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", ">f4", ">i8"]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_all_dtypes_and_layouts(dtype: str, suffix: str, tmp_path: Path) -> None:
    base = np.random.default_rng(1).integers(0, 100, (6, 8)).astype(dtype)
    arrays = {
        "plain": base, "turned": base.T, "strided": base[::2, 1::3], "backwards": base[::-1], "scalar": base[0, 0],
        "zero_d": base[1, 1, ...], "empty": base[:0], "spread": np.broadcast_to(base[0], (3, 8)),
    }  # fmt: skip
    found = read(save(tmp_path / f"a{suffix}", arrays))
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == np.dtype(dtype).newbyteorder("=")
        assert found[name].shape == np.shape(array)


@pytest.mark.parametrize("suffix", FORMATS)
def test_special_values_keep_their_bits(suffix: str, tmp_path: Path) -> None:
    bits = np.array([0x7FF8000000000001, 0x8000000000000000, 0x7FF0000000000000, 1], np.uint64).view(np.float64)
    assert read(save(tmp_path / f"a{suffix}", {"x": bits}))["x"].tobytes() == bits.tobytes()


def test_npz_is_numpys_own(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", {"x": np.arange(6.0).reshape(2, 3)})
    with np.load(path) as archive:
        np.testing.assert_array_equal(archive["x"], np.arange(6.0).reshape(2, 3))
    np.savez_compressed(tmp_path / "b.npz", x=np.arange(4), y=np.asfortranarray(np.eye(3)))
    np.testing.assert_array_equal(
        load(tmp_path / "b.npz", {"x": np.zeros(4, int), "y": np.zeros((3, 3))})["y"], np.eye(3)
    )
    assert save(tmp_path / "c.npz", {"z": 1 + 2j}).exists()
    assert read(tmp_path / "c.npz")["z"] == 1 + 2j


def test_safetensors_is_that_of_the_package(tmp_path: Path) -> None:
    path = save(tmp_path / "a.safetensors", {"x": np.eye(3, dtype=np.float32)[::-1]}, {"made by": "a test"})
    np.testing.assert_array_equal(safetensors.load_file(path)["x"], np.eye(3)[::-1])
    assert read_metadata(path) == {"made by": "a test"}
    assert read_metadata(save(tmp_path / "b.npz", {"x": 1.0})) == {}


def test_bfloat16_is_read_as_float32(tmp_path: Path) -> None:
    values = np.array([[1.0, -2.5, 3.140625], [np.inf, 0.0, 65280.0]], np.float32)  # exact in bfloat16
    data = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    header = json.dumps({"w": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, len(data)]}}).encode()
    path = tmp_path / "b.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    np.testing.assert_array_equal(read(path)["w"], values)
    assert load(path, {"w": np.zeros((2, 3), np.float64)})["w"].dtype == np.float64


@pytest.mark.parametrize("suffix", FORMATS)
def test_each_mismatch_is_named(suffix: str, tmp_path: Path) -> None:
    stored = {
        "a": np.zeros((2, 3)),
        "b": np.zeros(3),
        "c": np.zeros(2, complex if suffix == ".npz" else "c8"),
        "d": 1.0,
    }
    path = save(tmp_path / f"m{suffix}", stored)
    like = {"a": np.zeros((3, 2)), "c": np.zeros(2), "d": 0.0, "e": np.zeros(4, np.float32)}
    with pytest.raises(FileError) as caught:
        load(path, like)
    message = str(caught.value)
    assert "does not fit" in message
    for part in ["shape of a: (2, 3) in the file, (3, 2) here", "dtype of c: complex", "missing: e, float32[4]",
                 "not asked for: b, float64[3]"]:  # fmt: skip
        assert part in message
    assert load(path, {"d": 0.0}, strict=False) == {"d": 1.0}


def test_long_lists_of_faults_are_counted(tmp_path: Path) -> None:
    path = save(tmp_path / "m.npz", {f"x{k}": 0.0 for k in range(30)})
    with pytest.raises(FileError, match="and 10 more"):
        load(path, {})


def test_dtypes_are_converted_where_that_loses_no_kind(tmp_path: Path) -> None:
    path = save(tmp_path / "m.npz", {"x": np.array([0.1, 0.2]), "n": np.arange(2, dtype=np.int32)})
    found = load(path, {"x": np.zeros(2, np.float32), "n": np.zeros(2, np.int64)})
    assert found["x"].dtype == np.float32
    assert found["n"].dtype == np.int64
    with pytest.raises(FileError, match="dtype of x: float64 in the file, int64 here"):
        load(path, {"x": np.zeros(2, np.int64)}, strict=False)


def test_names_and_prefix(tmp_path: Path) -> None:
    path = save(tmp_path / "m.npz", {"net.fc.weight": np.ones(2), "net.fc.bias": np.zeros(2), "other": 1.0})
    like = {"layers": [{"weight": np.zeros(2), "bias": np.ones(2)}]}
    by_rule = load(path, like, names=lambda name: name.replace("layers.0", "fc"), prefix="net.")
    by_dict = load(path, like, names={"layers.0.weight": "fc.weight", "layers.0.bias": "fc.bias"}, prefix="net.")
    same(by_rule, by_dict)
    assert by_rule["layers"][0]["weight"].tolist() == [1.0, 1.0]
    with pytest.raises(FileError, match=r"missing: net.fc2.bias \(here layers.0.bias\)"):
        load(path, like, names=lambda name: name.replace("layers.0", "fc2"), prefix="net.")


def test_names_must_differ(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"two leaves have the name 'a\.b'"):
        save(tmp_path / "m.npz", {"a.b": 1.0, "a": {"b": 2.0}})


@pytest.mark.parametrize(
    ("value", "suffix", "message"),
    [
        ({"x": np.array(["a"])}, ".npz", "x has dtype <U1, which this format cannot hold"),
        ({"x": np.array([None])}, ".safetensors", "x has dtype object"),
        ({"x": 1j}, ".safetensors", r"x has dtype complex128, which this format cannot hold; \.npz can hold it"),
        ({"x": 1.0}, ".h5", "known are .safetensors and .npz"),
        ({"x": 1.0}, ".pt", "pickles, which may run any code"),
    ],
)
def test_what_cannot_be_stored_is_refused(value: Any, suffix: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=message):
        save(tmp_path / f"m{suffix}", value)
    assert not list(tmp_path.iterdir())


# -- state dicts of PyTorch --------------------------------------------------------------------------------------------

STATE_DICT = Path(__file__).parent / "golden" / "state_dict.safetensors"  # by make_state_dict.py beside it


@dataclasses.dataclass
class Net:
    embed: Any
    block: Any
    lstm: Any
    norm: Any
    head: Any

    def __call__(self, tokens: Any) -> Any:
        x, _ = self.lstm(self.block(self.embed(tokens)))
        return self.head(self.norm(x))


def net(width: int = 8) -> Net:
    return Net(
        nn.Embedding(7, width, rng=0),
        nn.TransformerBlock(width, 2, 16, rng=0),
        nn.LSTM(width, 4, num_layers=2, batch_first=True, rng=0),
        nn.LayerNorm(4),
        nn.Sequential(nn.Linear(4, 6, rng=0), nn.relu, nn.Linear(6, 3, rng=0)),
    )


def test_a_state_dict_of_pytorch_fits_by_name() -> None:
    loaded = load(STATE_DICT, net(), prefix="net.")
    np.testing.assert_allclose(loaded(np.arange(10).reshape(2, 5) % 7), read(STATE_DICT)["net scores"], atol=1e-6)


def test_running_statistics_of_pytorch_have_names_of_their_own() -> None:
    parts = [
        nn.Conv2d(1, 3, 3, padding=1, rng=0),
        nn.BatchNorm(3),
        nn.relu,
        nn.ConvTranspose2d(3, 2, 2, stride=2, rng=0),
    ]
    model = nn.Sequential(*parts)
    with pytest.raises(FileError) as caught:
        load(STATE_DICT, model, prefix="cnn.")
    extra = [line.split()[3] for line in str(caught.value).splitlines()[1:]]
    assert extra == ["cnn.1.num_batches_tracked,", "cnn.1.running_mean,", "cnn.1.running_var,"]
    model = load(STATE_DICT, model, prefix="cnn.", strict=False)
    names = {"mean": "1.running_mean", "variance": "1.running_var"}
    statistics = load(STATE_DICT, model[1].init(), prefix="cnn.", names=names, strict=False)
    stored = read(STATE_DICT)
    x, _ = model[1](model[0](stored["cnn images"]), statistics, training=False)
    np.testing.assert_allclose(model[3](nn.relu(x)), stored["cnn result"], atol=1e-6)


def test_a_state_dict_of_another_model_is_refused_array_by_array() -> None:
    other = net(width=6)
    with pytest.raises(FileError) as caught:
        load(STATE_DICT, other, prefix="net.", names=lambda name: name.replace("head.2", "head.3"))
    message = str(caught.value)
    assert r"shape of net.embed.weight: (7, 8) in the file, (7, 6) here" in message
    assert "missing: net.head.3.weight (here head.2.weight), float32[3, 6]" in message
    assert "not asked for: net.head.2.bias, float32[3]" in message


# -- damaged and hostile files -----------------------------------------------------------------------------------------


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "o.npz", x=np.array([{"any": "object"}], dtype=object))
    with pytest.raises(FileError, match="x holds Python objects"):
        read(tmp_path / "o.npz")
    with pytest.raises(FileError, match=r"safetensors\.torch\.save_file"):
        read(tmp_path / "model.pth")


def test_a_header_that_claims_too_much(tmp_path: Path) -> None:
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(member, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)})
    with zipfile.ZipFile(tmp_path / "m.npz", "w") as archive:
        archive.writestr("x.npy", member.getvalue() + b"12345678")
    with pytest.raises(FileError, match=r"x claims float64\[1000000000000\], but has 8 bytes"):
        read(tmp_path / "m.npz")


@pytest.mark.parametrize(
    "header",
    [
        b"{",
        b"[]",
        b'{"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}',
        b'{"w": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}',
        b'{"w": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}',
        b'{"w": {"dtype": "F32", "shape": [4611686018427387904, 4], "data_offsets": [0, 4]}}',
        b'{"w": {"dtype": "Q7", "shape": [1], "data_offsets": [0, 4]}}',
    ],
)
def test_bad_headers_of_safetensors(header: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0\0\0")
    with pytest.raises(FileError, match=r"bad\.safetensors"):
        read(path)


def test_a_length_beyond_the_file(tmp_path: Path) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes((2**62).to_bytes(8, "little") + b"{}")
    for action in (read, read_metadata):
        with pytest.raises(FileError, match=r"is damaged or no \.safetensors file"):
            action(path)


@pytest.mark.parametrize("suffix", FORMATS)
@given(data=st.data())
def test_damage_is_an_error_or_other_numbers_but_never_a_crash(suffix: str, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        like = {"w": np.arange(12.0).reshape(3, 4), "b": np.zeros(3, np.float32)}
        path = save(Path(folder) / f"m{suffix}", like)
        whole = bytearray(path.read_bytes())
        cut = data.draw(st.integers(0, len(whole)))
        if data.draw(st.booleans()):
            whole = whole[:cut]
        else:
            place = min(cut, len(whole) - 1)
            whole[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(bytes(whole))
        try:
            found = load(path, like)
        except FileError:
            return
        assert found["w"].shape == (3, 4)
        assert found["b"].dtype == np.float32


def test_missing_files(tmp_path: Path) -> None:
    for suffix in FORMATS:
        with pytest.raises(FileNotFoundError):
            read(tmp_path / f"none{suffix}")


# -- writing -----------------------------------------------------------------------------------------------------------


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = save(tmp_path / "m.npz", {"x": 1.0})
    before = path.read_bytes()

    def write_half() -> None:
        with replacing(path) as fresh:
            fresh.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["m.npz"]


@pytest.mark.skipif(os.name != "posix", reason="modes are those of POSIX")
def test_files_have_the_usual_mode(tmp_path: Path) -> None:
    path = save(tmp_path / "m.npz", {"x": 1.0})
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask
