"""Microsoft SEAL behind ``fhe_core.oracles.interface``, through TenSEAL's ``sealapi``.

SEAL takes the very primes of ``Parameters``, so that scales are the plan's. It knows one special
prime, digits of one limb, ring dimensions up to 32768, and no noise flooding: what it decrypts must
not be shared (docs/oracles.md).

It knows the standard ring only; ours of degree N is part of that of degree 2N. SEAL's slot k is the
value at zeta^(3^k), ours at zeta^(5^j). One of 5^j and -5^j is a power of 3 modulo the order of
zeta, so that a permutation, with some values conjugated, makes the polynomials the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fhe_core.oracles.interface import OracleError, Slots
from fhe_core.parameters import Parameters

#: Largest ring dimension that SEAL accepts.
MAX_RING_DIMENSION = 32768


def imported() -> Any:
    """The module; OracleError says plainly where it does not load."""
    try:
        import tenseal.sealapi as sealapi
    except ImportError as error:
        text = " ".join(str(error).split())
        raise OracleError(
            f"this Python cannot import tenseal ({text}); install the extra 'tenseal'"
        ) from None
    return sealapi


class SealLibrary:
    """A context with a new secret key, and the keys for what is asked for.

    Raises:
        OracleError: TenSEAL is missing, or the parameters are beyond SEAL's limits.
    """

    def __init__(
        self,
        parameters: Parameters,
        rotations: Iterable[int],
        *,
        multiplies: bool,
    ) -> None:
        self._seal = seal = imported()
        _require_limits(parameters)
        self.parameters = parameters
        self._context = _context(seal, parameters)
        generator = seal.KeyGenerator(self._context)
        secret = generator.secret_key()
        self._encoder = seal.CKKSEncoder(self._context)
        self._encryptor = seal.Encryptor(self._context, secret)
        self._decryptor = seal.Decryptor(self._context, secret)
        self._evaluator = seal.Evaluator(self._context)
        self._relin: Any = seal.RelinKeys()
        if multiplies:
            generator.create_relin_keys(self._relin)
        elements = [parameters.galois_element(amount) for amount in rotations]
        self._galois: Any = seal.GaloisKeys()
        if elements:
            generator.create_galois_keys(elements, self._galois)
        self._levels = _levels(self._context, parameters.limbs)
        self._place, self._conjugated = slot_order(parameters.root_order // 2)

    @property
    def slots(self) -> int:
        return self.parameters.slots

    @property
    def moduli(self) -> Sequence[int]:
        return self.parameters.moduli

    def encrypt(self, values: Slots, scale: float) -> Any:
        out = self._seal.Ciphertext()
        self._encryptor.encrypt_symmetric(self._plain(values, scale, self.parameters.limbs), out)
        return _plainly(out)

    def decrypt(self, a: Any, scale: float) -> NDArray[np.complex128]:
        plain = self._seal.Plaintext()
        self._decryptor.decrypt(a, plain)
        theirs = np.array(self._encoder.decode_complex(plain), dtype=np.complex128)
        values = theirs[self._place]
        values[self._conjugated] = np.conj(values[self._conjugated])
        return values / scale

    def limbs(self, a: Any) -> int:
        return int(a.coeff_modulus_size())

    def drop_to(self, a: Any, limbs: int) -> Any:
        if limbs == self.limbs(a):
            return a
        out = self._seal.Ciphertext()
        self._evaluator.mod_switch_to(a, self._levels[limbs], out)
        return out

    def add(self, a: Any, b: Any) -> Any:
        out = self._seal.Ciphertext()
        self._evaluator.add(a, b, out)
        return out

    def add_plain(self, a: Any, values: Slots, scale: float) -> Any:
        out = self._seal.Ciphertext()
        self._evaluator.add_plain(a, self._plain(values, scale, self.limbs(a)), out)
        return out

    def multiply_plain(self, a: Any, values: Slots, scale: float) -> Any:
        out = self._seal.Ciphertext()
        plain = self._plain(values, scale, self.limbs(a))
        if plain.is_zero():  # SEAL refuses the product: it would not be encrypted
            self._encryptor.encrypt_zero_symmetric(self._levels[self.limbs(a)], out)
            return _plainly(out)
        self._evaluator.multiply_plain(a, plain, out)
        return out

    def multiply(self, a: Any, b: Any) -> Any:
        out = self._seal.Ciphertext()
        self._evaluator.multiply(a, b, out)
        self._evaluator.relinearize_inplace(out, self._relin)
        return out

    def rescale(self, a: Any) -> Any:
        out = self._seal.Ciphertext()
        self._evaluator.rescale_to_next(a, out)
        return _plainly(out)

    def rotate(self, a: Any, amount: int) -> Any:
        out = self._seal.Ciphertext()
        element = self.parameters.galois_element(amount)
        self._evaluator.apply_galois(a, element, self._galois, out)
        return out

    def rotate_hoisted(self, a: Any, amounts: Sequence[int]) -> list[Any]:
        """One by one: SEAL does not hoist."""
        return [self.rotate(a, amount) for amount in amounts]

    def _plain(self, values: Slots, scale: float, limbs: int) -> Any:
        """A plaintext that says it has scale one, as all ciphertexts here do."""
        plain = self._seal.Plaintext()
        whole = np.tile(values, self.slots // values.size) * scale
        numbers = np.empty(self.slots, dtype=np.complex128)
        numbers[self._place] = np.where(self._conjugated, np.conj(whole), whole)
        self._encoder.encode(numbers.tolist(), self._levels[limbs], 1.0, plain)
        return plain


def slot_order(ring_dimension: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """For each of our slots, SEAL's with that value in its ring, and whether it is conjugated."""
    cycle, slots = 2 * ring_dimension, ring_dimension // 2
    theirs: dict[int, int] = {}
    power = 1
    for k in range(slots):
        theirs[power] = k
        power = power * 3 % cycle
    place, conjugated = np.empty(slots, dtype=np.int64), np.empty(slots, dtype=np.bool_)
    power = 1
    for j in range(slots):
        conjugated[j] = power not in theirs
        place[j] = theirs[cycle - power if conjugated[j] else power]
        power = power * 5 % cycle
    return place, conjugated


