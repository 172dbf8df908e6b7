"""What a foreign CKKS library must offer so that a plan can be run with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from numpy.typing import NDArray

from fhe_core.errors import Failure

#: Real; a vector shorter than the slots of a ciphertext is repeated.
Slots = NDArray[Any]


class OracleError(Failure, RuntimeError):
    """A foreign library cannot be used, or cannot do what was asked; one line says why."""

    code = "oracle"


class Library(Protocol):
    """Operations on ciphertexts of the library's own. Handles are opaque.

    Only limbs and residues live in a handle: scales are the caller's, exact, and the library must
    neither use nor change one. ``scale`` is always that of the plaintext to encode.
    """

    @property
    def slots(self) -> int:
        """Complex numbers in a ciphertext."""

    @property
    def moduli(self) -> Sequence[int]:
        """The chain, base prime first."""

    def encrypt(self, values: Slots, scale: float) -> Any:
        """A fresh ciphertext with all limbs, made with the secret key."""

    def decrypt(self, a: Any, scale: float) -> Slots:
        """All slots, without noise on top. Of what is real, imaginary parts are noise."""

    def limbs(self, a: Any) -> int: ...

    def drop_to(self, a: Any, limbs: int) -> Any: ...

    def add(self, a: Any, b: Any) -> Any: ...

    def add_plain(self, a: Any, values: Slots, scale: float) -> Any: ...

    def multiply_plain(self, a: Any, values: Slots, scale: float) -> Any: ...

    def multiply(self, a: Any, b: Any) -> Any:
        """Relinearised, not rescaled."""

    def rescale(self, a: Any) -> Any:
        """Divided by the last prime."""

    def rotate(self, a: Any, amount: int) -> Any:
        """Slot j of the result holds slot j + amount."""

    def rotate_hoisted(self, a: Any, amounts: Sequence[int]) -> list[Any]:
        """The same for several amounts, with one decomposition where the library can."""
