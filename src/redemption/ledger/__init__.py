"""The only room that knows Redis: one atomic call decides, and what it decided is durable once answered."""
