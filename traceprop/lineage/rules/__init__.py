"""Row rules, one module per family. Each says what its functions do to rows; none touches data.

To add a family: write a module here, register its functions with `implements` (or `handles`, where
a call has to be executed in a way of its own), and name the module in `registry._FAMILIES`.
"""
