"""torch.save's older format, written here by hand: what is read, and that nothing else is."""

import collections
import os
import pickle
import sys
import types

import numpy as np
import pytest

from keras_models.torch_file import load_torch_file

MAGIC = 0x1950A86A20F9469CFC6C
SYSTEM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


@pytest.fixture
def torch(monkeypatch):
    """As much of the package as a pickle has to name."""
    module, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def _rebuild_tensor_v2(*arguments):
        raise AssertionError("was called")

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    for name in ("FloatStorage", "LongStorage", "HalfStorage"):
        setattr(module, name, type(name, (), {"__module__": "torch"}))
    module._utils = utils
    monkeypatch.setitem(sys.modules, "torch", module)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return module


class Tensor:
    """Pickled as torch pickles a tensor."""

    def __init__(self, torch, storage, key, numbers, shape, strides, offset=0):
        self.torch, self.storage, self.key, self.numbers = torch, storage, key, numbers
        self.arguments = (offset, shape, strides, False, collections.OrderedDict())

    def __reduce__(self):
        return self.torch._utils._rebuild_tensor_v2, (Storage(self), *self.arguments)


class Storage:
    def __init__(self, tensor):
        self.tensor = tensor


class Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        if not isinstance(obj, Storage):
            return None
        tensor = obj.tensor
        return "storage", getattr(tensor.torch, tensor.storage), tensor.key, "cpu", len(tensor.numbers), None


def write(path, *tensors, names=None, magic=MAGIC, cut=0):
    names = names or [f"tensor{index}" for index in range(len(tensors))]
    keys = sorted({tensor.key: tensor.numbers for tensor in tensors})
    with open(path, "wb") as file:
        for head in (magic, 1001, SYSTEM):
            pickle.dump(head, file, protocol=2)
        Pickler(file, protocol=2).dump(collections.OrderedDict(zip(names, tensors, strict=True)))
        pickle.dump(keys, file, protocol=2)
        for key in keys:
            numbers = next(tensor.numbers for tensor in tensors if tensor.key == key)
            file.write(len(numbers).to_bytes(8, "little") + numbers.tobytes())
        file.truncate(file.tell() - cut)
    return str(path)


def floats(count):
    return np.arange(count, dtype="<f4")


def test_tensors_by_name_whatever_their_order_in_memory(torch, tmp_path):
    path = write(
        tmp_path / "state.pth",
        Tensor(torch, "FloatStorage", "20", floats(6), (2, 3), (3, 1)),
        Tensor(torch, "FloatStorage", "10", 10 * floats(6), (3, 2), (1, 3)),  # transposed
        Tensor(torch, "LongStorage", "30", np.array([7], "<i8"), (), ()),
        Tensor(torch, "FloatStorage", "20", floats(6), (2,), (1,), offset=4),
        names=["weight", "transposed", "count", "part"],
    )
    state = load_torch_file(path)
    assert list(state) == ["weight", "transposed", "count", "part"]
    assert state["weight"].tolist() == [[0, 1, 2], [3, 4, 5]] and state["weight"].dtype == np.float32
    assert state["transposed"].tolist() == [[0, 30], [10, 40], [20, 50]]
    assert state["count"] == 7 and state["count"].dtype == np.int64
    assert state["part"].tolist() == [4, 5]


def test_what_a_file_names_is_not_run(torch, tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    path = tmp_path / "evil.pth"
    with open(path, "wb") as file:
        for head in (MAGIC, 1001, SYSTEM, {"weight": Evil()}):
            pickle.dump(head, file, protocol=2)
    with pytest.raises(ValueError, match=r"evil\.pth can.t be read as a state dict .*: it names posix\.mkdir"):
        load_torch_file(str(path))
    path.write_bytes(pickle.dumps(Evil(), protocol=2))
    with pytest.raises(ValueError, match="it names posix"):
        load_torch_file(str(path))
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"magic": 1}, "doesn't begin as torch.save's older format"),
        ({"cut": 4}, "can't be read"),
        ({"cut": 24}, "can't be read"),
    ],
)
def test_another_file_or_a_part_of_one(torch, tmp_path, changes, reason):
    path = write(tmp_path / "state.pth", Tensor(torch, "FloatStorage", "1", floats(6), (2, 3), (3, 1)), **changes)
    with pytest.raises(ValueError, match=reason):
        load_torch_file(path)


@pytest.mark.parametrize(
    ("shape", "strides", "offset"), [((2, 4), (4, 1), 0), ((2, 3), (3, 1), 1), ((2, 3), (-3, 1), 0)]
)
def test_a_tensor_that_reaches_beyond_its_storage(torch, tmp_path, shape, strides, offset):
    tensor = Tensor(torch, "FloatStorage", "1", floats(6), shape, strides, offset)
    with pytest.raises(ValueError, match="can't be read"):
        load_torch_file(write(tmp_path / "state.pth", tensor))


def test_numbers_of_another_type(torch, tmp_path):
    tensor = Tensor(torch, "HalfStorage", "1", np.zeros(2, "<f2"), (2,), (1,))
    with pytest.raises(ValueError, match=r"it names torch\.HalfStorage"):
        load_torch_file(write(tmp_path / "state.pth", tensor))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a newer file", b"\x80\x02}."])
def test_no_such_file_at_all(tmp_path, content):
    path = tmp_path / "state.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"state\.pth can't be read as a state dict"):
        load_torch_file(str(path))
