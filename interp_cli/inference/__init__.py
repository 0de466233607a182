"""A network run on pairs of frames: batches, tiles, devices, trajectories."""
