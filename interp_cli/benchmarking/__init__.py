"""Speed: each stage alone and the whole, next to other methods and programs."""
