"""Generated from ``protos/redemption/v1`` by ``make proto``; never edited by hand."""
