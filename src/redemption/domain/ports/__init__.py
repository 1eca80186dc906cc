"""What the use cases need from outside: protocols that the ledger implements, and the values that pass between them."""
