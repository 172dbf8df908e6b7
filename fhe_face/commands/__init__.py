"""One module per command of ``fhe-face``, each with a function ``run``."""
