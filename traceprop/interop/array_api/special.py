"""SciPy's special functions as part of the namespace, so that SciPy doesn't take the values out.

With `SCIPY_ARRAY_API` on, `scipy.special` asks the namespace for a `special` of its own, and where
there is none it turns the arrays into plain ones. NumPy's ufunc protocol serves tensors as it is.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np


class _Special:
    """SciPy's special functions that are ufuncs, by name."""

    def __getattr__(self, name: str) -> Any:
        from scipy.special import _ufuncs

        found = getattr(_ufuncs, name, None)
        if isinstance(found, np.ufunc):
            return found
        raise AttributeError(f"no ufunc of SciPy is called {name!r}")


SPECIAL: Final = _Special()
