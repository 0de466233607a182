"""Quality: hidden frames are predicted and compared with the truth."""
