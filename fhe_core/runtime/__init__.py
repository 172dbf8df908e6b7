"""Backends that run a plan, and the two sides that use them. Import the module you need."""
