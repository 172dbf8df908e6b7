"""The secret key: making it, keeping it, and all that only its owner can do."""
