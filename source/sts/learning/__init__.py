"""What all training in torch shares: device, precision, seeds, progress, checkpoints, updates."""
