"""Steps that random programs are made of, by family."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st


def _pick(draw, values, ok=lambda v: True):
    """Index of a value that fits, None if there is none."""
    fits = [i for i, v in enumerate(values) if isinstance(v, (np.ndarray, np.generic)) and ok(v)]
    return draw(st.sampled_from(fits)) if fits else None


def _has_axes(v):
    return v.ndim >= 1


def _axis(draw, v, none=True):
    choices = list(range(-v.ndim, v.ndim))
    return draw(st.sampled_from(choices + ([None] if none else [])))


def unary(draw, values):
    i = _pick(draw, values)
    f = draw(
        st.sampled_from(
            [np.negative, np.abs, np.exp, np.sqrt, np.square, np.isnan, np.sign, np.floor,
             np.nan_to_num, np.copy, np.log1p, np.tanh, np.logical_not]
        )
    )  # fmt: skip
    return f"{f.__name__}(v{i})", lambda env: f(env[i])


def binary(draw, values):
    i = _pick(draw, values)
    j = _pick(draw, values)
    f = draw(
        st.sampled_from(
            [np.add, np.subtract, np.multiply, np.true_divide, np.maximum, np.greater, np.equal,
             np.fmin, np.logical_and, np.power, np.hypot]
        )
    )  # fmt: skip
    if draw(st.booleans()):
        c = draw(st.sampled_from([2, 0.5, -1.0, True]))
        return f"{f.__name__}(v{i}, {c})", lambda env: f(env[i], c)
    return f"{f.__name__}(v{i}, v{j})", lambda env: f(env[i], env[j])


def operators(draw, values):
    import operator as op

    i = _pick(draw, values)
    j = _pick(draw, values)
    f = draw(st.sampled_from([op.add, op.sub, op.mul, op.truediv, op.lt, op.ge, op.eq, op.mod]))
    if draw(st.booleans()):
        return f"v{i} {f.__name__} 2", lambda env: f(env[i], 2)
    if draw(st.booleans()):
        return f"2 {f.__name__} v{i}", lambda env: f(2, env[i])
    return f"v{i} {f.__name__} v{j}", lambda env: f(env[i], env[j])


def reduction(draw, values):
    i = _pick(draw, values, _has_axes)
    if i is None:
        return None
    f = draw(
        st.sampled_from(
            [np.sum, np.mean, np.std, np.max, np.argmin, np.any, np.median, np.nansum, np.ptp,
             np.count_nonzero, np.prod, np.nanmax]
        )
    )  # fmt: skip
    axis = _axis(draw, values[i])
    keep = draw(st.booleans())
    return (
        f"{f.__name__}(v{i}, axis={axis}, keepdims={keep})",
        lambda env: f(env[i], axis=axis, keepdims=keep),
    )


def method_reduction(draw, values):
    i = _pick(draw, values, _has_axes)
    if i is None:
        return None
    name = draw(st.sampled_from(["sum", "mean", "std", "min", "max", "cumsum", "any", "argmax"]))
    axis = _axis(draw, values[i])
    return f"v{i}.{name}({axis})", lambda env: getattr(env[i], name)(axis)


def ufunc_method(draw, values):
    i = _pick(draw, values, _has_axes)
    if i is None:
        return None
    f = draw(st.sampled_from([np.add, np.maximum, np.multiply]))
    name = draw(st.sampled_from(["reduce", "accumulate", "reduceat", "outer"]))
    axis = _axis(draw, values[i], none=False)
    if name == "reduceat":
        n = values[i].shape[axis]
        cuts = draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=3)) if n else [0]
        return (
            f"{f.__name__}.reduceat(v{i}, {cuts}, axis={axis})",
            lambda env: f.reduceat(env[i], cuts, axis=axis),
        )
    if name == "outer":
        j = _pick(draw, values)
        return f"{f.__name__}.outer(v{i}, v{j})", lambda env: f.outer(env[i], env[j])
    return (
        f"{f.__name__}.{name}(v{i}, axis={axis})",
        lambda env: getattr(f, name)(env[i], axis=axis),
    )


def scan(draw, values):
    i = _pick(draw, values, _has_axes)
    if i is None:
        return None
    f = draw(st.sampled_from([np.cumsum, np.cumprod, np.nancumsum, np.diff, np.gradient]))
    axis = _axis(draw, values[i], none=f in (np.cumsum, np.cumprod, np.nancumsum))
    return f"{f.__name__}(v{i}, axis={axis})", lambda env: f(env[i], axis=axis)


def convolution(draw, values):
    i = _pick(draw, values, lambda v: v.ndim == 1 and v.size)
    j = _pick(draw, values, lambda v: v.ndim == 1 and v.size)
    if i is None:
        return None
    f = draw(st.sampled_from([np.convolve, np.correlate]))
    mode = draw(st.sampled_from(["full", "same", "valid"]))
    return f"{f.__name__}(v{i}, v{j}, {mode!r})", lambda env: f(env[i], env[j], mode)


def contraction(draw, values):
    i = _pick(draw, values)
    j = _pick(draw, values)
    f = draw(st.sampled_from([np.dot, np.inner, np.outer, np.matmul, np.kron, np.vdot, np.vecdot]))
    return f"{f.__name__}(v{i}, v{j})", lambda env: f(env[i], env[j])


def product_with_own_transpose(draw, values):
    i = _pick(draw, values, lambda v: v.ndim == 2)
    if i is None:
        return None
    which = draw(st.sampled_from(["v @ v.T", "v.T @ v", "einsum", "tensordot"]))
    step = {
        "v @ v.T": lambda env: env[i] @ env[i].T,
        "v.T @ v": lambda env: env[i].T @ env[i],
        "einsum": lambda env: np.einsum("ij,kj->ik", env[i], env[i]),
        "tensordot": lambda env: np.tensordot(env[i], env[i], axes=([0], [0])),
    }[which]
    return f"{which} of v{i}", step


def shape_movement(draw, values):
    i = _pick(draw, values, _has_axes)
    if i is None:
        return None
    v = values[i]
    moves: dict[str, Any] = {
        "ravel": lambda a: a.ravel(),
        "T": lambda a: a.T,
        "reshape(-1)": lambda a: a.reshape(-1),
        "reshape(1, -1)": lambda a: np.reshape(a, (1, -1)),
        "reshape(-1, 1)": lambda a: a.reshape(-1, 1),
        "reshape F": lambda a: np.reshape(a, (-1,), order="F"),
        "flatten": lambda a: a.flatten(),
        "flip": lambda a: np.flip(a),
        "rot90": lambda a: np.rot90(a),
        "squeeze": lambda a: np.squeeze(a),
        "tile": lambda a: np.tile(a, 2),
        "atleast_2d": lambda a: np.atleast_2d(a),
        "expand": lambda a: np.expand_dims(a, 0),
        "tril": lambda a: np.tril(a),
        "diag": lambda a: np.diag(a),
        "resize": lambda a: np.resize(a, (3, 2)),
        "fftshift": lambda a: np.fft.fftshift(a),
    }
    if v.size and v.size % 2 == 0:
        moves["reshape(2, -1)"] = lambda a: a.reshape(2, -1)
    name = draw(st.sampled_from(sorted(moves)))
    return f"{name} of v{i}", lambda env: moves[name](env[i])


def axis_movement(draw, values):
    i = _pick(draw, values, _has_axes)
    if i is None:
        return None
    axis = _axis(draw, values[i])
    named = _axis(draw, values[i], none=False)
    n = values[i].shape[named]
    picks = draw(st.lists(st.integers(-n, n - 1), max_size=4)) if n else []
    moves: dict[str, Any] = {
        f"roll(1, {axis})": lambda a: np.roll(a, 1, axis),
        f"repeat(2, {axis})": lambda a: np.repeat(a, 2, axis),
        f"flip({named})": lambda a: np.flip(a, named),
        f"take({picks}, {named})": lambda a: np.take(a, np.array(picks, dtype=int), named),
        f"delete(0, {named})": lambda a: np.delete(a, 0, named),
        f"insert(0, 9, {named})": lambda a: np.insert(a, 0, 9, named),
        f"append self {axis}": lambda a: np.append(a, a, axis),
        f"moveaxis({named})": lambda a: np.moveaxis(a, named, 0),
        f"swapaxes(0, {named})": lambda a: a.swapaxes(0, named),
        "pad": lambda a: np.pad(a, 1),
        "pad wrap": lambda a: np.pad(a, 1, mode="wrap"),
        f"compress {named}": lambda a: np.compress([True, False, True][:n], a, named),
        f"split {named}": lambda a: np.array_split(a, 2, named)[1],
    }
    name = draw(st.sampled_from(sorted(moves)))
    return f"{name} of v{i}", lambda env: moves[name](env[i])


def joining(draw, values):
    i = _pick(draw, values)
    j = _pick(draw, values)
    f = draw(st.sampled_from([np.concatenate, np.stack, np.hstack, np.vstack, np.column_stack]))
    if f in (np.concatenate, np.stack) and draw(st.booleans()):
        axis = draw(st.sampled_from([0, 1, -1]))
        return f"{f.__name__}((v{i}, v{j}), {axis})", lambda env: f((env[i], env[j]), axis)
    if draw(st.booleans()):
        return (
            f"{f.__name__}((v{i}, zeros, v{j}))",
            lambda env: f((env[i], np.zeros_like(np.zeros(env[i].shape)), env[j])),
        )
    return f"{f.__name__}((v{i}, v{j}))", lambda env: f((env[i], env[j]))


def simple_index(draw, values):
    i = _pick(draw, values, _has_axes)
    if i is None:
        return None
    n = values[i].shape[0]
    keys = [slice(None, None, 2), slice(1, None), slice(None, None, -1), Ellipsis, None]
    keys += [(Ellipsis, 0), (slice(None), slice(0, 1)), (slice(None, None, -1), None)]
    if n:
        row = draw(st.integers(-n, n - 1))
        keys += [row, (row, Ellipsis), slice(row, None), (slice(None), -1), (None, row)]
    key = draw(st.sampled_from(keys))
    return f"v{i}[{key}]", lambda env: env[i][key]


def index_by_array(draw, values):
    i = _pick(draw, values, _has_axes)
    if i is None:
        return None
    n = values[i].shape[0]
    picks = draw(st.lists(st.integers(-n, n - 1), max_size=4)) if n else []
    rows = np.array(picks, dtype=int)
    mask = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=bool)
    keys = {"rows": rows, "mask": mask, "list": list(picks), "rows, 0": (rows, 0)}
    keys["column"] = (slice(None), np.array([0, 0]))
    keys["rows[:, None]"] = rows[:, None]
    keys["rows, :, None"] = (rows, slice(None), None)
    name = draw(st.sampled_from(sorted(keys)))
    key = keys[name]
    return f"v{i}[{name} = {key}]", lambda env: env[i][key]


def index_by_value(draw, values):
    """Masks and indices that are themselves computed."""
    i = _pick(draw, values, _has_axes)
    j = _pick(draw, values, lambda v: v.dtype == bool or v.dtype.kind == "i")
    if i is None or j is None:
        return None
    if draw(st.booleans()):
        return f"v{i}[v{j}]", lambda env: env[i][env[j]]
    if values[j].dtype == bool:
        return f"compress(v{j}, v{i}, 0)", lambda env: np.compress(env[j], env[i], 0)
    return f"take(v{i}, v{j}, 0, clip)", lambda env: np.take(env[i], env[j], 0, mode="clip")


def filtering(draw, values):
    i = _pick(draw, values, _has_axes)
    if i is None:
        return None
    column = (slice(None),) + (0,) * (values[i].ndim - 1)
    return f"v{i}[v{i}[:, 0…] > 0]", lambda env: env[i][env[i][column] > 0]


def choosing(draw, values):
    c, a, b = (_pick(draw, values) for _ in range(3))
    if draw(st.booleans()):
        return f"where(v{c} > 0, v{a}, v{b})", lambda env: np.where(env[c] > 0, env[a], env[b])
    return (
        f"select([v{c} > 0], [v{a}], v{b})",
        lambda env: np.select([env[c] > 0], [env[a]], 0.0),
    )


def sorting(draw, values):
    i = _pick(draw, values, _has_axes)
    if i is None:
        return None
    f = draw(st.sampled_from([np.sort, np.argsort]))
    axis = _axis(draw, values[i])
    return f"{f.__name__}(v{i}, {axis})", lambda env: f(env[i], axis)


def searching(draw, values):
    i = _pick(draw, values)
    j = _pick(draw, values, lambda v: v.ndim == 1)
    forms: dict[str, Any] = {
        f"nonzero(v{i})[0]": lambda env: np.nonzero(env[i])[0],
        f"argwhere(v{i})": lambda env: np.argwhere(env[i]),
        f"unique(v{i})": lambda env: np.unique(env[i]),
        f"isin(v{i}, 1, 2)": lambda env: np.isin(env[i], [1.0, 2.0]),
        f"clip(v{i})": lambda env: np.clip(env[i], 0, 2),
    }
    if j is not None:
        forms[f"searchsorted(sort(v{j}), v{i})"] = lambda env: np.searchsorted(
            np.sort(env[j]), env[i]
        )
        forms[f"isin(v{i}, v{j})"] = lambda env: np.isin(env[i], env[j])
        forms[f"interp(v{i}, arange, v{j})"] = lambda env: np.interp(
            env[i], np.arange(env[j].shape[0]), env[j]
        )
    name = draw(st.sampled_from(sorted(forms)))
    return name, forms[name]


def linear_algebra(draw, values):
    i = _pick(draw, values, lambda v: v.ndim >= 2 and v.dtype.kind == "f")
    if i is None:
        return None
    forms: dict[str, Any] = {
        f"svdvals(v{i})": lambda env: np.linalg.svd(np.nan_to_num(env[i]), compute_uv=False),
        f"norm(v{i}, axis=1)": lambda env: np.linalg.norm(env[i], axis=1),
        f"fft(v{i}, axis=0)": lambda env: np.fft.fft(env[i], axis=0).real,
        f"fft(v{i})": lambda env: np.fft.fft(env[i]).imag,
        f"cov(v{i})": lambda env: np.cov(env[i]) if env[i].ndim == 2 else env[i],
        f"trace(v{i})": lambda env: np.trace(env[i]),
    }
    name = draw(st.sampled_from(sorted(forms)))
    return name, forms[name]


def normalising(draw, values):
    i = _pick(draw, values, lambda v: v.ndim >= 1 and v.dtype.kind == "f")
    if i is None:
        return None
    return (
        f"(v{i} - mean) / std",
        lambda env: (env[i] - env[i].mean(axis=0)) / env[i].std(axis=0),
    )


PURE = {
    f.__name__: f
    for f in (
        unary, binary, operators, reduction, method_reduction, ufunc_method, scan, convolution,
        contraction, product_with_own_transpose, shape_movement, axis_movement, joining,
        simple_index, index_by_array, index_by_value, filtering, choosing, sorting, searching,
        linear_algebra, normalising,
    )
}  # fmt: skip


def inplace_operator(draw, values):
    import operator as op

    i = _pick(draw, values, lambda v: isinstance(v, np.ndarray) and v.flags.writeable)
    j = _pick(draw, values)
    if i is None:
        return None
    f = draw(st.sampled_from([op.iadd, op.imul, op.isub]))
    if draw(st.booleans()):
        return f"v{i} {f.__name__} 2", lambda env: f(env[i], 2)
    return f"v{i} {f.__name__} v{j}", lambda env: f(env[i], env[j])


def assignment(draw, values):
    i = _pick(draw, values, lambda v: isinstance(v, np.ndarray) and v.ndim and v.flags.writeable)
    if i is None:
        return None
    j = _pick(draw, values)
    n = values[i].shape[0]
    keys: dict[str, Any] = {
        "...": Ellipsis, "::2": slice(None, None, 2), "1:": slice(1, None), "..., 0": (Ellipsis, 0),
        ":1": slice(0, 1),
    }  # fmt: skip
    if n:
        keys["-1"] = -1
        keys["0"] = 0
        keys["[0, -1]"] = np.array([0, -1])
        keys["mask"] = np.arange(n) % 2 == 0
    name = draw(st.sampled_from(sorted(keys)))
    key = keys[name]

    def step(env):
        env[i][key] = env[j]
        return env[i][key]

    def masked(env):
        env[i][env[i] > 1] = 0.5
        return env[i]

    def masked_rows(env):
        column = (slice(None),) + (0,) * (env[i].ndim - 1)
        env[i][env[i][column] > 0] = env[j]
        return env[i]

    which = draw(st.sampled_from(["key", "key", "masked", "masked rows"]))
    if which == "masked":
        return f"v{i}[v{i} > 1] = 0.5", masked
    if which == "masked rows":
        return f"v{i}[v{i}[:, 0] > 0] = v{j}", masked_rows
    return f"v{i}[{name}] = v{j}", step


def mutator(draw, values):
    i = _pick(draw, values, lambda v: isinstance(v, np.ndarray) and v.size and v.flags.writeable)
    if i is None:
        return None
    j = _pick(draw, values)
    n = values[i].shape[0] if values[i].ndim else 1
    rows = draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=3))

    def at(env):
        np.add.at(env[i], rows, env[j])
        return env[i]

    def copyto(env):
        np.copyto(env[i], env[j], casting="unsafe", where=env[i] != 0)
        return env[i]

    def put(env):
        np.put(env[i], rows, env[j])
        return env[i]

    def out(env):
        return np.add(env[i], env[j], out=env[i], casting="unsafe")

    def where_out(env):
        return np.add(env[i], 1, out=env[i], where=env[i] > 0, casting="unsafe")

    def sort(env):
        env[i].sort(axis=0)
        return env[i]

    def fill(env):
        env[i].fill(3)
        return env[i]

    def putmask(env):
        np.putmask(env[i], env[i] > 0, env[j])
        return env[i]

    def diagonal(env):
        np.fill_diagonal(env[i], 7)
        return env[i]

    f = draw(st.sampled_from([at, copyto, put, out, where_out, sort, fill, putmask, diagonal]))
    return f"{f.__name__}(v{i}, {rows}, v{j})", f


WRITING = {**PURE, **{f.__name__: f for f in (inplace_operator, assignment, mutator)}}
