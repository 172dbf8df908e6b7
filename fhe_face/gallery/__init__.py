"""Sealed galleries, on the client's side: enrol people, verify and identify photos among them.

Everything in here may hold the gallery's secret key. What a server does for a gallery is in
`fhe_face.store` and `fhe_face.server.searching`, which cannot decrypt.
"""
