"""Choices of the compiler: scales, where to rescale, how many pre-rotations per step."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Rescales:
    """Levels that every kind of step is rescaled by.

    Attributes:
        square1, conv1, square2, conv2: of a block.
        final_square, pool_mask, linear: of the head; ``embedding`` after the sum over patches.
        squared_norm: after the embedding is squared.
    """

    square1: int = 1
    conv1: int = 1
    square2: int = 1
    conv2: int = 1
    final_square: int = 1
    pool_mask: int = 1
    linear: int = 1
    embedding: int = 0
    squared_norm: int = 1


@dataclass(frozen=True)
class Switch:
    """How plans go on in the ring of half the degree: scales are log2, as in `Policy`.

    Attributes:
        block: behind whose first convolution they do.
        log_scale_before: of what the block before gives.
        log_switch_scale: of what is switched, which is twice its scale in the smaller ring: digits
            as large as the special primes add noise there.
        log_scale, log_middle_scale, log_mask_scale: in the smaller ring, whose noise is a bit less.
    """

    block: int
    log_scale_before: float
    log_switch_scale: float
    log_scale: float
    log_middle_scale: float
    log_mask_scale: float


@dataclass(frozen=True)
class Policy:
    """Scales are log2 of the exact scale wanted.

    Attributes:
        log_scale: of the activations that the stem and the blocks give.
        log_middle_scale: of those that a block's first convolution gives.
        log_last_scale: of those that the last block gives.
        log_mask_scale: of 0/1 masks; their rounding error is about sqrt(N/6) / scale.
        log_pool_mask_scale: of the mask behind the pool, or of what gathers a batch's features.
        log_input_scale: of the encrypted image.
        log_stem_mask_scale: of the masks that the image's pixels meet, in plans for single faces.
        log_result_scale: of the embedding that is the result, normalised or not.
        rescales: by how many levels each kind of step is rescaled.
        pre_rotations: channel distances that are covered by rotating inputs instead of sums
            (baby steps of the channel dimension), at most; a power of two.
        row_digits: convolutions at levels of so many digits or more rotate their inputs by rows
            beforehand: fewer keys, which are large there, for more key switches. None: none does.
        column_channels: convolutions with so many outputs or fewer have weights that may change
            along the rows of pixels: fewer products and masks, for weights that repeat later and
            round more.
        switch: where and how to go on in the ring of half the degree, if the parameters have one.
        health_level: level of the squared norm that travels with a result.
    """

    log_scale: float
    log_middle_scale: float
    log_last_scale: float
    log_mask_scale: float
    log_pool_mask_scale: float
    log_input_scale: float = 43.0
    log_stem_mask_scale: float = 19.0
    log_result_scale: float = 43.0
    rescales: Rescales = Rescales()
    pre_rotations: int = 4
    row_digits: int | None = None
    column_channels: int = 0
    switch: Switch | None = None
    health_level: int = 1

    def after_block(self, number: int, blocks: int) -> float:
        """log2 of the scale of what a block gives, of so many, without a switch of the ring."""
        return self.log_last_scale if number == blocks - 1 else self.log_scale


#: 43 bits per level, one rescale per multiplication. Masks and weights share one rescale; 19 bits
#: for the masks give the smallest error (docs/precision.md).
SAFE = Policy(
    log_scale=43.0,
    log_middle_scale=43.0,
    log_last_scale=43.0,
    log_mask_scale=19.0,
    log_pool_mask_scale=19.0,
)

#: As SAFE, for batches: masks repeat from image to image and weights after a few slots, so that
#: masks have smaller errors by 2.5 bits and weights almost none. 20.5 bits balance them.
BATCH = replace(SAFE, log_mask_scale=20.5, log_pool_mask_scale=20.5)

#: Two rescales for the four multiplications of a block, one for those of the head: scales are as
#: small as the network's tolerance of noise allows (docs/precision.md).
LEAN = Policy(
    log_scale=27.0,
    log_middle_scale=27.5,
    log_last_scale=26.25,
    log_mask_scale=16.75,
    log_pool_mask_scale=20.0,
    log_input_scale=26.0,
    log_stem_mask_scale=17.25,
    log_result_scale=31.0,
    rescales=Rescales(square1=0, square2=0, final_square=0, pool_mask=0, linear=0, embedding=1),
    pre_rotations=2,
    row_digits=3,
    column_channels=16,
    switch=Switch(1, 29.25, 32.0, 25.0, 25.0, 15.5),
)

#: As LEAN, for batches: masks and weights have smaller errors, which leaves bits for activations.
LEAN_BATCH = replace(
    LEAN,
    log_scale=27.75,
    log_middle_scale=28.0,
    log_last_scale=27.75,
    log_mask_scale=14.75,
    log_pool_mask_scale=17.0,
    row_digits=None,
    column_channels=0,
    switch=None,
)

#: As LEAN and LEAN_BATCH, for plans that end with the embedding itself, of length 10 to 55.
RAW = replace(LEAN, log_result_scale=26.0)
RAW_BATCH = replace(LEAN_BATCH, log_result_scale=26.0)
