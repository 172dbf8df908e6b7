"""OpenFHE behind ``fhe_core.oracles.interface``; runs where its wheel can be imported.

FIXEDMANUAL scaling: OpenFHE neither rescales nor adjusts anything by itself. It would keep
approximate scales; they are reset after every operation, and the exact ones are the caller's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_core.oracles.chain import Chain
from fhe_core.oracles.interface import OracleError, Slots


def context_of(chain: Chain) -> Any:
    """A CKKS context with that chain.

    Raises:
        OracleError: the wheel cannot be imported, or OpenFHE's parameter generator refuses.
    """
    openfhe = imported()
    parameters = openfhe.CCParamsCKKSRNS()
    parameters.SetSecretKeyDist(openfhe.SecretKeyDist.UNIFORM_TERNARY)
    parameters.SetRingDim(chain.ring_dimension)
    parameters.SetMultiplicativeDepth(chain.limbs - 1)
    parameters.SetScalingModSize(chain.limb_bits)
    parameters.SetFirstModSize(chain.base_bits)
    parameters.SetNumLargeDigits(chain.digits)
    parameters.SetKeySwitchTechnique(openfhe.KeySwitchTechnique.HYBRID)
    parameters.SetScalingTechnique(openfhe.ScalingTechnique.FIXEDMANUAL)
    # Otherwise decoding drops imaginary parts and adds noise to the real ones.
    parameters.SetCKKSDataType(openfhe.CKKSDataType.COMPLEX)
    level = openfhe.SecurityLevel
    parameters.SetSecurityLevel(level.HEStd_128_classic if chain.secure else level.HEStd_NotSet)
    try:
        context = openfhe.GenCryptoContext(parameters)
    except RuntimeError as error:
        raise OracleError(f"OpenFHE refuses {chain}: {' '.join(str(error).split())}") from None
    features = openfhe.PKESchemeFeature
    for feature in (features.PKE, features.KEYSWITCH, features.LEVELEDSHE):
        context.Enable(feature)
    return context


def imported() -> Any:
    """The module; OracleError says plainly where it does not load."""
    try:
        import openfhe
    except ImportError as error:
        text = " ".join(str(error).split())
        raise OracleError(
            f"this Python cannot import openfhe ({text}); its wheels run on one Python version each"
        ) from None
    return openfhe


def moduli_of(context: Any, limbs: int) -> list[int]:
    """The primes of the chain, base prime first: quotients of the modulus level by level."""
    products = [
        int(context.MakeCKKSPackedPlaintext(np.ones(8), 1, level).GetElementModulus())
        for level in range(limbs)
    ]
    products.append(1)
    quotients = [larger // smaller for larger, smaller in pairwise(products)]
    return quotients[::-1]


class OpenFheLibrary:
    """A context with a new secret key, and the keys for what is asked for."""

    def __init__(self, chain: Chain, rotations: Iterable[int], *, multiplies: bool) -> None:
        self.chain = chain
        self._context = context_of(chain)
        self._moduli = moduli_of(self._context, chain.limbs)
        self._cycle = 2 * chain.ring_dimension
        self._unit = 2.0**chain.limb_bits
        self._secret = self._context.KeyGen().secretKey
        if multiplies:
            self._context.EvalMultKeyGen(self._secret)
        amounts = list(rotations)
        if amounts:
            self._context.EvalRotateKeyGen(self._secret, amounts)

    @property
    def slots(self) -> int:
        return self.chain.slots

    @property
    def moduli(self) -> Sequence[int]:
        return self._moduli

    def encrypt(self, values: Slots, scale: float) -> Any:
        return self._context.Encrypt(self._secret, self._plain(values, scale, 0))

    def decrypt(self, a: Any, scale: float) -> NDArray[np.complex128]:
        plain = self._context.Decrypt(self._plainly(a), self._secret)
        plain.SetLength(self.slots)
        values = np.array(plain.GetCKKSPackedValueArray(), dtype=np.complex128)
        return values * (self._unit / scale)

    def limbs(self, a: Any) -> int:
        return self.chain.limbs - int(a.GetLevel())

    def drop_to(self, a: Any, limbs: int) -> Any:
        count = self.limbs(a) - limbs
        return self._plainly(self._context.LevelReduce(a, None, count)) if count else a

    def add(self, a: Any, b: Any) -> Any:
        return self._plainly(self._context.EvalAdd(a, b))

    def add_plain(self, a: Any, values: Slots, scale: float) -> Any:
        return self._plainly(self._context.EvalAdd(a, self._plain(values, scale, a.GetLevel())))

    def multiply_plain(self, a: Any, values: Slots, scale: float) -> Any:
        return self._plainly(self._context.EvalMult(a, self._plain(values, scale, a.GetLevel())))

    def multiply(self, a: Any, b: Any) -> Any:
        return self._plainly(self._context.EvalMult(a, b))

    def rescale(self, a: Any) -> Any:
        a.SetNoiseScaleDeg(2)
        return self._plainly(self._context.Rescale(a))

    def rotate(self, a: Any, amount: int) -> Any:
        return self._plainly(self._context.EvalRotate(a, amount))

    def rotate_hoisted(self, a: Any, amounts: Sequence[int]) -> list[Any]:
        digits = self._context.EvalFastRotationPrecompute(a)
        rotated = (self._context.EvalFastRotation(a, r, self._cycle, digits) for r in amounts)
        return [self._plainly(one) for one in rotated]

    def _plain(self, values: Slots, scale: float, level: int) -> Any:
        """A plaintext at any scale: OpenFHE encodes at 2^limb_bits, the values make up for it."""
        scaled = np.ascontiguousarray(values * (scale / self._unit))
        return self._context.MakeCKKSPackedPlaintext(scaled, 1, level, None, scaled.size)

    def _plainly(self, a: Any) -> Any:
        """Scale and degree as of a fresh ciphertext, so that OpenFHE adjusts nothing."""
        a.SetScalingFactor(self._unit)
        a.SetNoiseScaleDeg(1)
        return a
