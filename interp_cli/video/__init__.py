"""Frames out of video files and into them, with exact times and untouched planes."""
