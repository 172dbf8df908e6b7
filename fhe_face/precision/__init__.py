"""How precise each layer is: predicted, simulated and measured."""
