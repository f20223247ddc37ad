"""TrainingContext: records an ordinary training loop into a store.

Promises: the samples of a batch are those that the data say, or that the caller names, never a
guess; the loop trains exactly as without it; what is recorded is committed at the end of the
with-block, all of it, or nothing where an exception leaves the block; hooks are gone either way.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer

from traceprop.attribution.capture.apart import OneSample
from traceprop.attribution.capture.batch_mean import BatchGradients, project_mean
from traceprop.attribution.capture.batch_samples import (
    BatchSamples,
    Forward,
    at_the_door,
    given_samples,
    samples_of,
    tensors_in,
)
from traceprop.attribution.capture.checkpoint_weights import PassWeights
from traceprop.attribution.capture.checkpoints import Checkpoints, Epochs, check_epochs
from traceprop.attribution.capture.gradients import check_sum, project_calls
from traceprop.attribution.capture.loss_graph import (
    ModelOutput,
    SampleLoss,
    is_scalar_loss,
    read_loss,
    resolve,
)
from traceprop.attribution.capture.optimizer import OptimizerWatch
from traceprop.attribution.capture.recipe import describe_recipe
from traceprop.attribution.capture.recorder import (
    Call,
    Hook,
    Recorder,
    Variant,
    blocks_of,
    layers_of,
)
from traceprop.attribution.capture.run_data import RunData
from traceprop.attribution.capture.run_record import (
    mixing_layer,
    run_record,
    warn_of_mixing,
    weights_of,
)
from traceprop.attribution.projection import KINDS, Floats, Kind, Projector
from traceprop.curvature.losses import LossSpec
from traceprop.errors import CaptureError, StoreWarning
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
        Where the run goes. It must not hold one yet, unless it was opened with `append=True` or
        `overwrite=True`.
    optimizer : torch.optim.Optimizer, optional
        Whose `weight_decay` is the penalty, which must be the same at every step. By default the
        one that is seen stepping the model.
    criterion : LossSpec or torch loss object, optional
        What the loss is, where its graph doesn't show it. A constant that multiplies the loss after
        its reduction is then known to be no part of it (gradient accumulation, loss scaling).
    recipe : callable, optional
        Trains from given arrays and a seed, `recipe(inputs, targets, seed) -> model`; makes exact
        retraining possible. Kept as an attribute for the removal in the same process; the store
        keeps its name and the digest of its source, by which it is known when it is given again.
    variant : {"all-layers", "last-layer", "batch-mean"}
        What is kept of a sample: its gradient by all trainable parameters, or by those of the last
        module that has some, which is cheaper and predicts less; or the mean gradient of its batch,
        which takes any layer, costs least, and predicts least.
    epochs : {"sum", "last", "each"} or list of int
        What a sample's row is: the sum of its gradients over its visits, or that of its last
        visit; or a row for each pass over the data, or for those named, counted from 1. A row is
        in units of the loss per unit of weight.
    projection : {"identity", "factors", "sjlt", "achlioptas"}, optional
        How a gradient becomes a row; by default the gradient itself where it has at most `store.k`
        numbers, else `sjlt`. `factors` is exact and small, for models of linear layers on one
        vector a sample, and needs an `epochs` other than "sum".
    scaler : torch.amp.GradScaler, optional
        What scales the loss: its scale is then known, and a step that it skips isn't recorded.
    keep_weights : bool
        Whether the model's weights as each recorded pass begins go into the store, for
        `method="tracin"`: a copy of the model for each, held in memory until the run is committed.
        Needs `epochs="each"` or a list.

    Raises
    ------
    CaptureError
        `keep_weights` without checkpoints to keep them of. On entry: a layer has no rule for
        per-sample gradients, or `epochs="last"` is asked for by several processes.
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
        epochs: Epochs = "sum",
        projection: Kind | None = None,
        scaler: torch.amp.GradScaler | None = None,
        keep_weights: bool = False,
    ) -> None:
        if not (hasattr(model, "named_parameters") and hasattr(store, "prepare")):
            raise CaptureError(
                f"TrainingContext takes the model and then its store, and got a "
                f"{type(model).__name__} and a {type(store).__name__}; write "
                f"TrainingContext(model, GradientStore(path='./grad/'))"
            )
        self.model, self.store, self.recipe = model, store, recipe
        self._described = describe_recipe(recipe)
        self._criterion, self._scaler = criterion, scaler
        self._variant: Variant = variant
        self._epochs = check_epochs(epochs)
        self._projection = _check_projection(projection, self._epochs, variant)
        if keep_weights and self._epochs in ("sum", "last"):
            raise CaptureError(
                f"keep_weights=True keeps the weights of each checkpoint, and epochs="
                f"{self._epochs!r} has none; give epochs='each' or a list of passes"
            )
        self._weights = PassWeights(model, keep_weights)
        self._watch = OptimizerWatch(model, optimizer, self._weights.stepped)
        self._handles: list[torch.utils.hooks.RemovableHandle] = []
        self._data: RunData | None = None
        self._latest: ModelOutput | None = None  # what a loss is expected to be computed from
        self._reached: list[object] = []  # the runs of the model that a loss went through
        self._apart = OneSample()

    def __enter__(self) -> Self:
        if self._data is not None:
            raise CaptureError("a training context records once; make a new one with a new store")
        if self._epochs == "last" and self.store.world_size > 1:
            raise CaptureError(
                f"epochs='last' is for one process, and there are {self.store.world_size}: which "
                f"of two that saw a sample saw it last isn't known. Give the number of the last "
                f"pass, as in epochs=[10], or epochs='sum'"
            )
        begun = self.store.runs_from(self.model)
        if begun:
            warnings.warn(
                f"the store already has a run that began with these very weights ({begun[-1]}): if "
                f"this is that training made again after a crash, its rows will count twice; "
                f"train on without a context where store.runs_from(model) names a run",
                StoreWarning,
                stacklevel=2,
            )
        blocks = blocks_of(self.model, self._variant)
        self._parameters = dict(self.model.named_parameters())
        self._wanted = [self._parameters[block.name] for block in blocks]
        is_mean = self._variant == "batch-mean"
        self._mean = BatchGradients(self._wanted if is_mean else [])
        self._recorder = Recorder([] if is_mean else layers_of(self.model, blocks))
        self._projector = Projector(blocks, self.store.k, self.store.seed, kind=self._projection)
        self._trainable = [p.requires_grad for p in self._parameters.values()]
        self._initial_weights = weights_of(self.model)
        self._seed = torch.initial_seed()
        make = partial(self.store.row_sink, self._projector.width)
        self._data = RunData(Checkpoints(make, self._epochs, self._projector.is_linear))
        # Before the model's own hook, since a model may be one layer, and that hook ends its run.
        self._recorder.install()
        self._mean.install()
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
        is_checked = data.steps & (data.steps + 1) == 0  # steps 1, 2, 4, 8 …
        before = [_copy(p.grad) for p in self._wanted] if is_checked else []
        self._check_apart(loss)
        with self._recorder.recording() as calls, self._mean.recording() as means:
            self._reached.clear()
            loss.backward()  # type: ignore[no-untyped-call]
        self._latest = None
        if not calls and not means:
            raise CaptureError(
                "no captured layer took part in this loss; call the model that the context was "
                "made with, inside the with-block"
            )
        forwards = [call.forward for call in calls] or list(self._reached)
        batch = samples_of({id(forward): forward for forward in forwards}.values(), given)
        if is_checked and calls:
            check_sum(calls, len(batch.ids), _added(self._wanted, before))
        epoch = data.epochs.saw(batch.ids, batch_idx)
        self._weights.saw(epoch, data.checkpoints.wants(epoch))
        sample_loss = resolve(graph, len(batch.ids), self._criterion, self._scale())
        rows = None
        if data.checkpoints.wants(epoch):
            rows = self._rows(calls, means, sample_loss, len(batch.ids))
            if not self._are_finite(rows, batch):
                return
        if data.steps == 0:
            warn_of_mixing(self.model)
        forward = forwards[0]
        inputs = forward.inputs if isinstance(forward, Forward) else None
        data.add(batch, rows, epoch, sample_loss, inputs)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        data = self._open()
        self._recorder.remove()
        self._mean.remove()
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
        forward, self._recorder.forward = self._recorder.forward, None
        for tensor in tensors_in(output):
            if tensor.grad_fn is not None:
                self._apart.watch(tensor)
                tensor.register_hook(Hook(partial(self._reaches, forward)))  # type: ignore[no-untyped-call]
        if isinstance(output, Tensor) and output.grad_fn is not None:
            self._latest = ModelOutput(output.grad_fn, tuple(output.shape))

    def _reaches(self, forward: object, gradient: Tensor) -> None:
        """Note that a loss went through a run of the model."""
        self._reached.append(forward)

    def _check_apart(self, loss: Tensor) -> None:
        """Check, until it is known, that layers keep samples apart where their shapes don't say."""
        if not self._recorder.may_be_turned or self._latest is None:
            return
        if mixing_layer(self.model) is None:  # else no layer does, and a warning says so
            is_known = self._apart.check(loss, self._latest.shape[0], self._recorder, self._wanted)
            self._recorder.may_be_turned = not is_known

    def _scale(self) -> float:
        return 1.0 if self._scaler is None else float(self._scaler.get_scale())

    def _rows(
        self, calls: list[Call], means: dict[int, Tensor], loss: SampleLoss, n: int
    ) -> Floats:
        if self._variant == "batch-mean":
            mean = project_mean(means, self._projector, loss.factor / n)
            return np.repeat(mean, n, axis=0)
        sketch = self._projector.sketch(n)
        project_calls(calls, sketch, n)
        rows: Floats = sketch.rows(loss.factor)
        return rows

    def _are_finite(self, rows: Floats, batch: BatchSamples) -> bool:
        """Tell whether a batch is recorded: not one whose overflow makes the scaler skip a step."""
        finite = np.isfinite(rows).all(1)
        if self._scaler is not None:  # it looks at what was added up
            gradients = [p.grad for p in self._parameters.values() if p.grad is not None]
            return bool(finite.all()) and all(bool(g.isfinite().all()) for g in gradients)
        if not finite.all():
            raise CaptureError(
                f"the gradient of sample {batch.ids[~finite][0]} isn't finite; look for a learning "
                f"rate that is too high, or a loss of log 0"
            )
        return True

    def _commit(self, data: RunData) -> None:
        if data.steps == 0:
            raise CaptureError(
                "nothing was recorded; call ctx.backward(loss) in place of loss.backward()"
            )
        record = run_record(
            self.model, data, self._watch, self._initial_weights, self._seed, self._described
        )
        rows = data.checkpoints.rows(data.epochs.epochs)
        owner = data.owner if isinstance(data.owner, SampleDataset) else None
        tracked = () if owner is None else tuple(t for t in (owner.X, owner.y) if t is not None)
        kept = {"checkpoints": found} if (found := self._weights.checkpoints()) else {}
        self.store.commit_rows(rows, self._projector, record, tracked or None, **kept)

    def _open(self) -> RunData:
        if self._data is None:
            raise CaptureError("the context isn't open; write `with TrainingContext(...) as ctx:`")
        return self._data


def _check_projection(projection: Kind | None, epochs: Epochs, variant: Variant) -> Kind | None:
    if projection is not None and projection not in KINDS:
        raise CaptureError(f"projection={projection!r} isn't known; give one of {', '.join(KINDS)}")
    if projection == "factors" and (epochs == "sum" or variant == "batch-mean"):
        raise CaptureError(
            "projection='factors' keeps the two vectors whose product one visit's gradient is, and "
            "a sum over visits has none; give epochs='last' or 'each', or projection='sjlt'"
        )
    return projection


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
