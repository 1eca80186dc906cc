"""Group commit: what waits, what travels together, and the connections that carry it."""
