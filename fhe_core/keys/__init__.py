"""Keys. ``secret`` is for the client only; ``evaluation`` and ``expand`` hold public material."""
