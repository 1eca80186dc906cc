"""How calls reach their handlers: a table of methods, and two transports, each of which can serve it."""
