"""Random changes of pictures that leave the person the same, on whole batches in torch.

Everything is drawn from one generator on the processor, so that the same seed gives the same
pictures on any device up to rounding. Pictures are float (B, 3, S, S) in [-1, 1].
"""

from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Generator, Tensor
from torch.nn import functional

CROP: Final = 64
_GREY: Final = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Strength:
    """How far pictures are changed; probabilities are per picture.

    degrees, zoom, shift: of the alignment (shift in pixels of the crop); warp: pixels of a smooth
    distortion; the rest are probabilities.
    """

    degrees: float = 8.0
    zoom: float = 0.08
    shift: float = 2.5
    warp: float = 1.2
    mirror: float = 0.5
    grey: float = 0.35
    blur: float = 0.3
    sharpen: float = 0.3
    noise: float = 0.4
    blocks: float = 0.3
    shade: float = 0.5
    occlude: float = 0.25
    border: float = 0.1

    def weaker(self, share: float) -> "Strength":
        """The same with the probabilities of what destroys a picture times `share`."""
        names = ("grey", "blur", "sharpen", "noise", "blocks", "shade", "occlude", "border")
        return replace(self, **{name: getattr(self, name) * share for name in names})


#: Real photos vary by themselves: weaker changes than for generated faces.
LABELLED: Final = Strength(
    grey=0.15, blur=0.15, sharpen=0.1, noise=0.2, blocks=0.15, occlude=0.15, warp=0.6
)


class Draw:
    """Random numbers of one batch."""

    def __init__(self, seed: int, count: int, device: torch.device) -> None:
        """`count`: pictures in the batch."""
        self._random = Generator().manual_seed(seed)
        self.count, self.device = count, device

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """(count, *shape) in [low, high); (count, 1, 1, 1) without a shape."""
        numbers = torch.rand(self.count, *(shape or (1, 1, 1)), generator=self._random)
        return (low + (high - low) * numbers).to(self.device)

    def normal(self, *shape: int) -> Tensor:
        """(count, *shape), standard normal."""
        return torch.randn(self.count, *shape, generator=self._random).to(self.device)

    def chosen(self, probability: float) -> Tensor:
        """(count, 1, 1, 1) of true and false."""
        return self.uniform(0, 1) < probability


def augment(canvas: Tensor, seed: int, strength: Strength | None = None) -> Tensor:
    """Crops (B, 3, 64, 64) of pictures (B, 3, S, S), S >= 64, the crop in their middle."""
    s = strength or Strength()
    draw = Draw(seed, len(canvas), canvas.device)
    x = _moved(canvas, draw, s)
    x = _light(x, draw, s)
    x = _optics(x, draw, s)
    x = _covered(x, draw, s)
    return x.clamp(-1, 1)


def pictures(pixels: Tensor) -> Tensor:
    """uint8 RGB (B, S, S, 3) as float (B, 3, S, S) in [-1, 1], as networks take it."""
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


def centre(canvas: Tensor) -> Tensor:
    """The middle (B, 3, 64, 64), unchanged."""
    edge = (canvas.shape[-1] - CROP) // 2
    return canvas[..., edge : edge + CROP, edge : edge + CROP]


def _moved(canvas: Tensor, draw: Draw, s: Strength) -> Tensor:
    """Another alignment, mirror image, smooth distortion; outside the picture its border."""
    ratio = CROP / canvas.shape[-1]
    angle = draw.uniform(-s.degrees, s.degrees) * (torch.pi / 180)
    stretch = 1 + draw.uniform(-s.zoom, s.zoom, 2, 1, 1) * 0.5 + draw.uniform(-s.zoom, s.zoom)
    mirror = 1 - 2 * draw.chosen(s.mirror).float()
    turn = torch.cat([torch.cos(angle), -torch.sin(angle), torch.sin(angle), torch.cos(angle)], 1)
    matrix = turn.view(-1, 2, 2) * stretch.view(-1, 1, 2) * ratio
    matrix = torch.cat([matrix[:, :, :1] * mirror.view(-1, 1, 1), matrix[:, :, 1:]], 2)
    shift = draw.uniform(-s.shift, s.shift, 2, 1) * (2 / canvas.shape[-1])
    shape = [len(canvas), 3, CROP, CROP]
    grid = functional.affine_grid(torch.cat([matrix, shift], 2), shape, align_corners=False)
    rough = draw.normal(2, 5, 5) * (s.warp * 2 / canvas.shape[-1]) * draw.uniform(0, 1)
    warp = functional.interpolate(rough, (CROP, CROP), mode="bicubic", align_corners=True)
    grid = grid + warp.permute(0, 2, 3, 1)
    return functional.grid_sample(canvas, grid, padding_mode="border", align_corners=False)


