"""The only package that knows Redis: one atomic call decides; the decision is durable before the caller is answered."""
