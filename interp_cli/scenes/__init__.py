"""What lies between two frames: motion, a cut, a flash, a duplicate, black bars."""
