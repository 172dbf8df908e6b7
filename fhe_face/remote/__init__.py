"""A server over HTTP, as its client sees it: everything that it says is untrusted."""
