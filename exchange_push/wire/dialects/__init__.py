"""The languages that clients speak to us, one file each."""
