"""Each sample's gradient of a convolution's weight.

Promise: no more than a few megabytes of what the kernel sees are formed at a time. With stride 1,
what the output saw at one row of the kernel is a view of the padded input, so that the gradients
there are matrix products without im2col.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

# How many numbers of gradients, or of patches, are formed at a time.
_FORMED_NUMBERS = 1 << 20

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
    image, gradient = (
        padded(layer, inputs),
        gradient if gradient.ndim == 4 else gradient[:, :, None],
    )
    is_dense = all(step == 1 for step in layer.stride)
    per_sample = layer.weight.numel() if is_dense else _patch_numbers(layer, gradient)
    step = max(1, _FORMED_NUMBERS // max(1, per_sample))
    compute = _shifted if is_dense else _unfolded
    for start in range(0, len(inputs), step):
        part = slice(start, start + step)
        yield part, compute(layer, image[part], gradient[part])


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


def _shifted(layer: Convolution, image: Tensor, gradient: Tensor) -> Tensor:
    """Return the gradients where the stride is 1, (m, *weight.shape)."""
    m, channels, height, width = image.shape
    kernel, dilation = _plane(layer.kernel_size), _plane(layer.dilation)
    # With zeros to the right, the gradient has rows as wide as the image's, and both are flat.
    left = functional.pad(gradient, (0, width - gradient.shape[3])).flatten(2)
    n_terms = left.shape[2] - (width - gradient.shape[3])  # up to the last number that isn't zero
    left = left.reshape(m * layer.groups, -1, left.shape[2])[:, :, :n_terms]
    flat = image.reshape(m * layer.groups, channels // layer.groups, height * width)
    # The image once for each column of the kernel, shifted: its rows need no copies of their own.
    n_seen = flat.shape[2] - (kernel[1] - 1) * dilation[1]
    shifts = [flat[:, :, x * dilation[1] :][:, :, :n_seen] for x in range(kernel[1])]
    seen = torch.stack(shifts, 1).flatten(1, 2) if len(shifts) > 1 else flat
    result = image.new_empty(len(left), left.shape[1], flat.shape[1], *kernel)
    for y in range(kernel[0]):
        right = seen[:, :, y * dilation[0] * width :][:, :, :n_terms]
        product = torch.bmm(left, right.mT).reshape(*left.shape[:2], kernel[1], -1)
        result[:, :, :, y] = product.mT
    return result.reshape(m, *layer.weight.shape)


def _unfolded(layer: Convolution, image: Tensor, gradient: Tensor) -> Tensor:
    """Return the gradients from what each output position sees, (m, *weight.shape)."""
    m = len(image)
    patches = functional.unfold(
        image, _plane(layer.kernel_size), _plane(layer.dilation), stride=_plane(layer.stride)
    )
    left = gradient.reshape(m * layer.groups, -1, patches.shape[2])
    right = patches.reshape(m * layer.groups, -1, patches.shape[2])
    return torch.bmm(left, right.mT).reshape(m, *layer.weight.shape)


def _patch_numbers(layer: Convolution, gradient: Tensor) -> int:
    inputs = layer.in_channels * layer.weight[0, 0].numel()
    return max(layer.weight.numel(), inputs * gradient.shape[2] * gradient.shape[3])


def _plane(sizes: tuple[int, ...]) -> tuple[int, int]:
    return (1, sizes[0]) if len(sizes) == 1 else (sizes[0], sizes[1])
