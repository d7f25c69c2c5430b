"""State dicts as torch.save wrote them before PyTorch 1.6, read without PyTorch and without running what they name."""

from __future__ import annotations

import collections
import dataclasses
import pickle
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


def load_torch_file(path: str) -> dict[str, np.ndarray]:
    """The tensors of a state dict by name.

    Args:
        path: of a file in PyTorch's older format: pickles one after the other, then the storages' bytes.

    Raises:
        ValueError: if the file is something else, or names anything but tensors of float32 and int64.
            Nothing that a file names is imported or called.
    """
    try:
        with open(path, "rb") as file:
            if _Unpickler(file).load() != _MAGIC:
                raise pickle.UnpicklingError("it doesn't begin as torch.save's older format does")
            for _ in ("version of the format", "the writer's system"):
                _Unpickler(file).load()
            tensors = _Unpickler(file).load()
            order = _Unpickler(file).load()
            storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
            contents = {key: storages[key].read(file) for key in order}
            return {name: tensor.array(contents) for name, tensor in tensors.items()}
    except (pickle.UnpicklingError, AttributeError, EOFError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{path} can't be read as a state dict of torch.save: {error}") from error


@dataclasses.dataclass(frozen=True)
class _Storage:
    """Numbers that tensors lie in; their bytes come behind all pickles."""

    dtype: np.dtype
    key: str
    size: int

    def read(self, file: BinaryIO) -> np.ndarray:
        (size,) = np.frombuffer(file.read(8), "<i8")
        if size != self.size:
            raise pickle.UnpicklingError(f"a storage has {size} numbers, expected {self.size}")
        return np.frombuffer(file.read(size * self.dtype.itemsize), self.dtype, count=size)


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """What torch._utils._rebuild_tensor_v2 would make of these arguments."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    requires_grad: bool
    hooks: Mapping

    def array(self, contents: Mapping[str, np.ndarray]) -> np.ndarray:
        # NumPy refuses what would reach beyond the storage.
        size = self.storage.dtype.itemsize
        strides = tuple(stride * size for stride in self.strides)
        return np.ndarray(self.shape, self.storage.dtype, contents[self.storage.key], self.offset * size, strides)


class _Unpickler(pickle.Unpickler):
    """Knows what a state dict is made of, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _Tensor
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, pid: Any) -> _Storage:
        _, dtype, key, _, size, view = pid
        if view is not None:
            raise pickle.UnpicklingError("a storage is a view of another")
        return _Storage(dtype, key, size)
