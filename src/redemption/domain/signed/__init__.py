"""What is signed or keyed: tokens, receipts, settlements, exchange codes, digests, and the keyset behind them."""
