"""MATLAB files, read in a process of their own: a damaged one can take SciPy's or HDF5's process down with it.

As a module it is that process: bytes of a file on stdin, the variables as .npz on stdout, or what is wrong on stderr.
Imports no TensorFlow: it starts in a tenth of the time.
"""

from __future__ import annotations

import functools
import io
import subprocess
import sys
from collections.abc import Mapping, Sequence

import h5py
import numpy as np
import scipy.io

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_LONGEST = 300  # seconds that a file may take
_NO_FILE, _NO_VARIABLE = 3, 4  # exit codes of what a file is to blame for
_SAID = 300  # letters of what a reader that ended otherwise said last
_SEPARATOR = ","


@functools.lru_cache(maxsize=2)
def read_matlab(
    content: bytes, cells: tuple[str, ...] = (), matrices: tuple[str, ...] = ()
) -> Mapping[str, np.ndarray]:
    """Variables of a MATLAB file of version 7.3 (HDF5) or older.

    Args:
        content: the file.
        cells: the cell arrays of texts, which become [N] str.
        matrices: the numeric arrays, which become float64 arrays of MATLAB's shape.

    Raises:
        KeyError: it has no such variable.
        ValueError: it is no MATLAB file, or took its reader down.
    """
    command = [sys.executable, "-m", __name__, _SEPARATOR.join(cells), _SEPARATOR.join(matrices)]
    try:
        done = subprocess.run(command, input=content, capture_output=True, timeout=_LONGEST, check=False)
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"not read in {_LONGEST} seconds") from error
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode == _NO_VARIABLE:
        raise KeyError(said)
    if done.returncode == _NO_FILE:
        raise ValueError(said)
    if done.returncode:
        raise ValueError(f"its reader ended with {done.returncode}. {said[-_SAID:]}".rstrip())
    with np.load(io.BytesIO(done.stdout), allow_pickle=False) as variables:
        return dict(variables)


def _read(content: bytes, cells: Sequence[str], matrices: Sequence[str]) -> Mapping[str, np.ndarray]:
    reader = _read_hdf5 if _HDF5_SIGNATURE in (content[:8], content[512:520]) else _read_old
    return reader(io.BytesIO(content), cells, matrices)


def _read_hdf5(file, cells, matrices):
    # MATLAB stores by columns: HDF5 sees every array transposed, texts as UTF-16 numbers, cells as references to them.
    with h5py.File(file) as mat:
        texts = {name: [mat[cell][()].astype("<u2") for cell in mat[name][()].ravel()] for name in cells}
        return {
            **{name: np.array([text.tobytes().decode("utf-16-le") for text in texts[name]], str) for name in cells},
            **{name: mat[name][()].T.astype(float) for name in matrices},
        }


def _read_old(file, cells, matrices):
    mat = scipy.io.loadmat(file, variable_names=[*cells, *matrices])
    return {
        **{name: np.array(["".join(np.ravel(cell)) for cell in mat[name].ravel()], str) for name in cells},
        **{name: mat[name].astype(float) for name in matrices},
    }


def main() -> None:
    """One file, from stdin to stdout."""
    cells, matrices = (names.split(_SEPARATOR) if names else [] for names in sys.argv[1:])
    try:
        variables = _read(sys.stdin.buffer.read(), cells, matrices)
    except KeyError as error:
        print(error, file=sys.stderr)
        sys.exit(_NO_VARIABLE)
    except Exception as error:  # whatever a damaged file makes its reader raise
        print(error, file=sys.stderr)
        sys.exit(_NO_FILE)
    np.savez(sys.stdout.buffer, **variables)


if __name__ == "__main__":
    main()
