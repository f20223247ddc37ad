"""Every function and ufunc that NumPy lets us override is classified, called and judged.

`numpy.testing.overrides` says what there is. NumPy counts some functions twice: those with `like=`
have a second object behind them, which stands under the same name.
"""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.testing.overrides import (
    get_overridable_numpy_array_functions,
    get_overridable_numpy_ufuncs,
)

from tests.lineage.examples import EXAMPLES
from traceprop.errors import EscapeError, LineageError
from traceprop.lineage import strict, values
from traceprop.lineage.registry import EXACT, REFUSED, UNKNOWN, classification, rule_of
from traceprop.lineage.saved.encoding import Decoder, Unresolved, operation_name
from traceprop.testing import assert_sound, precision
from traceprop.testing.oracle import rows_differ, track
from traceprop.testing.program import name_of, run_quietly

README = Path(__file__).resolve().parents[2] / "README.md"
TABLE = classification()
DECODER = Decoder([])


def public(function):
    """The function itself, or the one of its name in NumPy where it is what stands behind that."""
    return function if function in TABLE else getattr(np, function.__name__, function)


FUNCTIONS = sorted(get_overridable_numpy_array_functions(), key=name_of)
UFUNCS = sorted(get_overridable_numpy_ufuncs(), key=name_of)


def ufunc_status(ufunc):
    """Cell by cell by construction is exact; a ufunc with a signature needs a rule of its own."""
    if ufunc.signature is None:
        return EXACT if rule_of(ufunc).family == "elementwise" else "no rule"
    return TABLE[ufunc].status if ufunc in TABLE else "no rule"


def counts_line() -> str:
    """What the README says about all this."""
    functions = Counter(TABLE[public(each)].status for each in FUNCTIONS)
    ufuncs = Counter(map(ufunc_status, UFUNCS))
    return (
        f"{len(FUNCTIONS)} functions ({functions['exact']} exact, {functions['conservative']} "
        f"conservative, {functions['refused']} refused) and {len(UFUNCS)} ufuncs "
        f"({ufuncs['exact']} exact)"
    )


def test_every_function_is_classified():
    unknown = [name_of(each) for each in FUNCTIONS if public(each) not in TABLE]
    assert not unknown, f"classify them in traceprop/lineage/rules: {unknown}"


def test_every_ufunc_is_classified():
    unknown = [name_of(each) for each in UFUNCS if ufunc_status(each) == "no rule"]
    assert not unknown, f"classify them in traceprop/lineage/rules: {unknown}"


@pytest.mark.parametrize("function", [*TABLE, *UFUNCS], ids=name_of)
def test_every_operation_is_found_again_by_the_name_it_is_saved_under(function):
    found = DECODER.operation(operation_name(function))
    if rule_of(function).family == UNKNOWN:  # no operation of a lineage, as np.save
        assert isinstance(found, Unresolved)
    else:
        assert found is function


@pytest.mark.parametrize("name", ["save", "savez", "savetxt", "fromfile", "loadtxt", "genfromtxt"])
def test_no_function_that_opens_files_is_found_by_a_name(name):
    assert isinstance(DECODER.operation(f"numpy:{name}"), Unresolved)


def test_nothing_is_promised_without_a_reason():
    silent = [name_of(f) for f, kept in TABLE.items() if kept.status != EXACT and not kept.reason]
    assert not silent


def test_every_function_has_an_example():
    missing = [name_of(each) for each in FUNCTIONS if public(each) not in EXAMPLES]
    assert not missing, f"add a call to tests/lineage/examples.py: {missing}"


def test_the_readme_states_the_counts():
    print(counts_line())
    text = " ".join(README.read_text(encoding="utf-8").split())
    assert counts_line() in text


SOUND = [f for f in EXAMPLES if TABLE[f].status != REFUSED and TABLE[f].family not in
         ("metadata", "doors")]  # fmt: skip


@pytest.mark.parametrize("function", SOUND, ids=name_of)
def test_an_example_has_a_sound_lineage(function):
    for example in EXAMPLES[function]:
        assert_sound(example, *example.arrays, finite=example.finite)


MOVES_NO_VALUES = {np.zeros_like, np.ones_like, np.empty_like}


