"""A video in, a video at another frame rate out."""
