"""Goals of scikit-learn: of twenty-five ordinary cases, how many keep their rows; none is wrong.

The cases are those of the tests (`tests/interop/sklearn_cases.py`); each is judged by nudging its
source rows and fitting anew.
"""

from __future__ import annotations

from collections.abc import Iterator

import traceprop as tp
from asv_bench.goals import Goal, at_least, exactly
from tests.interop.sklearn_cases import CASES, EXACT, SOUND, WRONG

THREADS = "1 process"


def goals() -> Iterator[Goal]:
    with tp.sklearn.enable(dispatch=False):
        verdicts = {case.name: case.judge() for case in CASES}
    kept = [name for name, verdict in verdicts.items() if verdict in (EXACT, SOUND)]
    others = ", ".join(f"{name}: {verdict}" for name, verdict in verdicts.items()
                       if name not in kept)  # fmt: skip
    exact = sum(verdict == EXACT for verdict in verdicts.values())
    note = f"{exact} exact; {others}"
    yield at_least(f"scikit-learn cases of {len(CASES)} with exact or sound rows", len(kept), 21,
                   note=note)  # fmt: skip
    wrong = [name for name, verdict in verdicts.items() if verdict == WRONG]
    yield exactly("scikit-learn cases that are silently wrong", len(wrong), 0, ", ".join(wrong))
