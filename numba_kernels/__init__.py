"""Numba kernels: arrays in, arrays out.

No module here knows a Traceprop type, and every kernel has a plain-NumPy twin in `tests/naive/`
that it is compared with. Kernels release the GIL; the ones that use several threads say so.
"""
