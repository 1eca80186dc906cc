"""Judging an order: which coupons apply, what each takes off, and how several combine."""