@pytest.mark.parametrize("function", [f for f in SOUND if TABLE[f].status == EXACT], ids=name_of)
def test_what_is_called_exact_is(function):
    """At least half of what the lineage names can be seen to matter, by nudges that may miss."""
    found = [precision(e, *e.arrays, finite=e.finite) for e in EXAMPLES[function]]
    shown, recorded = np.sum(found, axis=0)
    assert recorded or function in MOVES_NO_VALUES or TABLE[function].family == "creation"
    assert shown >= recorded / 2, f"{shown} of {recorded}"


REFUSALS = [f for f in EXAMPLES if TABLE[f].status == REFUSED]


@pytest.mark.parametrize("function", REFUSALS, ids=name_of)
def test_a_refusal_says_what_to_do_instead(function):
    for example in EXAMPLES[function]:
        with pytest.raises(LineageError, match=r"\. |: "):
            example(*track(example.arrays))


@pytest.mark.parametrize(
    "function", [f for f in EXAMPLES if TABLE[f].family == "metadata"], ids=name_of
)
def test_shapes_and_types_are_told_without_an_escape(function):
    for example in EXAMPLES[function]:
        with strict(), warnings.catch_warnings():
            warnings.simplefilter("error")
            told = example(*track(example.arrays))
        assert repr(told) == repr(example(*example.arrays))


@pytest.mark.parametrize(
    "function", [f for f in EXAMPLES if TABLE[f].family == "doors"], ids=name_of
)
def test_what_leaves_is_seen_leaving(function):
    for example in EXAMPLES[function]:
        with strict(), pytest.raises(EscapeError):
            example(*track(example.arrays))
        tensors = track(example.arrays)
        result = run_quietly(example.returned, *tensors)
        assert result == run_quietly(example.returned, *example.arrays)
        assert any(tensor.escapes() for tensor in tensors)


def elementwise_ufuncs():
    return [u for u in UFUNCS if u.signature is None and not u.__name__.startswith("_")]


@pytest.mark.parametrize("ufunc", elementwise_ufuncs(), ids=lambda u: u.__name__)
def test_a_ufunc_called_on_each_kind_of_value_it_takes(ufunc):
    """Called through each of its loops' first types, rows stay rows."""
    called = 0
    for arrays in _operands(ufunc):
        try:
            plain = run_quietly(ufunc, *arrays)
        except TypeError:
            continue
        called += 1
        assert_sound(ufunc, *arrays)
        first = plain[0] if isinstance(plain, tuple) else plain
        assert first.shape == arrays[0].shape
    assert called


def _operands(ufunc):
    """Operands of each kind of value, each with two columns of three rows."""
    kinds = {
        "floats": np.array([[0.5, 1.0], [0.25, 0.75], [1.0, 0.5]]),
        "integers": np.array([[1, 2], [3, 1], [2, 2]]),
        "booleans": np.array([[True, False], [False, False], [True, True]]),
        "dates": np.array([["2024-01-01", "2024-01-02"]] * 3, dtype="datetime64[D]"),
        "texts": np.array([["ab", "b"], ["a", "c"], ["b", "b"]]),
    }
    for values_ in kinds.values():
        yield [values_] * ufunc.nin if ufunc.nin < 3 else [values_, values_[::-1], values_]
    if ufunc.nin > 1:
        yield [kinds["floats"], *[kinds["integers"]] * (ufunc.nin - 1)]
        places = np.zeros((3, 2), dtype=int)
        yield [kinds["texts"], kinds["texts"], places, places + 2][: ufunc.nin]


@pytest.mark.parametrize("ufunc", [np.add, np.maximum, np.logical_and], ids=name_of)
@pytest.mark.parametrize("method", ["reduce", "accumulate", "outer"])
def test_methods_of_ufuncs(ufunc, method):
    x = np.array([[0.5, 0.0], [2.0, -1.0], [0.0, 3.0]])
    arrays = [x, x[::-1].copy()] if method == "outer" else [x]
    assert_sound(getattr(ufunc, method), *arrays)


def test_an_unknown_function_gets_the_sound_answer():
    """What NumPy adds tomorrow: every row depends on every row, whatever it does."""

    def reversed_sums(x):
        return np.cumsum(x[::-1])[::-1]

    x = np.array([1.0, 2.0, 3.0])
    tensor = track([x])[0]
    unknown = tensor.__array_function__(reversed_sums, (type(tensor),), (tensor,), {})
    assert not rows_differ(values(unknown), reversed_sums(x)).any()
    assert list(unknown[2:].sources()["source 0"]) == [0, 1, 2]
