"""The array API's namespace: the standard's names, new arrays, and plain data, which is unknown."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import scipy.special

import traceprop as tp
from traceprop.errors import EscapeError
from traceprop.interop import array_api as xp
from traceprop.lineage import ProvenanceTensor, values
from traceprop.testing import assert_sound


@pytest.fixture
def X() -> Any:
    return tp.array(np.array([[1.0, 2.0], [3.0, 5.0], [4.0, 1.0]]), name="X")


def names(tensor: Any) -> list[str]:
    return [str(source) for source in tensor.dependencies().all()]


def test_a_tensor_has_the_namespace(X: Any) -> None:
    assert X.__array_namespace__() is xp
    assert X.__array_namespace__(api_version="2022.12") is xp
    assert X.device == "cpu"
    assert X.to_device("cpu") is X
    with pytest.raises(ValueError, match="'cpu', not 'cuda'"):
        X.to_device("cuda")


def test_it_has_all_that_numpy_has_of_the_standard() -> None:
    """NumPy's main namespace is a superset of the standard: `array_api_strict` lists the names."""
    missing = [name for name in STANDARD.split() if not hasattr(xp, name)]
    assert not missing
    assert not [name for name in xp.__all__ if not hasattr(xp, name)]
    assert not [name for name in xp.linalg.__all__ if not hasattr(xp.linalg, name)]
    assert not [name for name in xp.fft.__all__ if not hasattr(xp.fft, name)]
    assert xp.__array_api_version__ >= "2022.12"
    assert xp.__array_namespace_info__().default_device() == "cpu"


STANDARD = """
abs acos acosh add all any arange argmax argmin argsort asarray asin asinh astype atan atan2
atanh bitwise_and bitwise_invert bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor
bool broadcast_arrays broadcast_to can_cast ceil clip complex128 complex64 concat conj copysign
cos cosh divide e empty empty_like equal exp expand_dims expm1 eye finfo flip float32 float64
floor floor_divide from_dlpack full full_like greater greater_equal hypot iinfo imag inf int16
int32 int64 int8 isdtype isfinite isinf isnan less less_equal linspace log log10 log1p log2
logaddexp logical_and logical_not logical_or logical_xor matmul matrix_transpose max maximum
mean meshgrid min minimum moveaxis multiply nan negative newaxis nonzero not_equal ones
ones_like permute_dims pi positive pow prod real remainder repeat reshape result_type roll round
searchsorted sign signbit sin sinh sort sqrt square squeeze stack std subtract sum take tan tanh
tensordot tile tril triu trunc uint16 uint32 uint64 uint8 unique_all unique_counts
unique_inverse unique_values var vecdot where zeros zeros_like linalg fft
"""


def test_new_arrays_rest_on_nothing_and_may_leave(X: Any) -> None:
    with tp.strict():
        for made in (
            xp.zeros((2, 3)),
            xp.arange(3),
            xp.eye(2),
            xp.linspace(0, 1, 4),
            xp.full(2, 7),
        ):
            assert isinstance(made, ProvenanceTensor)
            assert not names(made)
            np.asarray(made)
    filled = xp.full((2,), X[1, 0])
    assert filled.sources() == {"X": {1}}
    with tp.strict(), pytest.raises(EscapeError):
        np.asarray(filled)
    assert xp.zeros(2, dtype=xp.float32, device="cpu").dtype == np.float32
    with pytest.raises(ValueError, match="not 'cuda'"):
        xp.zeros(2, device="cuda")
    total = X + xp.ones((3, 2))
    assert np.array_equal(values(tp.replay(total, sources={"X": values(X)})), values(X) + 1)


@pytest.mark.parametrize("plain", [np.ones(3), [1.0, 2.0], 2.5, np.float32(1), True])
def test_plain_data_is_unknown_and_never_of_no_source(plain: Any) -> None:
    entered = xp.asarray(plain)
    assert all(name.startswith("unknown:") for name in names(entered))
    assert names(entered)
    assert np.array_equal(values(entered), plain)


