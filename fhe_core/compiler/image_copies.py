"""How an image lies in its ciphertexts: channels in copies, one for every output of the stem.

An output of the first convolution needs every channel of the image, at nine pixels. What lies in
its own slot it reads by rotations of pixels alone, which the blocks have keys for. Two channels
share a ciphertext and take turns, ``width`` outputs long: the one that is not in an output's own
slot is ``width`` channels further on, for all outputs, which is one rotation of a sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fhe_core.compiler.layouts import Layout, widen

Int = NDArray[np.int64]


@dataclass(frozen=True)
class ImageCopies:
    """Where the copies are.

    Attributes:
        layout: of the ciphertexts; its channels are copies, those of a ciphertext side by side.
        held: of each of them, the image's channel that it is a copy of.
        places: which of them an output of the stem reads for each channel, [outputs, channels].
    """

    layout: Layout
    held: Int
    places: Int

    @classmethod
    def make(cls, target: Layout, channels: int, width: int) -> ImageCopies:
        """For a stem that gives ``target`` from an image with so many channels.

        width: outputs that take turns; the rotation of sums is by as many channels.

        Raises:
            LayoutError: the outputs are spread across ciphertexts.
        """
        outputs = target.shape[1]
        share = 2 if outputs % (2 * width) == 0 else 1
        ciphertexts = -(-channels // share)
        layout = widen(target, outputs * ciphertexts)
        output = np.arange(outputs)
        turn = output // width % share
        held = np.concatenate(
            [np.minimum(share * ct + turn, channels - 1) for ct in range(ciphertexts)]
        )
        further = np.where(turn[:, None] == np.arange(channels) % share, 0, width)
        # A last channel that has a ciphertext to itself is in every slot.
        further[:, channels - 1] *= channels % share == 0
        places = (output[:, None] + further) % outputs + np.arange(channels) // share * outputs
        return cls(layout, held, places)

    def pack(self, patches: NDArray[np.float64]) -> NDArray[np.float64]:
        """Slots [ciphertexts, slots] of patches (lanes, channels, size, size); lanes that the
        layout has beyond them are zero."""
        copies = np.zeros(self.layout.shape)
        copies[: len(patches)] = patches[:, self.held]
        return self.layout.pack(copies)
