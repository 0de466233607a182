"""From videos to trained weights: data, objectives, one loop."""