def _require_limits(parameters: Parameters) -> None:
    """OracleError where SEAL cannot do what the parameters say."""
    n, top = parameters.root_order // 2, parameters.tiers[parameters.levels[-1].tier]
    if n > MAX_RING_DIMENSION:
        raise OracleError(f"SEAL's ring dimension is at most {MAX_RING_DIMENSION}, not {n}")
    if len(parameters.specials) != 1 or top.digit_limbs != 1:
        raise OracleError("SEAL knows one special prime and digits of one limb only")


def _context(seal: Any, parameters: Parameters) -> Any:
    settings = seal.EncryptionParameters(seal.SCHEME_TYPE.CKKS)
    settings.set_poly_modulus_degree(parameters.root_order // 2)
    chain = (*parameters.moduli, *parameters.specials)
    settings.set_coeff_modulus([seal.Modulus(q) for q in chain])
    limit = parameters.log2_qp_bound
    secure = limit is not None and parameters.log2_qp <= limit
    level = seal.SEC_LEVEL_TYPE.TC128 if secure else seal.SEC_LEVEL_TYPE.NONE
    context = seal.SEALContext(settings, True, level)
    if not context.parameters_set():
        raise OracleError(f"SEAL refuses the parameters: {context.parameters_error_message()}")
    return context


def _levels(context: Any, limbs: int) -> dict[int, Any]:
    """SEAL's names of the levels, by number of limbs."""
    data, found = context.first_context_data(), {}
    for count in range(limbs, 0, -1):
        found[count] = data.parms_id()
        data = data.next_context_data()
    return found


def _plainly(a: Any) -> Any:
    a.scale = 1.0
    return a
