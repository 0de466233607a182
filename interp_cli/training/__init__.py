"""Training: data, objectives and one loop, from videos to weights."""
