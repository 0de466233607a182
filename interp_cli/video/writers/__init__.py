"""Frames into files, picture sequences, animations and pipes."""
