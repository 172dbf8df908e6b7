"""The client's secret key: sampling, encryption, decryption, and making evaluation keys.

Nothing here indexes on secret values or branches in a way that depends on them (docs/security.md
says how far that goes); signed residues are formed with masks. The server side never imports this
module (a test holds it).
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from fhe_core import _native, encoding
from fhe_core.ciphertext import Ciphertext, Words
from fhe_core.keys.evaluation import device_specification
from fhe_core.keys.expand import FRESH_DOMAIN, SEED_BYTES, uniform_row
from fhe_core.parameters import Parameters, Ring
from fhe_core.plan import KeySpecification
from fhe_core.secret import sampling

#: More would only matter for values above 2^95.
_MOST_LIMBS = 3


def decrypted_rows(ciphertext: Ciphertext, parameters: Parameters) -> tuple[int, ...]:
    """The limbs that decryption looks at: their product is the room of a value and its scale."""
    return parameters.levels[ciphertext.level].rows[:_MOST_LIMBS]


class SecretKey:
    """A uniform ternary secret. ``repr`` and exceptions never show it."""

    def __init__(self, parameters: Parameters, ternary: NDArray[np.int8], threads: int = 1) -> None:
        """Wrap coefficients [N] in {-1, 0, 1}; use :meth:`generate` to make a new one.

        Raises:
            ValueError: shape or values are wrong.
        """
        if ternary.shape != (parameters.ring_dimension,) or np.any((ternary < -1) | (ternary > 1)):
            raise ValueError("not a ternary secret of this ring dimension")
        self.parameters = parameters
        self._ternary = ternary.astype(np.int8)
        primes = parameters.primes
        self._context = _native.Context(
            parameters.ring_dimension, primes, threads, secret=True, ring=parameters.ring.value
        )
        self._rows = self._context.embed_signed(
            self._ternary.astype(np.int64), list(range(len(primes)))
        )
        self._threads = threads

    @classmethod
    def generate(cls, parameters: Parameters, threads: int = 1) -> SecretKey:
        """A new key from the operating system's randomness."""
        return cls(parameters, sampling.ternary(parameters.ring_dimension).astype(np.int8), threads)

    @cached_property
    def _half(self) -> SecretKey | None:
        """The key of the ring of half the degree, if there is one: from the moment that it is asked
        for, as who only encrypts and decrypts never does."""
        half = self.parameters.half
        return None if half is None else SecretKey(half, self._derived(half), self._threads)

    def _derived(self, half: Parameters) -> NDArray[np.int8]:
        """The secret of the ring of half the degree, uniform; the same whenever it is asked, so
        that a key file holds one secret. It tells nothing of this one, nor of what else is derived.
        """
        drawn = np.empty(half.ring_dimension, dtype=np.uint64)
        uniform_row(self.derive("secret of the ring of half the degree"), 0, 0, 0, 3, drawn)
        return (drawn.astype(np.int64) - 1).astype(np.int8)

    def at(self, level: int) -> SecretKey:
        """The key of that level's ring, for measurements: what a plan computes in the ring of half
        the degree. Nobody else may decrypt there: an answer that leaves its owner can be worth a
        coefficient of the secret, of which that ring has half as many (docs/security.md).
        """
        return self._half if self.parameters.in_half(level) and self._half is not None else self

    def __repr__(self) -> str:
        return f"SecretKey(parameters={self.parameters.name!r}, key_id={self.key_id[:8]})"

    @property
    def key_id(self) -> str:
        """Public identifier: a hash of the secret (uniform, so nothing can be searched)."""
        digest = hashlib.sha256(b"fhe-face key id" + self._ternary.tobytes())
        return digest.hexdigest()[:32]

    def derive(self, purpose: str) -> bytes:
        """32 secret bytes for one purpose, by HKDF-SHA256 (RFC 5869); equal purposes, equal bytes.

        They tell nothing of the secret, nor of what other purposes give.
        """
        info = b"fhe-face derived key: " + purpose.encode()
        return HKDF(SHA256(), length=32, salt=None, info=info).derive(self._ternary.tobytes())

    def secret_coefficients(self) -> NDArray[np.int8]:
        """The secret itself, for the key file only."""
        return self._ternary

    def encrypt(self, slots: NDArray[np.float64], scale: float) -> tuple[Ciphertext, bytes]:
        """Encrypt slots [N] at the top level; returns the ciphertext and the seed of its c1.

        Raises:
            encoding.EncodingError: a value is not finite or too large.
            ValueError: the key is of the standard ring, whose messages are polynomials.
        """
        self._require_slots()
        message = encoding.encode(slots, self.parameters.ring_dimension, scale)
        noisy = message + self._error()
        seed = os.urandom(SEED_BYTES)
        residues = self._encrypt_noisy(noisy, seed, FRESH_DOMAIN)
        return Ciphertext(residues, scale, self.parameters.top), seed

    def encrypt_polynomial(self, message: NDArray[np.int64], seed: bytes, domain: int) -> Words:
        """Residues [2, limbs, N] of a message of signed coefficients [N], in NTT form.

        seed, domain: c1 is expanded from them. No two ciphertexts may share both.
        """
        return self._encrypt_noisy(message + self._error(), seed, domain)

    def _error(self) -> NDArray[np.int64]:
        """A fresh error [N]. In the real ring the first coefficient has twice the variance: the
        others count as X^i + X^-i, so that no direction has less error than another
        (docs/security.md).
        """
        error = sampling.error(self.parameters.ring_dimension)
        if self.parameters.ring is Ring.REAL:
            error[:1] += sampling.error(1)
        return error

    def _encrypt_noisy(self, noisy: NDArray[np.int64], seed: bytes, domain: int) -> Words:
        """As `encrypt_polynomial`, of a message that has its error already."""
        rows = list(self.parameters.levels[-1].rows)
        residues = np.empty((2, len(rows), self.parameters.ring_dimension), dtype=np.uint64)
        for i, row in enumerate(rows):
            uniform_row(seed, domain, 0, row, self.parameters.primes[row], residues[1, i])
        product = self._context.multiply(residues[1], self._rows[rows], rows)
        residues[0] = self._context.subtract(self._context.embed_signed(noisy, rows), product, rows)
        return residues

    def decrypt(self, ciphertext: Ciphertext) -> NDArray[np.float64]:
        """Slots [N].

        The values carry noise that depends on the key: do not share them
        (docs/security.md; fhe_face.client.sharing says what may leave).

        Raises:
            ValueError: the key is of the standard ring, whose messages are polynomials; or the
                ciphertext is in the ring of half the degree, where no result ends: see `at`.
        """
        self._require_slots()
        if self.parameters.in_half(ciphertext.level):
            raise ValueError("no result is in the ring of half the degree")
        rows = decrypted_rows(ciphertext, self.parameters)
        message = self.decrypt_polynomial(ciphertext.residues[:, : len(rows)], rows)
        return encoding.decode(message, ciphertext.scale)

    def _require_slots(self) -> None:
        if self.parameters.ring is not Ring.REAL:
            raise ValueError(
                "a key of the standard ring has no slots; its messages are polynomials"
            )

    def decrypt_polynomial(self, residues: Words, rows: Sequence[int]) -> NDArray[np.float64]:
        """c0 + c1 s of residues [2, rows, N] in NTT form: signed coefficients [N]."""
        c0, c1 = (np.ascontiguousarray(half) for half in residues)
        product = self._context.multiply(c1, self._rows[list(rows)], rows)
        phase = self._context.add(c0, product, rows)
        return self._signed(self._context.ntt_inverse(phase, rows), rows)

    def times_secret(self, polynomial: NDArray[np.int64]) -> NDArray[np.int64]:
        """The product of signed coefficients [N] and the secret, in the ring, with integers.

        Raises:
            ValueError: the coefficients are so large that the product might not fit the first limb.
        """
        largest = int(np.max(np.abs(polynomial)))
        if largest * self.parameters.root_order >= self.parameters.moduli[0]:
            raise ValueError("a product with the secret would not fit the first limb")
        product = self._context.multiply(
            self._context.embed_signed(polynomial, [0]), self._rows[:1], [0]
        )
        return self._signed(self._context.ntt_inverse(product, [0]), [0]).astype(np.int64)

    def _signed(self, residues: Words, rows: Sequence[int]) -> NDArray[np.float64]:
        """Centred values of residues [rows, N] as floats, by mixed radix (Garner)."""
        moduli = [self.parameters.primes[row] for row in rows]
        digits: list[Words] = []
        for i in range(residues.shape[0]):
            digit = residues[i : i + 1]
            for j in range(i):
                q, row = moduli[i], [rows[i]]
                lower = self._context.multiply_scalars(digits[j], [1], row)  # reduce modulo q_i
                difference = self._context.subtract(digit, lower, row)
                digit = self._context.multiply_scalars(difference, [pow(moduli[j], -1, q)], row)
            digits.append(digit)
        top = moduli[len(digits) - 1]
        signed = digits[-1][0].astype(np.int64)
        signed -= (np.int64(top // 2) - signed) >> np.int64(63) & np.int64(top)
        value: NDArray[np.float64] = signed.astype(np.float64)
        for i in range(len(digits) - 2, -1, -1):
            value = value * float(moduli[i]) + digits[i][0].astype(np.float64)
        return value

    def evaluation_key(
        self, specification: KeySpecification, seed: bytes, domain: int
    ) -> Iterator[Words]:
        """The computed half of one evaluation key: [rows, N] per digit, or N/2.

        It switches from s (rotation) or s^2 (relinearisation) to the image of s under the inverse
        rotation, so that a hoisted rotation permutes two results instead of every digit. Keys of
        the ring of half the degree are under its secret, those that lead there too.
        """
        rotation, level = specification.name.rotation, specification.levels[0]
        if not self.parameters.in_half(level) or self._half is None:
            return self._switching_key(specification, seed, domain, *self._switched(specification))
        if rotation not in self.parameters.ring_switch(level):
            return self._half.evaluation_key(specification, seed, domain)
        half = self._half_of_secret(self.parameters.ring_switch(level).index(rotation))
        return self._half.key_from(half, specification, seed, domain)

    def key_from(
        self, source: NDArray[np.int64], specification: KeySpecification, seed: bytes, domain: int
    ) -> Iterator[Words]:
        """As `evaluation_key`, from another secret of this ring, coefficients [N], to this one."""
        rows = list(specification.rows(self.parameters))
        embedded = self._context.embed_signed(source, rows)
        target = np.ascontiguousarray(self._rows[rows])
        return self._switching_key(specification, seed, domain, embedded, target)

    def device_key(self, device: SecretKey, seed: bytes, domain: int) -> Iterator[Words]:
        """As `evaluation_key`: what leads from the secret of a device to this one. It encrypts the
        device's secret under this one, so it says nothing of this one to the device.

        Raises:
            ValueError: the device's key has other parameters, or is this one.
        """
        if device.parameters.digest != self.parameters.digest or device.key_id == self.key_id:
            raise ValueError("a device has a secret of its own, with the parameters of its owner")
        source = device.secret_coefficients().astype(np.int64)
        return self.key_from(source, device_specification(self.parameters), seed, domain)

    def _half_of_secret(self, number: int) -> NDArray[np.int64]:
        """What the even part of c1 (0) or the odd part (1) is multiplied with: see ring/halves.hpp.

        The second one is X + 1/X times the terms of odd degree, which fall on the even ones beside.
        """
        secret = self._ternary.astype(np.int64)
        if number == 0:
            return np.ascontiguousarray(secret[::2])
        odd = secret[1::2]
        beside: NDArray[np.int64] = np.concatenate([odd[:1], odd[:-1]])
        return odd + beside

    def _switched(self, specification: KeySpecification) -> tuple[Words, Words]:
        """What a key switches from, and to."""
        parameters, rotation = self.parameters, specification.name.rotation
        rows = list(specification.rows(parameters))
        secret = np.ascontiguousarray(self._rows[rows])
        if not rotation:
            return self._context.multiply(secret, secret, rows), secret
        if self._half is not None and rotation == parameters.ring_lift(specification.levels[0]):
            wide = np.zeros(parameters.ring_dimension, dtype=np.int64)
            wide[::2] = self._half.secret_coefficients()
            return self._context.embed_signed(wide, rows), secret
        inverse = pow(parameters.galois_element(rotation), -1, parameters.root_order)
        index = _native.galois_permutation(
            parameters.ring_dimension, inverse, parameters.ring.value
        )
        return secret, self._context.permute(secret, index)

    def _switching_key(
        self,
        specification: KeySpecification,
        seed: bytes,
        domain: int,
        source: Words,
        target: Words,
    ) -> Iterator[Words]:
        """Encryptions of P times the digits' parts of ``source`` [rows, N] under ``target``."""
        parameters, name = self.parameters, specification.name
        rows, primes = list(specification.rows(parameters)), parameters.primes
        p = math.prod(parameters.specials[: parameters.tiers[name.tier].special_limbs])
        digits = parameters.digit_of_rows(name.tier)
        uniform = np.empty((len(rows), parameters.ring_dimension), dtype=np.uint64)
        for digit in range(specification.shape(parameters)[0]):
            for i, row in enumerate(rows):
                uniform_row(seed, domain, digit, row, primes[row], uniform[i])
            noise = self._context.embed_signed(self._error(), rows)
            body = self._context.subtract(
                noise, self._context.multiply(uniform, target, rows), rows
            )
            part = [i for i, row in enumerate(rows) if digits.get(row) == digit]
            own = [rows[i] for i in part]
            gadget = self._context.multiply_scalars(source[part], [p % primes[i] for i in own], own)
            body[part] = self._context.add(body[part], gadget, own)
            yield body
