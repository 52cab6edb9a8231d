"""Reading image files to pixels, and the cache of decoded pixels; training depends on this wing."""
