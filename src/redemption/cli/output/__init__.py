"""Prints what people see: decisions, quotes, and campaigns in a few lines."""
