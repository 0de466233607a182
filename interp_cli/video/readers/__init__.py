"""Frames out of files, picture sequences, animations and pipes."""
