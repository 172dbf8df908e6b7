"""Both sides on one machine: a client here, a server in this process or in one of its own."""
