"""Encoders and containers: which there are, and the ffmpeg command that uses them."""
