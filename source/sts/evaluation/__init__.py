"""Truth and probabilities become scores with intervals; two runs are compared."""
