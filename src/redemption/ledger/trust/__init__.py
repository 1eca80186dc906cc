"""Whether the ledger can be trusted: its identity, its durability, its clock, and its health."""
