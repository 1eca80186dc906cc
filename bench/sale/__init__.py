"""The flash-sale bench: scenarios that locust plays, the journal of every answer, and the verdict."""
