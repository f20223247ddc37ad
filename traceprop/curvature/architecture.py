"""A model's structure as JSON, and the model built again from it, without pickle.

Promises: only module types of the list below are described and built, by their exact type; a
model with anything else (a class of the user's, parametrised or shared modules) is `None`, never a
guess. Building doesn't advance torch's random state.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from traceprop.errors import StoreError

if TYPE_CHECKING:
    from torch import nn

# Type -> the constructor's arguments, all readable as attributes of the same name. `bias` is read
# as "has one". Values are JSON scalars, or tuples of ints that come back from JSON as lists.
_ARGUMENTS: dict[str, tuple[str, ...]] = {
    "Linear": ("in_features", "out_features", "bias"),
    "Conv1d": (
        "in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups",
        "bias", "padding_mode",
    ),
    "Conv2d": (
        "in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups",
        "bias", "padding_mode",
    ),
    "LayerNorm": ("normalized_shape", "eps", "elementwise_affine", "bias"),
    "BatchNorm1d": ("num_features", "eps", "momentum", "affine", "track_running_stats"),
    "BatchNorm2d": ("num_features", "eps", "momentum", "affine", "track_running_stats"),
    "MaxPool2d": ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    "AvgPool2d": ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"),
    "AdaptiveAvgPool2d": ("output_size",),
    "Dropout": ("p",),
    "Flatten": ("start_dim", "end_dim"),
    "Identity": (),
    "ReLU": (),
    "GELU": ("approximate",),
    "SiLU": (),
    "ELU": ("alpha",),
    "LeakyReLU": ("negative_slope",),
    "Softplus": ("beta", "threshold"),
    "Sigmoid": (),
    "Tanh": (),
}  # fmt: skip


def describe(model: nn.Module) -> dict[str, Any] | None:
    """Describe a model's structure, without its weights.

    Parameters
    ----------
    model : torch.nn.Module
        The model.

    Returns
    -------
    dict or None
        A JSON object that `build` turns into a model of the same structure, dtype and state-dict
        names; None if some part isn't one of the known types, is used twice, or shares a
        parameter.

    Examples
    --------
    >>> describe(torch.nn.Linear(3, 1))["arguments"]
    {'in_features': 3, 'out_features': 1, 'bias': True}
    """
    modules = [child for _, child in model.named_modules(remove_duplicate=False)]
    parameters = [p for _, p in model.named_parameters(remove_duplicate=False)]
    dtypes = {str(p.dtype).removeprefix("torch.") for p in parameters}
    if len({id(m) for m in modules}) < len(modules) or len(dtypes) > 1:
        return None
    if len({id(p) for p in parameters}) < len(parameters):
        return None
    described = _describe(model)
    if described is not None:
        described["dtype"] = dtypes.pop() if dtypes else "float32"
    return described


def build(description: Mapping[str, Any]) -> nn.Module:
    """Build the model that `describe` described.

    Parameters
    ----------
    description : mapping
        What `describe` returned, also after a trip through JSON.

    Returns
    -------
    torch.nn.Module
        The model with fresh random weights, in evaluation mode.

    Raises
    ------
    StoreError
        The description names an unknown type or argument.
    """
    import torch

    dtype = getattr(torch, str(description.get("dtype")), None)
    if not isinstance(dtype, torch.dtype):
        raise StoreError(
            f"a model description names the dtype {description.get('dtype')!r}, which torch lacks"
        )
    with torch.random.fork_rng(devices=[]):
        return _build(description).to(dtype).eval()


def _describe(module: nn.Module) -> dict[str, Any] | None:
    import torch

    if type(module) is torch.nn.Sequential:
        parts = {name: _describe(child) for name, child in module.named_children()}
        if any(part is None for part in parts.values()):
            return None
        return {"type": "Sequential", "modules": [[name, part] for name, part in parts.items()]}
    name = type(module).__name__
    if name not in _ARGUMENTS or type(module) is not getattr(torch.nn, name):
        return None
    arguments = {key: _argument(module, key) for key in _ARGUMENTS[name]}
    return {"type": name, "arguments": arguments}


def _argument(module: nn.Module, key: str) -> Any:
    value = getattr(module, key)
    if key == "bias":
        return value is not None
    return list(value) if isinstance(value, tuple) else value


def _build(description: Mapping[str, Any]) -> nn.Module:
    import torch

    name = description.get("type")
    if name == "Sequential":
        model = torch.nn.Sequential()
        for key, part in description["modules"]:
            model.add_module(key, _build(part))
        return model
    if name not in _ARGUMENTS:
        raise StoreError(
            f"a model description names the module type {name!r}, which isn't one of "
            f"{sorted(_ARGUMENTS)}"
        )
    given = description.get("arguments", {})
    if set(given) != set(_ARGUMENTS[name]):
        raise StoreError(
            f"a model description gives {name} the arguments {sorted(given)} instead of "
            f"{list(_ARGUMENTS[name])}"
        )
    arguments = {
        key: tuple(value) if isinstance(value, list) else value for key, value in given.items()
    }
    built: nn.Module = getattr(torch.nn, name)(**arguments)
    return built
