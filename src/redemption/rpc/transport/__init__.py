"""How calls reach their handlers: one table of methods, and the two transports that serve it."""
