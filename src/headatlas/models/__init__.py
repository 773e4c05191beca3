"""Models: loaded, seen head by head, and run as token trees."""
