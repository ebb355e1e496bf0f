"""What a client's socket touches. Thin."""
