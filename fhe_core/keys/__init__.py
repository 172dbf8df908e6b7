"""Evaluation keys, and what seeds expand to: public material, for both sides."""
