"""TrainingContext: records an ordinary training loop into a store.

Promises: the samples of a batch are those that the data say, or that the caller names, never a
guess; the loop trains exactly as without it; what is recorded is committed at the end of the
with-block, all of it, or nothing where an exception leaves the block; hooks are gone either way.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from traceprop.attribution.capture.batch_samples import (
    BatchSamples,
    Forward,
    at_the_door,
    given_samples,
    samples_of,
)
from traceprop.attribution.capture.gradients import check_sum, project_calls
from traceprop.attribution.capture.loss_graph import (
    LossGraph,
    ModelOutput,
    is_scalar_loss,
    read_loss,
    resolve,
)
from traceprop.attribution.capture.optimizer import OptimizerWatch
from traceprop.attribution.capture.recorder import (
    Call,
    Hook,
    Recorder,
    Variant,
    blocks_of,
    layers_of,
)
from traceprop.attribution.capture.run_data import Keep, RunData
from traceprop.attribution.projection import Projector
from traceprop.attribution.store.record import TrainingRecord
from traceprop.curvature.architecture import describe
from traceprop.curvature.digest import model_digest
from traceprop.curvature.losses import LossSpec
from traceprop.errors import CaptureError, CaptureWarning
from traceprop.interop.torch import SampleDataset

if TYPE_CHECKING:
    from traceprop.attribution.store.gradient_store import GradientStore


class TrainingContext:
    """Records per-sample gradients, data and settings of the training loop in its with-block.

    Parameters
    ----------
    model : torch.nn.Module
        The model that is trained.
    store : GradientStore
        Where the run goes. It must not hold one yet.
    optimizer : torch.optim.Optimizer, optional
        Whose `weight_decay` is the penalty, which must be the same at every step. By default the
        one that is seen stepping the model.
    criterion : LossSpec or torch loss object, optional
        What the loss is, where its graph doesn't show it. A constant that multiplies the loss after
        its reduction is then known to be no part of it (gradient accumulation, loss scaling).
    recipe : callable, optional
        Trains from given arrays and a seed; makes exact retraining possible. Kept as an attribute
        for the removal in the same process.
    variant : {"all-layers", "last-layer"}
        Which parameters' gradients are kept: of all trainable ones, or of the last module that
        has some, which is cheaper and predicts less.
    epochs : {"sum", "last"}
        What a sample's row is: the sum of its gradients over its visits, or that of its last
        visit. A row is in units of the loss per unit of weight.

    Raises
    ------
    CaptureError
        On entry: a layer has no rule for per-sample gradients.
    StoreError
        On entry: the store holds a run already.

    Notes
    -----
    A sample's gradient is what flows back through its own row of each layer. The first dimension
    of every layer's input must therefore be the samples', and where a loss or a layer lets samples
    meet (a contrastive loss, BatchNorm in training) the row is the sample's part of the batch's
    gradient, not the gradient of a loss of its own.

    Examples
    --------
    >>> with TrainingContext(model, store) as ctx:  # doctest: +SKIP
    ...     for i, (Xb, yb) in enumerate(loader):
    ...         optimizer.zero_grad()
    ...         ctx.backward(criterion(model(Xb), yb), batch_idx=i)
    ...         optimizer.step()
    """

    def __init__(
        self,
        model: nn.Module,
        store: GradientStore,
        optimizer: Optimizer | None = None,
        criterion: LossSpec | nn.Module | None = None,
        recipe: Callable[..., Any] | None = None,
        *,
        variant: Variant = "all-layers",
        epochs: Keep = "sum",
    ) -> None:
        if not (hasattr(model, "named_parameters") and hasattr(store, "prepare")):
            raise CaptureError(
                f"TrainingContext takes the model and then its store, and got a "
                f"{type(model).__name__} and a {type(store).__name__}; write "
                f"TrainingContext(model, GradientStore(path='./grad/'))"
            )
        self.model, self.store, self.recipe = model, store, recipe
        self._criterion = criterion
        self._variant: Variant = variant
        self._keep: Keep = epochs
        self._watch = OptimizerWatch(model, optimizer)
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        self._data: RunData | None = None
        self._latest: ModelOutput | None = None  # what a loss is expected to be computed from

    def __enter__(self) -> Self:
        if self._data is not None:
            raise CaptureError("a training context records once; make a new one with a new store")
        blocks = blocks_of(self.model, self._variant)
        self._recorder = Recorder(layers_of(self.model, blocks))
        self._projector = Projector(blocks, self.store.k, self.store.seed)
        self._parameters = dict(self.model.named_parameters())
        self._trainable = [p.requires_grad for p in self._parameters.values()]
        self._initial_weights = _weights(self.model)
        self.store.prepare()
        self._data = RunData(self._projector.width, self._keep)
        # Before the model's own hook, since a model may be one layer, and that hook ends its run.
        self._recorder.install()
        self._handles = [
            self.model.register_forward_pre_hook(
                Hook(self._enters), prepend=True, with_kwargs=True
            ),
            self.model.register_forward_hook(Hook(self._leaves), always_call=True),
        ]
        self._watch.install()
        return self

    def backward(self, loss: Tensor, batch_idx: int | None = None, samples: Any = None) -> None:
        """Run `loss.backward()` and record each sample's gradient.

        Parameters
        ----------
        loss : Tensor
            The scalar loss of one batch that the model was called on.
        batch_idx : int, optional
            The batch's number in the epoch; shows where epochs begin.
        samples : array_like of int, shape (n,), optional
            Which row of the training data each sample of the batch is. Needed where the batch
            doesn't know, since it wasn't fetched from `tp.torch.dataset`, or was rearranged.

        Raises
        ------
        CaptureError
            The samples, or their weights in the loss, are unknown; a layer doesn't keep the
            samples apart; or a gradient isn't finite. Nothing is recorded of this batch.
        """
        data = self._open()
        if not is_scalar_loss(loss):
            raise CaptureError("backward needs a scalar loss computed by the model, with its graph")
        if [p.requires_grad for p in self._parameters.values()] != self._trainable:
            raise CaptureError(
                "parameters were frozen or unfrozen since the context was entered; begin a new "
                "context, with a store of its own, when that changes"
            )
        graph = read_loss(loss, self._latest)
        given = given_samples(samples)
        wanted = [self._parameters[block.name] for block in self._projector.blocks]
        is_checked = data.steps & (data.steps + 1) == 0  # steps 1, 2, 4, 8 …
        before = [_copy(p.grad) for p in wanted] if is_checked else []
        with self._recorder.recording() as calls:
            loss.backward()  # type: ignore[no-untyped-call]
        self._latest = None
        if not calls:
            raise CaptureError(
                "no captured layer took part in this loss; call the model that the context was "
                "made with, inside the with-block"
            )
        batch = samples_of({id(call.forward): call.forward for call in calls}.values(), given)
        if is_checked:
            check_sum(calls, len(batch.ids), _added(wanted, before))
        self._record(data, graph, calls, batch)
        data.epochs.saw(batch.ids, batch_idx)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        data = self._open()
        self._recorder.remove()
        self._watch.remove()
        while self._handles:
            self._handles.pop().remove()
        self._latest = None
        try:
            if kind is None:
                self._commit(data)
        finally:
            self.store.close()

    def _enters(self, model: nn.Module, args: Any, kwargs: Any) -> tuple[Any, Any]:
        args, kwargs, self._recorder.forward = at_the_door(args, kwargs)
        return args, kwargs

    def _leaves(self, model: nn.Module, args: Any, output: Any) -> None:
        self._recorder.forward = None
        if isinstance(output, Tensor) and output.grad_fn is not None:
            self._latest = ModelOutput(output.grad_fn, tuple(output.shape))

    def _record(
        self, data: RunData, graph: LossGraph, calls: list[Call], batch: BatchSamples
    ) -> None:
        n = len(batch.ids)
        sample_loss = resolve(graph, n, self._criterion)
        sketch = self._projector.sketch(n)
        project_calls(calls, sketch, n)
        rows = sketch.rows(sample_loss.factor)
        finite = np.isfinite(rows).all(1)
        if not finite.all():
            raise CaptureError(
                f"the gradient of sample {batch.ids[~finite][0]} isn't finite; look for a learning "
                f"rate that is too high, or a loss of log 0"
            )
        if data.steps == 0:
            _warn_of_mixing(self.model)
        forward = calls[0].forward
        inputs = forward.inputs if isinstance(forward, Forward) else None
        data.add(batch, rows, sample_loss, inputs)

    def _commit(self, data: RunData) -> None:
        if data.steps == 0:
            raise CaptureError(
                "nothing was recorded; call ctx.backward(loss) in place of loss.backward()"
            )
        owner = data.owner if isinstance(data.owner, SampleDataset) else None
        optimizer, penalty, origin = self._watch.found()
        inputs, targets = data.observed()
        record = TrainingRecord(
            inputs=inputs,
            targets=targets,
            loss=data.loss,
            penalty=penalty,
            penalty_origin=origin,
            optimizer=optimizer,
            initial_weights=self._initial_weights,
            final_weights=_weights(self.model),
            model_digest=model_digest(self.model),
            architecture=describe(self.model),
            epochs=data.epochs.epochs,
            batch_size=data.batch_size,
            input_columns=None if owner is None else owner.columns,
            seed=None,
            fixed_data=data.fixed_data,
        )
        gradients, ids = data.gradients.result()
        tracked = () if owner is None else tuple(t for t in (owner.X, owner.y) if t is not None)
        self.store.commit(gradients, ids, self._projector, record, tracked or None)

    def _open(self) -> RunData:
        if self._data is None:
            raise CaptureError("the context isn't open; write `with TrainingContext(...) as ctx:`")
        return self._data


def _warn_of_mixing(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training:
            warnings.warn(
                f"{name or 'the model'} ({type(module).__name__}) in training mode mixes the "
                f"samples of a batch: a sample's recorded gradient takes the batch's statistics as "
                f"given. GroupNorm and LayerNorm keep samples apart",
                CaptureWarning,
                stacklevel=4,
            )
            return


def _copy(gradient: Tensor | None) -> Tensor | None:
    return None if gradient is None else gradient.clone()


def _added(parameters: list[nn.Parameter], before: list[Tensor | None]) -> list[Tensor | None]:
    """Return what a backward pass added to each gradient; None where that isn't known."""
    added: list[Tensor | None] = []
    for parameter, old in zip(parameters, before, strict=True):
        new = parameter.grad
        if parameter._backward_hooks:  # such as clipping: not the loss's gradient any more
            new = None
        added.append(new if old is None or new is None else new - old)
    return added


def _weights(model: nn.Module) -> dict[str, NDArray[Any]]:
    weights = {}
    for name, value in model.state_dict().items():
        if value.dtype == torch.bfloat16:
            raise CaptureError(f"{name} is bfloat16, which NumPy can't store; train in float32")
        weights[name] = value.detach().cpu().numpy().copy()
    return weights
