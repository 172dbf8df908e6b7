"""Whoever decides: a process with the secret and nothing else, which answers in words.

It computes nothing on ciphertexts but opening them, believes nothing of what a server says about a
result's shape, and gives at most one answer to each request that a device has told it of.
docs/authority.md says what that is worth, and what it is not.
"""
