"""``redemption capacity``: how much machine a sale needs."""