def test_asarray_of_tensors(X: Any) -> None:
    assert xp.asarray(X) is X
    assert xp.asarray(X, dtype=xp.float64) is X
    copied = xp.asarray(X, copy=True)
    copied[0] = 0
    assert values(X)[0, 0] == 1
    assert xp.asarray(X, dtype=xp.float32).dtype == np.float32
    with pytest.raises(ValueError, match="without a copy"):
        xp.asarray(X, dtype=xp.float32, copy=False)
    assert xp.asarray([X[0], X[2]]).sources() == {"X": {0, 2}}
    assert xp.from_dlpack(X) is X
    assert names(xp.from_dlpack(np.ones(2)))[0].startswith("unknown:")
    sums = np.zeros(2)
    with pytest.warns(UserWarning, match="leave the lineage"):
        np.add.at(sums, [0, 1, 0], X[:, 0])
    assert set(xp.asarray(sums).dependencies().all()["X"]) == {0, 1, 2}


def test_entered_data_is_a_copy() -> None:
    plain = np.ones(3)
    entered = xp.asarray(plain)
    plain[0] = 9
    assert values(entered)[0] == 1


def test_what_is_computed_with_it_is_sound() -> None:
    def program(X: Any) -> Any:
        namespace = np if isinstance(X, np.ndarray) else X.__array_namespace__()
        centred = X - namespace.mean(X, axis=0, keepdims=True)
        ordered = namespace.take(centred, namespace.argsort(X[:, 0]), axis=0)
        joined = namespace.concat([ordered, namespace.astype(X, namespace.float32)], axis=1)
        return namespace.where(joined > 0, joined, namespace.zeros_like(joined))

    assert_sound(program, np.array([[1.0, 2.0], [3.0, 5.0], [4.0, 1.0]]))


def test_unique_values_are_sorted(X: Any) -> None:
    codes = tp.array(np.array([2, 0, 1, 2, 0]), name="codes")
    assert values(xp.unique_values(codes)).tolist() == [0, 1, 2]
    gaps = tp.array(np.array([np.nan, 1.0, np.nan]), name="gaps")
    assert len(xp.unique_values(gaps)) == 3


def test_special_functions_are_the_ufuncs() -> None:
    assert xp.special.expit is scipy.special.expit or xp.special.expit.nin == 1
    with pytest.raises(AttributeError, match="no ufunc of SciPy"):
        xp.special.no_such_function  # noqa: B018


def test_scipy_dispatches_where_it_was_told_to() -> None:
    program = """
import warnings, numpy as np, traceprop as tp
import scipy.special, scipy.stats
X = tp.array(np.random.default_rng(0).normal(size=(6, 2)), name="X")
with tp.strict():
    assert scipy.special.expit(X)[1].sources() == {"X": {1}}
    assert scipy.special.softmax(X, axis=1)[1].sources() == {"X": {1}}
    assert scipy.stats.gmean(abs(X)).sources() == {"X": set(range(6))}
warnings.simplefilter("ignore")
z = scipy.stats.zscore(X)
assert z[1].sources() == {"X": {1}} and set(z[1].dependencies().statistic["X"]) == set(range(6))
"""
    subprocess.run(
        [sys.executable, "-c", program], check=True, env={**os.environ, "SCIPY_ARRAY_API": "1"}
    )


def test_the_namespace_is_loaded_on_use() -> None:
    program = "import sys, traceprop; assert 'traceprop.interop.array_api' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_saved_lineage_of_it_is_read_again(X: Any, tmp_path: Any) -> None:
    tp.save_lineage(tmp_path / "lineage.arrow", X + xp.ones((3, 2)))
    program = (
        "import sys, traceprop as tp, numpy as np\n"
        "graph = tp.load_lineage(sys.argv[1])\n"
        "data = np.array([[1.0, 2.0], [3.0, 5.0], [4.0, 1.0]])\n"
        "assert tp.replay(graph, sources={'X': data}).numpy()[0, 0] == 2\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "lineage.arrow")], check=True)
