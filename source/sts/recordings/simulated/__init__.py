"""Neurons made up on the spot: a membrane model, eight populations, the protocol of the archives."""