def _light(x: Tensor, draw: Draw, s: Strength) -> Tensor:
    """Grey, colour cast, gamma, contrast, brightness, light from one side."""
    grey = (x * x.new_tensor(_GREY).view(1, 3, 1, 1)).sum(1, keepdim=True).expand_as(x)
    x = torch.where(draw.chosen(s.grey), grey, x + (x - grey) * draw.uniform(-0.6, 0.5))
    unit = (x.clamp(-1, 1) + 1) / 2
    unit = unit.clamp(1e-3, 1) ** torch.exp(draw.uniform(-0.4, 0.4))
    unit = unit * (1 + draw.uniform(-0.12, 0.12, 3, 1, 1))
    line = torch.linspace(-1, 1, CROP, device=x.device)
    across, down = line.view(1, 1, 1, -1), line.view(1, 1, -1, 1)
    slope = across * draw.uniform(-0.5, 0.5) + down * draw.uniform(-0.35, 0.35)
    unit = torch.where(draw.chosen(s.shade), unit * (1 + slope), unit)
    middle = unit.mean((1, 2, 3), keepdim=True)
    unit = (unit - middle) * torch.exp(draw.uniform(-0.5, 0.4)) + middle
    return (unit + draw.uniform(-0.12, 0.15)) * 2 - 1


def _optics(x: Tensor, draw: Draw, s: Strength) -> Tensor:
    """Blur, sharpening, low resolution, block compression, noise."""
    soft = _blurred(x)
    softer = _blurred(_blurred(soft))
    share = draw.uniform(0, 1)
    x = torch.where(draw.chosen(s.blur), x + (softer - x) * share, x)
    x = torch.where(draw.chosen(s.sharpen), x + (x - soft) * draw.uniform(0.2, 2.0), x)
    x = torch.where(draw.chosen(s.blocks), _block_coded(x, draw.uniform(0.02, 0.25)), x)
    grain = draw.normal(3, CROP, CROP)
    grain = torch.where(draw.chosen(0.5), grain, grain.mean(1, keepdim=True) * 1.7)
    level = draw.uniform(0, 1) ** 2 * 0.15 * draw.chosen(s.noise)
    return x + grain * level


def _covered(x: Tensor, draw: Draw, s: Strength) -> Tensor:
    """A rectangle of one colour or of noise; a black or white bar along one edge."""
    place = torch.arange(CROP, device=x.device)
    across, down = place.view(1, 1, 1, -1), place.view(1, 1, -1, 1)
    left, top = draw.uniform(-10, 54), draw.uniform(-10, 54)
    wide, high = draw.uniform(6, 30), draw.uniform(6, 30)
    inside = (across >= left) & (across < left + wide) & (down >= top) & (down < top + high)
    colour = draw.uniform(-1, 1, 3, 1, 1).expand_as(x)
    noise = draw.uniform(-1, 1, 3, CROP, CROP)
    filling = torch.where(draw.chosen(0.25), noise, colour)
    x = torch.where(inside & draw.chosen(s.occlude), filling, x)
    depth = draw.uniform(2, 16)
    edge = draw.uniform(0, 4).long()
    bar = torch.where(edge % 2 == 0, across, down).float()
    bar = torch.where(edge < 2, bar, CROP - 1 - bar)
    tone = torch.where(draw.chosen(0.8), -1.0, 1.0)
    return torch.where((bar < depth) & draw.chosen(s.border), tone.expand_as(x), x)


def _blurred(x: Tensor) -> Tensor:
    """By the binomial kernel 1 2 1, border repeated."""
    kernel = x.new_tensor([0.25, 0.5, 0.25])
    weight = (kernel[:, None] * kernel).expand(3, 1, 3, 3)
    padded = functional.pad(x, (1, 1, 1, 1), mode="replicate")
    return functional.conv2d(padded, weight, groups=3)


def _block_coded(x: Tensor, step: Tensor) -> Tensor:
    """8x8 cosine transform, coarser for finer detail, as JPEG does."""
    k = torch.arange(8, dtype=x.dtype, device=x.device)
    basis = torch.cos((2 * k[None] + 1) * k[:, None] * torch.pi / 16) * 0.5
    basis[0] /= 2**0.5
    tiles = x.unfold(2, 8, 8).unfold(3, 8, 8)
    steps = step[..., None, None] * (1 + (k[:, None] + k[None]) * 0.5)
    coded = torch.round(basis @ tiles @ basis.T / steps) * steps
    plain = basis.T @ coded @ basis
    return plain.permute(0, 1, 2, 4, 3, 5).reshape(x.shape)
