"""Built in day 24, Convolution: ``runner taught`` copies it from day24_convolution.ipynb."""

import numpy as np
import torch
import torch.nn.functional as F
from scipy import sparse
from torch import nn


def taps(n, kernel, stride=1, padding=0, dilation=1):
    """Positions read in a padded axis of n: (outputs, kernel)."""
    count = (n + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    if count < 1:
        raise ValueError(f"kernel {kernel}, dilation {dilation} is wider "
                         f"than {n} with padding {padding}")
    return (stride * torch.arange(count)[:, None]
            + dilation * torch.arange(kernel))


def im2col(x, kernel, **dials):
    """All patches of x (b, c, h, w): (b, out_h, out_w, c * kh * kw)."""
    rows, cols = (taps(n, k, **dials)
                  for n, k in zip(x.shape[2:], kernel, strict=True))
    x = F.pad(x, [dials.get("padding", 0)] * 4)
    patch = x[:, :, rows[:, None, :, None], cols[None, :, None, :]]
    return patch.permute(0, 2, 3, 1, 4, 5).flatten(3)


def conv_columns(x, w, **dials):
    """Convolution as one matrix product (im2col)."""
    patches = im2col(x, w.shape[2:], **dials)
    return (patches @ w.flatten(1).T).permute(0, 3, 1, 2)


def conv_matrix(w, shape, **dials):
    """The sparse matrix from x.flatten() to out.flatten(), one image."""
    numbers = torch.arange(1, shape.numel() + 1).view(1, *shape)
    at = im2col(numbers, w.shape[2:], **dials)[0].flatten(0, 1).numpy()
    inside = at > 0                          # padding was numbered 0
    place = np.nonzero(inside)[0]
    rows = [sparse.csr_array(
        (np.broadcast_to(one, at.shape)[inside], (place, at[inside] - 1)),
        shape=(len(at), shape.numel())) for one in w.flatten(1).numpy()]
    return sparse.vstack(rows)


def conv_loop(x, w, **dials):
    """The definition: one number at a time."""
    patches = im2col(x, w.shape[2:], **dials)
    b, high, wide, _ = patches.shape
    out = x.new_zeros(b, len(w), high, wide)
    for n, o, i, j in np.ndindex(out.shape):
        out[n, o, i, j] = (patches[n, i, j] * w[o].flatten()).sum()
    return out


def conv_fft(x, w, stride=1, padding=0, dilation=1):
    """Convolution as a product of spectra."""
    x = F.pad(x, [padding] * 4)
    h, v = (dilation * (k - 1) + 1 for k in w.shape[2:])
    wide = w.new_zeros(*w.shape[:2], h, v)
    wide[..., ::dilation, ::dilation] = w
    spectra = torch.einsum("bchw,ochw->bohw", torch.fft.rfft2(x),
                           torch.fft.rfft2(wide, s=x.shape[2:]).conj())
    out = torch.fft.irfft2(spectra, s=x.shape[2:])
    return out[..., :x.shape[2] - h + 1:stride, :x.shape[3] - v + 1:stride]


def field(layers):
    """Pixels one output can see, and pixels between neighbours.

    layers: (kernel, stride, dilation) from the input upwards.
    """
    seen, jump = 1, 1
    for kernel, stride, dilation in layers:
        seen += dilation * (kernel - 1) * jump
        jump *= stride
    return seen, jump


class Block(nn.Module):
    """Two 3 × 3 convolutions and a way around them."""

    def __init__(self, inside, outside, skip=True):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outside)
        self.norm2 = nn.BatchNorm2d(outside)
        self.skip = skip
        self.match = (nn.Conv2d(inside, outside, 1, bias=False)
                      if skip and inside != outside else nn.Identity())

    def forward(self, x):
        h = F.relu(self.norm1(self.conv1(x)))
        h = self.norm2(self.conv2(h))
        return F.relu(h + self.match(x) if self.skip else h)


class Halve(nn.Module):
    """Every second pixel, after a blur if asked."""

    def __init__(self, channels, blur):
        super().__init__()
        row = torch.tensor([1.0, 2, 1]) / 4 if blur else torch.eye(3)[1]
        self.register_buffer("kernel", torch.outer(row, row).repeat(
            channels, 1, 1, 1))

    def forward(self, x):
        return F.conv2d(x, self.kernel, stride=2, padding=1,
                        groups=x.shape[1])


class Average(nn.Module):
    """(batch, channels, h, w) -> (batch, channels)."""

    def forward(self, x):
        return x.mean((2, 3))


def resnet(width, blur=False):
    """Digits (batch, 1, 28, 28) to logits (batch, 10)."""
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width), nn.ReLU(), Halve(width, blur),
        Block(width, width), Halve(width, blur), Block(width, 2 * width),
        Average(), nn.Linear(2 * width, 10))


def wilson(right, n, z=1.96):
    """95 % interval of a share, right of n."""
    p, room = right / n, z * z / n
    middle = (p + room / 2) / (1 + room)
    half = z * (p * (1 - p) / n + room / (4 * n))**0.5 / (1 + room)
    return middle - half, middle + half


def grad_cam(net, layer, x, classes):
    """Heat (batch, h, w) of `layer`'s cells for `classes` (batch,)."""
    seen = {}

    def keep(module, given, maps):
        seen["maps"] = maps
        maps.register_hook(lambda grad: seen.update(grad=grad))

    handle = layer.register_forward_hook(keep)
    try:
        net(x).gather(1, classes[:, None]).sum().backward()
    finally:
        handle.remove()
        net.zero_grad()
    alpha = seen["grad"].mean((2, 3), keepdim=True)
    return F.relu((alpha * seen["maps"]).sum(1)).detach()
