"""Training: the loop, checkpoints, curves, devices, processes, inference."""
