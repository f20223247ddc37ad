"""Goals of capture and projection: against reading the gradients, a plain step, and peers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import numpy as np
import torch
from numba import njit
from sklearn.random_projection import SparseRandomProjection
from torch import Tensor, nn
from torch.nn import functional

from asv_bench.goals import Goal, at_least, at_most
from asv_bench.peers import run_peer
from asv_bench.peers.capture_models import BATCH, networks, plain_step
from asv_bench.timing import Comparison, paired
from traceprop.attribution.capture.gradients import project_calls
from traceprop.attribution.capture.recorder import Recorder, blocks_of, layers_of
from traceprop.attribution.projection import Block, Kind, Projector

THREADS = "one thread (thread CPU time)"

K, SAMPLES = 4096, 16
_TORCH = f"torch=={torch.__version__.partition('+')[0]}"
_TRAK = ["traker==0.3.2", _TORCH]


def goals() -> Iterator[Goal]:
    torch.set_num_threads(1)
    yield from _line_sjlt()
    yield _tensor_sketch()
    yield from _achlioptas()
    yield from _capture()


@njit(nogil=True, fastmath=True)
def _read(x):
    """Add up all numbers: reads them, as vectors, and does nothing else."""
    total = np.float32(0)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            total += x[i, j]
    return total


def _numbers(n: int, d: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, d), np.float32)


def _ratio(what: str, found: Comparison, limit: float, more: str = "") -> Goal:
    each = (
        f"{found.ours * 1e3 / SAMPLES:.3f} ms a sample against {found.theirs * 1e3 / SAMPLES:.3f}"
    )
    return at_most(what, found.ratio, limit, " ×", f"{found.interval}; {each}{more}")


def _line_sjlt() -> Iterator[Goal]:
    d = 1_000_000
    x = _numbers(SAMPLES, d)
    projectors = {
        s: Projector((Block("parameter", (d,)),), K, repetitions=s, kind="sjlt") for s in (1, 4)
    }
    for s, limit in ((1, 1.6), (4, 3.2)):
        found = paired(lambda s=s: projectors[s].project(x), lambda: _read(x), pairs=61)
        yield _ratio(f"line-SJLT, d = 1e6, k = 4096, s = {s}: against reading", found, limit)
    peer = SparseRandomProjection(K, random_state=0).fit(x)
    found = paired(lambda: peer.transform(x), lambda: projectors[4].project(x), pairs=9)
    note = f"{found.interval}; {found.ours * 1e3 / SAMPLES:.1f} ms a sample, batch of {SAMPLES}"
    what = "line-SJLT, s = 4: times as fast as scikit-learn's sparse one"
    yield at_least(what, found.ratio, 18, " ×", note)
    seconds = run_peer("trak_projection.py", "trak", _TRAK, f"{d}", f"{K}", f"{SAMPLES}", "2")
    what = "line-SJLT, s = 4: times as fast as TRAK's CPU projector"
    yield at_least(what, seconds["seconds"] / found.theirs, 2000, " ×", _trak_note(seconds, 2))


def _trak_note(seconds: dict[str, float], blocks: int) -> str:
    each = seconds["seconds"] * 1e3 / SAMPLES
    return f"{each:.0f} ms a sample: {blocks} of its blocks of 100 columns, scaled to {K}"


def _tensor_sketch() -> Goal:
    """A linear layer of 1000 by 1000, from factors, against what it stands for."""
    p = q = 1000
    blocks = (Block("weight", (p, q), linear=True),)
    left, right = _numbers(SAMPLES, p)[:, None], _numbers(SAMPLES, q)[:, None]
    tensor = Projector(blocks, K, kind="sjlt")
    lines = [Projector((Block("weight", (p, q)),), K, repetitions=s, kind="sjlt") for s in (1, 4)]
    formed = np.empty((SAMPLES, p, q), np.float32)

    def sketch() -> None:
        rows = tensor.sketch(SAMPLES)
        rows.add_factors(0, left, right)
        rows.rows()

    def form_and_project() -> None:
        np.multiply(left.transpose(0, 2, 1), right, out=formed)
        lines[0].project(formed.reshape(SAMPLES, -1))

    form_and_project()
    alone = [
        paired(sketch, lambda line=line: line.project(formed.reshape(SAMPLES, -1)), pairs=61)
        for line in lines
    ]
    found = paired(sketch, form_and_project, pairs=61)
    figures = ", ".join(f"{1 / f.ratio:.1f}" for f in alone)
    more = f"; once the gradient is there, line-SJLT takes {figures} times as long (s = 1, 4)"
    return _ratio("TensorSketch, d = 1e6: against forming + line-SJLT", found, 0.125, more)


def _achlioptas() -> Iterator[Goal]:
    d, part = 100_000, 256
    x = _numbers(SAMPLES, d)
    ours = Projector((Block("parameter", (d,)),), K, kind="achlioptas")
    seconds = run_peer("trak_projection.py", "trak", _TRAK, f"{d}", f"{K}", f"{SAMPLES}", "4")
    # Its time grows with the columns, and 4096 of them would take more than 3 GB.
    peer = SparseRandomProjection(part, density=1 / 3, random_state=0).fit(x)
    found = paired(lambda: peer.transform(x), lambda: ours.project(x), pairs=7)
    what = "Achlioptas 1/3, d = 1e5: times as fast as TRAK's CPU projector"
    yield at_least(what, seconds["seconds"] / found.theirs, 8, " ×", _trak_note(seconds, 4))
    ratio = found.ratio * K / part
    each = f"{found.theirs * 1e3 / SAMPLES:.1f} ms a sample against "
    each += f"{found.ours * K / part * 1e3 / SAMPLES:.1f}, measured at {part} columns and scaled"
    what = "Achlioptas 1/3: times as fast as scikit-learn's at density 1/3"
    yield at_least(what, ratio, 3.5, " ×", f"{found.pairs} pairs; {each}")


def _capture() -> Iterator[Goal]:
    opacus = run_peer("opacus_step.py", "opacus", ["opacus", _TORCH])
    limits = {"MLP 784-512-256-10": 3.0, "CNN of two convolutions": 1.7}
    for name, (model, inputs, labels) in networks().items():
        plain = plain_step(copy.deepcopy(model), inputs, labels)
        step = _vmap_step(copy.deepcopy(model), inputs, labels)
        vmap = paired(step, plain, pairs=15).ratio
        note = f"; Opacus {opacus[name]:.1f} ×, vmap(grad) {vmap:.1f} ×"
        for kind, what, limit in (
            (None, "hooks", 1.1),
            ("factors", "`factors`", 1.1),
            ("sjlt", "projected", limits[name]),
        ):
            recorded = _recorded_step(copy.deepcopy(model), inputs, labels, kind)
            found = paired(recorded, plain, pairs=61)
            each = f"{found.ours * 1e3:.2f} ms a step against {found.theirs * 1e3:.2f}"
            line = f"capture, {name}, {what}: against the plain step"
            yield at_most(line, found.ratio, limit, " ×", f"{found.interval}; {each}{note}")


def _recorded_step(
    model: nn.Module, inputs: Tensor, labels: Tensor, kind: Kind | None
) -> Callable[[], None]:
    """A step in which factors are kept, and become rows if a kind is given."""
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    blocks = blocks_of(model)
    projector = Projector(blocks, K, kind=kind)
    recorder = Recorder(layers_of(model, blocks))
    recorder.install()

    def step() -> None:
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(inputs), labels)
        with recorder.recording() as calls:
            loss.backward()
        if kind is not None:
            sketch = projector.sketch(BATCH)
            project_calls(calls, sketch, BATCH)
            sketch.rows(BATCH)
        optimizer.step()

    return step


def _vmap_step(model: nn.Module, inputs: Tensor, labels: Tensor) -> Callable[[], None]:
    """A step on the mean of per-sample gradients from `torch.func`."""
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    parameters = dict(model.named_parameters())

    def loss(parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return functional.cross_entropy(
            torch.func.functional_call(model, parameters, (x[None],)), y[None]
        )

    each = torch.func.vmap(torch.func.grad(loss), (None, 0, 0))

    def step() -> None:
        gradients = each({name: p.detach() for name, p in parameters.items()}, inputs, labels)
        for name, parameter in parameters.items():
            parameter.grad = gradients[name].mean(0)
        optimizer.step()

    return step
