"""The protocols as documents for programs, made of the types of their messages."""
