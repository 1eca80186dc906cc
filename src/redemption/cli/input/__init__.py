"""Reads what people type: options, orders, files, times."""
