"""A server over HTTP, as its client sees it: everything that it says is untrusted."""

from fhe_face.extras import require_extra

require_extra("a server on the network", "client,remote", "httpx")
