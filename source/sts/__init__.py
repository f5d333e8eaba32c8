"""Tell mouse cortical neuron types from two current-clamp sweeps."""

__version__ = "0.2.0"
