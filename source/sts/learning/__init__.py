"""What all training in torch shares: the device, its precision, seeds."""
