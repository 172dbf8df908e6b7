"""The primitive operations through OpenFHE, for comparison with ours on the same machine.

A program of its own, as OpenFHE's wheels run on one version of Python each::

    python3.10 fhe_face/bench/openfhe_operations.py --json

It needs the ``openfhe`` package and the standard library only. OMP_NUM_THREADS sets the threads.
OpenFHE chooses the special primes itself (60 bits each); the chain of limbs, the number of digits
and the secret's distribution are what is asked for.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

#: The preset 'safe': 29 limbs, a base of 50 bits and 28 of 43, three digits.
RING_DIMENSION, LIMBS, LIMB_BITS, BASE_BITS, DIGITS = 65536, 29, 43, 50, 3


def measure(
    ring_dimension: int,
    limbs: int,
    limb_bits: int,
    base_bits: int,
    digits: int,
    levels: list[int],
    rounds: int,
) -> dict[str, Any]:
    """Seconds of each operation (median of the rounds) for ciphertexts of each number of limbs.

    Raises ImportError where OpenFHE is missing, RuntimeError where it refuses the parameters.
    """
    import openfhe

    parameters = openfhe.CCParamsCKKSRNS()
    parameters.SetSecretKeyDist(openfhe.SecretKeyDist.UNIFORM_TERNARY)
    parameters.SetRingDim(ring_dimension)
    parameters.SetMultiplicativeDepth(limbs - 1)
    parameters.SetScalingModSize(limb_bits)
    parameters.SetFirstModSize(base_bits)
    parameters.SetNumLargeDigits(digits)
    parameters.SetKeySwitchTechnique(openfhe.KeySwitchTechnique.HYBRID)
    parameters.SetScalingTechnique(openfhe.ScalingTechnique.FIXEDMANUAL)
    secure = ring_dimension >= RING_DIMENSION
    level = openfhe.SecurityLevel
    parameters.SetSecurityLevel(level.HEStd_128_classic if secure else level.HEStd_NotSet)
    context = openfhe.GenCryptoContext(parameters)
    features = openfhe.PKESchemeFeature
    for feature in (features.PKE, features.KEYSWITCH, features.LEVELEDSHE):
        context.Enable(feature)
    started = time.perf_counter()
    keys = context.KeyGen()
    context.EvalMultKeyGen(keys.secretKey)
    context.EvalRotateKeyGen(keys.secretKey, [1])
    keygen = time.perf_counter() - started
    slots = [((37 * i) % 101) / 101 - 0.5 for i in range(ring_dimension // 2)]
    plain = context.MakeCKKSPackedPlaintext(slots)
    fresh = context.Encrypt(keys.publicKey, plain)
    results = {}
    for count in levels:
        dropped = limbs - count
        ciphertext = context.LevelReduce(fresh, None, dropped) if dropped else fresh
        weights = context.MakeCKKSPackedPlaintext(slots, 1, dropped)
        product = context.EvalMult(ciphertext, weights)  # for rescale: of degree 2
        hoisted = context.EvalFastRotationPrecompute(ciphertext)
        source = bytearray(16 * count * ring_dimension)
        target = bytearray(len(source))
        jobs: dict[str, Callable[[], Any]] = {
            # The same on both sides: it shows whether the machine was equally fast.
            "copy of the ciphertext": partial(memoryview(target).__setitem__, slice(None), source),
            "rotation": partial(context.EvalRotate, ciphertext, 1),
            "decompose": partial(context.EvalFastRotationPrecompute, ciphertext),
            "hoisted rotation": partial(
                context.EvalFastRotation, ciphertext, 1, 2 * ring_dimension, hoisted
            ),
            "multiply + relinearise": partial(context.EvalMult, ciphertext, ciphertext),
            "plaintext product": partial(context.EvalMult, ciphertext, weights),
            "rescale": partial(context.Rescale, product),
            "decrypt": partial(context.Decrypt, ciphertext, keys.secretKey),
        }
        if not dropped:
            jobs["encrypt"] = lambda: context.Encrypt(
                keys.publicKey, context.MakeCKKSPackedPlaintext(slots)
            )
        results[str(count)] = {name: _median(job, rounds) for name, job in jobs.items()}
    return {
        "library": f"OpenFHE {_version()}",
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "security": "HEStd_128_classic" if secure else "none (test)",
        "ring_dimension": context.GetRingDimension(),
        "digits": digits,
        "keygen_seconds": keygen,
        "levels": results,
    }


def _median(job: Callable[[], Any], rounds: int) -> float:
    job()  # warm-up
    seconds = []
    for _ in range(rounds):
        started = time.perf_counter()
        job()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _version() -> str:
    from importlib.metadata import version

    return version("openfhe")


def main() -> int:
    """Measure and print; exit status 1 with one line where OpenFHE cannot run."""
    parser = argparse.ArgumentParser(description="Primitive operations through OpenFHE.")
    parser.add_argument("--ring-dimension", type=int, default=RING_DIMENSION)
    parser.add_argument("--limbs", type=int, default=LIMBS)
    parser.add_argument("--limb-bits", type=int, default=LIMB_BITS)
    parser.add_argument("--base-bits", type=int, default=BASE_BITS)
    parser.add_argument("--digits", type=int, default=DIGITS)
    parser.add_argument(
        "--levels", type=int, nargs="+", help="numbers of limbs; default: full, half"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    chosen = parser.parse_args()
    try:
        data = measure(
            chosen.ring_dimension,
            chosen.limbs,
            chosen.limb_bits,
            chosen.base_bits,
            chosen.digits,
            chosen.levels or [chosen.limbs, (chosen.limbs + 1) // 2],
            chosen.rounds,
        )
    except (ImportError, RuntimeError) as error:
        text = " ".join(str(error).split())
        print(json.dumps({"error": text}) if chosen.json else f"error: {text}")
        return 1
    if chosen.json:
        print(json.dumps(data))
        return 0
    print(f"{data['library']}, threads: {data['threads']}, security: {data['security']}")
    for limbs, rows in data["levels"].items():
        for name, seconds in rows.items():
            print(f"{limbs:>3} limbs  {name:<24} {1000 * seconds:9.1f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
