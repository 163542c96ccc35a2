"""Photos without poses: where each was taken from, by structure from motion, and what of each is the object."""
