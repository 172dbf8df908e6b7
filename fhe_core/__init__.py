"""CKKS: parameters, plans, the compiler, and the runtime that runs a plan. It knows no faces.

Nothing is imported here: an oracle in another Python, which has numpy only, reads a part of it.
"""
