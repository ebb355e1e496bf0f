"""A pretend exchange, to try and to test the real server with."""
