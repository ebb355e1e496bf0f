"""Servers to compare with: each sends what comes as a line on the port after its own to all who are connected."""
