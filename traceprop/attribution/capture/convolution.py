"""Each sample's gradient of a convolution's weight.

The samples of a batch are told apart as groups: the batch is one image whose channels are all
samples' channels, and the gradient of a convolution in groups keeps them apart, by torch's own
kernel. Where an image has few channels, or the kernel is a point, a product with the windows that
the kernel saw takes half of that time. Promise: no more than a few megabytes of gradients, or of
windows, are formed at a time.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

# How many numbers of gradients, or of windows, are formed at a time.
_FORMED_NUMBERS = 1 << 20
# Up to 4 channels windows took 0.35 to 0.8 of the time of groups, from 8 more (kernels of 3 to 7).
_FEW_CHANNELS = 4

Convolution = nn.Conv1d | nn.Conv2d


def weight_gradients(
    layer: Convolution, inputs: Tensor, gradient: Tensor
) -> Iterator[tuple[slice, Tensor]]:
    """Yield the gradients of the weight, some samples at a time.

    Parameters
    ----------
    layer : Conv1d or Conv2d
        The layer.
    inputs : Tensor, shape (n, C, ...)
        Its input.
    gradient : Tensor, shape (n, O, ...)
        The gradient of its output.

    Yields
    ------
    part : slice
        Which samples.
    gradients : Tensor, shape (m, O, C / groups, ...)
        Theirs.
    """
    image = padded(layer, inputs)
    gradient = gradient if gradient.ndim == 4 else gradient.unsqueeze(2)
    form, formed = _in_groups, layer.weight.numel()
    if layer.groups == 1 and (image.shape[1] <= _FEW_CHANNELS or math.prod(layer.kernel_size) == 1):
        form, formed = _of_windows, max(formed, layer.weight[0].numel() * gradient[0, 0].numel())
    step = max(1, _FORMED_NUMBERS // formed)
    for start in range(0, len(inputs), step):
        part = slice(start, start + step)
        yield part, form(layer, image[part], gradient[part])


def padded(layer: Convolution, inputs: Tensor) -> Tensor:
    """Return a layer's input as the kernel runs over it, (n, C, H, W); a Conv1d has height 1."""
    padding = []
    for i in reversed(range(len(layer.kernel_size))):
        if layer.padding == "same":
            both = layer.dilation[i] * (layer.kernel_size[i] - 1)
            padding += [both // 2, both - both // 2]
        else:
            padding += [0, 0] if layer.padding == "valid" else [int(layer.padding[i])] * 2
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    image = functional.pad(inputs, padding, mode) if any(padding) else inputs
    return image.unsqueeze(2) if image.ndim == 3 else image


def _in_groups(layer: Convolution, image: Tensor, gradient: Tensor) -> Tensor:
    """Return the gradients of some samples, (m, *weight.shape)."""
    m, shape = len(image), layer.weight.shape
    kernel = _plane(layer.kernel_size)
    weight = image.new_empty(m * shape[0], shape[1], *kernel)
    _, result, _ = torch.ops.aten.convolution_backward(
        gradient.flatten(0, 1).unsqueeze(0), image.flatten(0, 1).unsqueeze(0), weight, None,
        _plane(layer.stride), [0, 0], _plane(layer.dilation), False, [0, 0], m * layer.groups,
        [False, True, False],
    )  # fmt: skip
    gradients: Tensor = result
    return gradients.reshape(m, *shape)


def _of_windows(layer: Convolution, image: Tensor, gradient: Tensor) -> Tensor:
    """Return the gradients of some samples, (m, *weight.shape), where there is one group."""
    m, kernel, places = len(image), _plane(layer.kernel_size), gradient.shape[2:]
    sample, channel, *along = image.stride()
    dilation, stride = (
        [size * step for size, step in zip(sizes, along, strict=True)]
        for sizes in (_plane(layer.dilation), _plane(layer.stride))
    )
    windows = image.as_strided(
        (m, image.shape[1], *kernel, *places), (sample, channel, *dilation, *stride)
    )
    flat = windows.reshape(m, -1, places.numel())
    return torch.bmm(gradient.flatten(2), flat.mT).reshape(m, *layer.weight.shape)


def _plane(sizes: tuple[int, ...]) -> tuple[int, int]:
    return (1, sizes[0]) if len(sizes) == 1 else (sizes[0], sizes[1])
