"""The array API standard's Fourier transforms: NumPy's functions, recorded as any other call."""

from __future__ import annotations

from typing import Final

import numpy as np

_NAMES: Final = (
    "fft fftfreq fftn fftshift hfft ifft ifftn ifftshift ihfft irfft irfftn rfft rfftfreq rfftn"
)
NAMES: Final = tuple(_NAMES.split())

__all__ = [*NAMES]

globals().update({name: getattr(np.fft, name) for name in NAMES})
