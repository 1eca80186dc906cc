"""Whether this ledger may be believed: the right one, durable as promised, its clock right, in good health."""
