"""What the numbers are: engine events in, publications out; one file per public channel. Pure."""
