"""Group commit: the queues, the batcher, and the connections that carry its calls to the ledger."""
