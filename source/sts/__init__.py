"""Tell mouse cortical neuron types from two current-clamp sweeps."""
