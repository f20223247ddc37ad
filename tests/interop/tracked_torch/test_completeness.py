"""Every function that torch lets us override is classified, and what is classified is there."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from torch.overrides import get_overridable_functions, get_testing_overrides

import traceprop as tp
from traceprop.errors import EscapeError, LineageError
from traceprop.interop.torch.tracked.coverage import classification
from traceprop.interop.torch.tracked.entries import ENTRIES, ESCAPE, UNCLASSIFIED
from traceprop.interop.torch.tracked.ops import HOMES, bare_name, op_named, op_of, qualified_name
from traceprop.lineage import strict
from traceprop.lineage.graph.edge import opaque_in_extent
from traceprop.lineage.registry import CONSERVATIVE, EXACT, REFUSED, rule_of

TABLE = classification()


def test_every_function_is_classified():
    unknown = [name for name, known in TABLE.items() if known.status == UNCLASSIFIED]
    assert not unknown, f"classify them in traceprop/interop/torch/tracked/families: {unknown}"


def test_functions_that_torch_takes_for_equal_are_promised_the_same():
    """As torch.mm and torch.dsmm are: whichever is met first stands for both."""
    known = {}
    for group in get_overridable_functions().values():
        for function in group:
            known.setdefault(function, []).append(TABLE[qualified_name(function)])
    assert [each for each in known.values() if len({kept[:2] for kept in each}) > 1] == []


def test_nothing_is_promised_without_a_reason():
    assert {each.status for each in TABLE.values()} == {EXACT, CONSERVATIVE, REFUSED, ESCAPE}
    assert not [name for name, known in TABLE.items() if known.status != EXACT and not known.reason]


def test_a_function_that_nobody_classified_gets_the_sound_answer():
    """What torch adds tomorrow: every row depends on every row, whatever it does."""

    def reversed_sums(x):
        return torch.cumsum(x.flip(0), 0).flip(0)

    X = tp.array(torch.tensor([1.0, 2.0, 3.0]), name="t")
    made = type(X).__torch_function__(reversed_sums, (type(X),), (X,), {})
    assert list(made[2:].sources()["t"]) == [0, 1, 2]
    assert rule_of(op_of(reversed_sums)).rows is opaque_in_extent
    with pytest.raises(LineageError, match="nobody has said"):
        tp.replay(made, sources={"t": np.array([1, 2, 3], np.float32)})


def operations():
    """The operations of all overridable functions that a node may have."""
    for group in get_overridable_functions().values():
        for function in group:
            op = op_of(function)
            if op.entry.status in (EXACT, CONSERVATIVE) and op.name in TABLE:
                home, _, last = op.name.rpartition(".")
                if home in HOMES and getattr(HOMES[home], last, None) is function:
                    yield op


def test_every_operation_is_found_again_by_the_name_it_is_saved_under():
    found = list(operations())
    assert len(found) > 1000
    assert [op.name for op in found if op_named(op.name) is not op] == []


@pytest.mark.parametrize(
    "name", ["torch.load", "torch.save", "torch.hub.load", "os.system", "torch"]
)
def test_no_other_function_is_found_by_a_name(name):
    with pytest.raises(KeyError):
        op_named(name)


def test_no_name_in_the_tables_is_misspelt():
    known = {name.removeprefix("torch.") for name in TABLE}
    known |= {bare_name(name) for name in TABLE} | {name.rpartition(".")[2] for name in TABLE}
    there = {
        name
        for name in ENTRIES
        if any(hasattr(home, name.rpartition(".")[2]) for home in HOMES.values())
    }
    assert not sorted(set(ENTRIES) - known - there - LEFT_FROM_OTHER_VERSIONS)


LEFT_FROM_OTHER_VERSIONS = {
    "alias", "align_as", "align_to", "col2im", "has_names", "im2col", "names", "refine_names",
    "rename", "rename_", "squash_mask_", "unflatten_names",
}  # fmt: skip


def escapes():
    return [
        function
        for group in get_overridable_functions().values()
        for function in group
        if TABLE[qualified_name(function)].status == ESCAPE
    ]


def test_what_leaves_is_seen_leaving():
    X = tp.array(torch.ones(1), name="t")
    for call in (
        lambda: X.item(), lambda: X.tolist(), lambda: np.asarray(X), lambda: float(X),
        lambda: int(X), lambda: bool(X), lambda: complex(X), lambda: 1.0 in X,
        lambda: torch.equal(X, X), lambda: torch.allclose(X, X), lambda: X.data_ptr(),
        lambda: X.untyped_storage(), lambda: X.__dlpack__(), lambda: torch.is_nonzero(X),
        lambda: torch.tensor(X), lambda: torch.as_tensor(X),
        lambda: X.clone().requires_grad_().sum().backward(),
        lambda: torch.zeros(1).add_(X), lambda: torch.add(X, 1, out=torch.zeros(1)),
    ):  # fmt: skip
        with strict(), pytest.raises(EscapeError):
            call()
    assert len(escapes()) >= 20


@pytest.mark.filterwarnings("ignore::traceprop.errors.LineageEscapeWarning")
def test_every_function_that_is_refused_says_what_to_do_instead():
    X = tp.array(torch.ones(2, 2), name="t")
    refused = 0
    dummies = get_testing_overrides()
    for group in get_overridable_functions().values():
        for function in group:
            if TABLE[qualified_name(function)].status != REFUSED or function not in dummies:
                continue
            count = len(inspect.signature(dummies[function]).parameters)
            with pytest.raises(LineageError, match=": "):
                type(X).__torch_function__(function, (type(X),), (X,) * max(count, 1), {})
            refused += 1
    assert refused > 50
