"""``fhe-face studio``: a page on this machine that shows how two faces are compared encrypted.

It is the client's side: this process holds the secret key and the photos, both in memory only.
"""
