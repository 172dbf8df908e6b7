"""Independent implementations of CKKS that run the same plans: OpenFHE and SEAL."""
